"""Which labels a picture gets: those of the operator's profiles, and what the caller asked to see, never less than the
operator demands."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, get_args

from gateway.exchange import ImageRequest
from gateway.parts import BootError
from policies.overlay import Overlay
from provenance.claims import LabelProfile, LabelStyle, VisibleLabel
from provenance.labels import check_fits, languages

_WEAKEST_FIRST: Final = get_args(LabelStyle)


@dataclass(frozen=True, slots=True)
class Labelling:
    """The operator's choice. `provider_code`: of China's label. `minimum`: of the visible label. `languages`: it may be
    written in, the first unless a request names another. `own`: by tenant, where a jurisdiction asks for more."""

    profiles: tuple[LabelProfile, ...] = ("iptc", "california", "eu")
    provider_code: str = ""
    minimum: LabelStyle = "none"
    languages: tuple[str, ...] = field(default_factory=languages)
    own: Mapping[str, "Labelling"] = field(default_factory=dict)

    def of(self, tenant: str) -> "Labelling":
        """What holds for this tenant's pictures."""
        return self.own.get(tenant, self)

    def with_demands(self, overlays: Iterable[Overlay]) -> "Labelling":
        """With what these ask of pictures; it only gets more. Raises `BootError` for a label there is not."""
        profiles, minimum = self.profiles, self.minimum
        for overlay in overlays:
            profiles += tuple(_known(overlay, each, get_args(LabelProfile)) for each in overlay.labels)
            least = _known(overlay, overlay.visible_label or "none", _WEAKEST_FIRST)
            minimum = max(minimum, least, key=_WEAKEST_FIRST.index)
        if "china" in profiles and not self.provider_code:
            raise BootError(
                "pictures with labels of `china` need a provider_code: set it, or leave the jurisdiction out"
            )
        return replace(self, profiles=tuple(dict.fromkeys(profiles)), minimum=minimum)

    def visible(self, request: ImageRequest) -> VisibleLabel | None:
        """What is drawn into the picture of `request`: the stronger of what it asks for and the minimum."""
        style = max(request.visible_label, self.minimum, key=_WEAKEST_FIRST.index)
        if style == "none":
            return None
        asked = request.label_language
        return VisibleLabel(style, asked if asked in self.languages else self.languages[0], request.label_corner)

    def check(self, request: ImageRequest) -> None:
        """Raises `LabelDoesNotFit` if the picture is too small for its label."""
        label = self.visible(request)
        if label is not None:
            check_fits(label, "edited" if request.upload else "generated", *request.drawing.final_size)


def _known(overlay: Overlay, word: str, words: tuple[Any, ...]) -> Any:
    if word not in words:
        raise BootError(f"{overlay.file}: there is no label {word!r}. Use one of {', '.join(words)}.")
    return word


def describe_labels(labelling: Labelling) -> dict[str, Any]:
    """What holds for everybody, for `/health`: what single tenants have is theirs to know."""
    return {name: value for name, value in asdict(labelling).items() if name != "own"}
