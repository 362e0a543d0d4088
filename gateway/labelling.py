"""Which labels a picture gets: those of the operator's profiles, and what the caller asked to see, never less than the
operator demands."""

from dataclasses import dataclass, field
from typing import Final, get_args

from pydantic import BaseModel, Field

from gateway.exchange import ImageRequest
from provenance.claims import Corner, LabelProfile, LabelStyle, VisibleLabel
from provenance.labels import check_fits, languages

_WEAKEST_FIRST: Final = get_args(LabelStyle)


class LabelFields(BaseModel):
    """What a request may say about the visible label, in every dialect that draws."""

    visible_label: LabelStyle = Field("none", description="drawn into the picture; at least what the operator demands")
    label_corner: Corner = Field("top_right", description="where the visible label stands")
    label_language: str | None = Field(None, description="of the words of `text`; `/health` names the choices")


@dataclass(frozen=True, slots=True)
class Labelling:
    """The operator's choice. `provider_code`: of China's label. `minimum`: of the visible label. `languages`: it may be
    written in, the first unless a request names another."""

    profiles: tuple[LabelProfile, ...] = ("iptc", "california", "eu")
    provider_code: str = ""
    minimum: LabelStyle = "none"
    languages: tuple[str, ...] = field(default_factory=languages)

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
            check_fits(label, "edited" if request.upload else "generated", request.width, request.height)
