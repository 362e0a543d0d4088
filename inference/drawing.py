"""One wish, one shape: what an engine is told about an image, whatever the dialect of its caller calls it."""

from dataclasses import MISSING, dataclass, field, fields


@dataclass(frozen=True, slots=True)
class Finish:
    """What is done to the drawn pixels, in this order. `palette`: colours (red, green, blue) they are drawn towards;
    none for as they are. `size`: (width, height) they are brought to, filled and cut around the centre; None for as
    drawn. `stretch`: brought to `size` without cutting, for a picture that was fitted in before it was changed.
    `enlarge`: 1, 2 or 4 times the width and the height."""

    palette: tuple[tuple[int, int, int], ...] = ()
    enlarge: int = 1
    size: tuple[int, int] | None = None
    stretch: bool = False


AS_DRAWN = Finish()


@dataclass(frozen=True, slots=True)
class Drawing:
    """How an image is drawn. A new knob is a field with a default here; dialects offer it, engines honour it.

    `seed`: in [0, 2**63). `width`, `height`: pixels that are drawn. `strength`: in (0, 1], how far an edit may move
    away from its input image. `finish`: what is done to the drawn pixels. The prompt does not appear in `repr`.
    """

    prompt: str = field(repr=False)
    seed: int
    width: int
    height: int
    steps: int
    guidance: float
    strength: float = 0.6
    finish: Finish = AS_DRAWN

    @property
    def final_size(self) -> tuple[int, int]:
        """Width and height of the image that leaves."""
        wide, high = self.finish.size or (self.width, self.height)
        return wide * self.finish.enlarge, high * self.finish.enlarge

    def recorded(self, *, is_edit: bool) -> dict[str, int | str]:
        """What it takes, beside model, prompt and pictures sent in, to draw the image again. `size`: of the image that
        leaves, if it is enlarged. Numbers with a fraction are texts: no reader has to agree with us on how they are
        written. A knob that is left at its default is not named."""
        said: dict[str, int | str] = {}
        for knob in fields(self):
            value = getattr(self, knob.name)
            if knob.name in ("prompt", "finish") or (knob.name == "strength" and not is_edit):
                continue
            if knob.default is MISSING or knob.name == "strength" or value != knob.default:
                said[knob.name] = value if isinstance(value, int) else str(value)
        wide, high = self.final_size
        return said | ({"size": f"{wide}x{high}"} if (wide, high) != (self.width, self.height) else {})


KNOBS: frozenset[str] = frozenset(knob.name for knob in fields(Drawing))
"""Names of everything a caller may say about a drawing."""
