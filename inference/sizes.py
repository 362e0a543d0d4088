"""Which size a model draws for the size that was asked for, and what is done to get from one to the other. Pure."""

import math
from dataclasses import dataclass

from inference.engines import ModelCard, check_size
from inference.errors import OrderRefused


@dataclass(frozen=True, slots=True)
class Fit:
    """`width`, `height`: what is drawn. `size`: what that is brought to, None for as drawn. `stretch`: without cutting.
    `cuts_input`: the picture to start from is cut around its centre, since its aspect is another one."""

    width: int
    height: int
    size: tuple[int, int] | None = None
    stretch: bool = False
    cuts_input: bool = False

    @property
    def final(self) -> tuple[int, int]:
        """(width, height) of what comes out, before it is enlarged further."""
        return self.size or (self.width, self.height)


def fit(card: ModelCard, width: int, height: int) -> Fit:
    """How `card`'s model makes a picture of this size. Raises `OrderRefused` if it cannot."""
    try:
        check_size(width, height, card)
    except OrderRefused:
        if not all(card.min_side <= side <= card.max_enlarged_side for side in (width, height)):
            raise
        return Fit(*card.default_size, size=(width, height))
    return Fit(width, height)


def fit_to(card: ModelCard, width: int, height: int) -> Fit:
    """The nearest size to that of a picture of `width` x `height` that is to be changed, of its aspect if possible."""
    if card.max_enlarged_side:
        longest = card.max_enlarged_side
        scale = (
            min(1.0, longest / max(width, height))
            if min(width, height) >= card.min_side
            else (card.min_side / min(width, height))
        )
        wide, high = (min(max(round(side * scale), card.min_side), longest) for side in (width, height))
        drawn = card.default_size
        size = None if (wide, high) == drawn else (wide, high)
        return Fit(*drawn, size=size, stretch=size is not None, cuts_input=_differs(width, height, wide, high))
    step = card.multiple_of
    most = min(1.0, math.sqrt(card.max_pixels / (width * height)), card.max_side / max(width, height))
    scale = max(most, card.min_side / min(width, height)) if most == 1.0 else most

    def legal(side: int) -> int:
        nearest = round(side * scale / step) * step
        return min(max(nearest, -(-card.min_side // step) * step), card.max_side // step * step)

    wide, high = legal(width), legal(height)
    while wide * high > card.max_pixels:
        wide, high = (wide - step, high) if wide >= high else (wide, high - step)
    return Fit(wide, high, cuts_input=_differs(width, height, wide, high))


def cuts(width: int, height: int, fitted: Fit) -> bool:
    """Whether a picture of `width` x `height` loses something on its way into `fitted`."""
    return not fitted.stretch and _differs(width, height, *fitted.final)


def _differs(width: int, height: int, wide: int, high: int) -> bool:
    """Whether the aspects differ by more than the rounding of a side to whole pixels of the smaller picture."""
    scale = min(width / wide, height / high)
    return width - wide * scale >= max(1.0, scale) or height - high * scale >= max(1.0, scale)
