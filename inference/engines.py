"""What an engine is asked and what it answers: orders, cards and renderings, checked against each other."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from inference.drawing import Drawing
from inference.errors import OrderRefused
from inference.vocabulary import Vocabulary

Pixels: TypeAlias = NDArray[np.uint8]
"""(height, width, 3), uint8, sRGB, C-contiguous, read-only."""

Mask: TypeAlias = NDArray[np.uint8]
"""(height, width), uint8: 255 where to paint anew, 0 where to leave the picture as it is, soft edges between."""

Finished: TypeAlias = Literal["recoloured", "upscaled", "cropped"]

ModeName: TypeAlias = Literal["text", "image", "inpaint", "references"]
"""Draw from words; change a picture; paint a region of one anew; look at other pictures beside the words."""

MAX_SEED = 2**63 - 1
MAX_GUIDANCE = 20.0
"""Beyond this every published FLUX model saturates; a bound against typing errors rather than a taste."""

MIN_INIT_SIDE = 64
"""Shortest side of an input picture: the least `diffusers.Flux2ImageProcessor` accepts, asked of all models alike."""

MAX_INIT_ASPECT = 8
"""Longest side over shortest of an input picture, from the same source."""

MAX_REFERENCES = 4
"""What the hosted API of FLUX.2 [klein] takes; more cost attention time that grows with their square."""

ENLARGEMENTS = (1, 2, 4)
MAX_PALETTE = 16
MAX_FINISHED_PIXELS = 16 * 1024 * 1024
"""The largest picture that is made by enlarging: beyond it marking and screening take seconds."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """One model as users see it, and the bounds its orders are checked against.

    `default_size`: (width, height) in pixels. `multiple_of`: both sides are multiples of it. `max_pixels`: bound on
    width x height. `commercial_use`: true only if cleared by a known licence or by the operator's word. `trained`:
    false for random weights, which are shown as such wherever the model appears. `uses_guidance`, `uses_strength`:
    false where the order's number is accepted and has no effect. `text_tokens`: longest prompt, in the model's
    own tokens. `weights_digest`: `sha256:…` as in every `Rendering`. `max_enlarged_side`: a size that it does not draw,
    with sides from `min_side` to this, is made by enlarging a picture of `default_size`; 0 for a model that draws all
    the sizes it is asked for. `vocabulary`: of a model that knows few words; None for one that reads any.
    """

    id: str
    family: str
    licence: str
    commercial_use: bool
    trained: bool
    modes: tuple[ModeName, ...]
    default_steps: int
    max_steps: int
    default_size: tuple[int, int]
    min_side: int
    max_side: int
    max_pixels: int
    multiple_of: int
    price_credits: int
    default_guidance: float = 0.0
    uses_guidance: bool = False
    uses_strength: bool = True
    text_tokens: int = 512
    weights_digest: str = ""
    description: str = ""
    max_enlarged_side: int = 0
    vocabulary: Vocabulary | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class RenderOrder:
    """One picture to render.

    `drawing`: how. `init_pixels`: the picture to start from (mode `image`), of any size, or None; not changed, not
    kept. `mask`: of the size of `init_pixels`; only there is painted (mode `inpaint`). `references`: pictures of any
    size to look at beside the words. The pictures do not appear in `repr`, as the prompt does not.
    """

    drawing: Drawing
    model: str
    init_pixels: Pixels | None = field(default=None, repr=False)
    mask: Mask | None = field(default=None, repr=False)
    references: tuple[Pixels, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Rendering:
    """A finished picture and how it came about.

    `weights_digest`: `sha256:…` over every file that shapes the pixels. `engine`: name and version of the part.
    `exactness`: `exact` if an equal order on equal weights gives equal pixels. `seconds`: time on the device.
    `repainted`: x, y, width, height of the region a mask opened, in pixels of this picture. `finished`: what was done
    after drawing, of `recoloured`, `cropped` and `upscaled`, in order.
    """

    pixels: Pixels = field(repr=False)
    model_id: str
    weights_digest: str
    trained: bool
    engine: str
    exactness: str
    seconds: float
    repainted: tuple[int, int, int, int] | None = None
    finished: tuple[Finished, ...] = ()


class Engine(Protocol):
    """Renders on one device. Built anywhere, then used by one thread only: the dispatcher's owner thread.

    An engine may have a method `prompt_tokens(prompt) -> int`, for any thread: how long a prompt is for its model, so
    that one that is too long is refused before it waits.

    `device`: such as `cpu` or `cuda:0`; engines of the same device share an owner thread. `models` is known from
    construction on and does not change. `load` brings the weights to the device; it may take minutes, and does nothing
    the second time. `render` calls `progress(done, total)` after each step, asks `cancelled()` at least once a step,
    and raises `RenderCancelled`, `OrderRefused`, `EngineOutOfMemory` or `EngineBroken`; after any of these the
    next order is served as if nothing had happened.
    """

    name: str
    version: str

    @property
    def device(self) -> str: ...

    @property
    def models(self) -> tuple[ModelCard, ...]: ...

    def load(self) -> None: ...

    def render(
        self, order: RenderOrder, *, progress: Callable[[int, int], None], cancelled: Callable[[], bool]
    ) -> Rendering: ...

    def close(self) -> None: ...


def check_order(order: RenderOrder, card: ModelCard) -> None:
    """Raises `OrderRefused`, naming field and remedy, unless `card`'s model can render `order`.

    The prompt's length in tokens needs the model's tokenizer: `check_prompt_length`.
    """
    check_drawing(order.drawing, card)
    if order.init_pixels is not None:
        _check_init_pixels(order.init_pixels, order.drawing.strength, card)
    elif "text" not in card.modes:
        raise OrderRefused("init_pixels", "this model only changes pictures: send one along")
    if order.mask is not None:
        _check_mask(order.mask, order.init_pixels, card)
    if order.references:
        _check_references(order.references, card)


def check_drawing(drawing: Drawing, card: ModelCard) -> None:
    """Raises `OrderRefused`, naming field and remedy, unless `card`'s model can draw so."""
    _check_prompt(drawing.prompt)
    check_size(drawing.width, drawing.height, card)
    if not 1 <= drawing.steps <= card.max_steps:
        raise OrderRefused("steps", f"choose 1 to {card.max_steps} steps")
    if not (math.isfinite(drawing.guidance) and 0.0 <= drawing.guidance <= MAX_GUIDANCE):
        raise OrderRefused("guidance", f"choose a number from 0 to {MAX_GUIDANCE:g}")
    if not 0 <= drawing.seed <= MAX_SEED:
        raise OrderRefused("seed", f"choose a whole number from 0 to {MAX_SEED}")
    _check_finish(drawing)


def check_prompt_length(tokens: int, card: ModelCard) -> None:
    """Raises `OrderRefused` if a prompt of so many tokens is longer than `card`'s model reads.

    Cut off silently, it would be drawn as something else than was asked.
    """
    if tokens > card.text_tokens:
        raise OrderRefused("prompt", f"shorten it: it has {tokens} tokens, and this model reads {card.text_tokens}")


def _check_prompt(prompt: str) -> None:
    if not prompt.strip():
        raise OrderRefused("prompt", "say what to draw: the prompt is empty")
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        # `from None`: the exception would carry the prompt along.
        del error
        raise OrderRefused("prompt", "send valid Unicode: the prompt holds half of a surrogate pair") from None


def check_size(width: int, height: int, card: ModelCard) -> None:
    """Raises `OrderRefused`, naming side and remedy, unless `card`'s model draws this size."""
    for name, side in (("width", width), ("height", height)):
        if not card.min_side <= side <= card.max_side or side % card.multiple_of:
            raise OrderRefused(name, _sides(card))
    if width * height > card.max_pixels:
        raise OrderRefused("width", f"choose a smaller picture: width x height is at most {card.max_pixels} pixels")


def _sides(card: ModelCard) -> str:
    if card.max_enlarged_side:
        return f"choose {card.min_side} to {card.max_enlarged_side} pixels"
    return f"choose a multiple of {card.multiple_of} from {card.min_side} to {card.max_side} pixels"


def _check_init_pixels(pixels: Pixels, strength: float, card: ModelCard) -> None:
    if "image" not in card.modes:
        raise OrderRefused("init_pixels", "this model only draws from words: leave the picture out")
    _check_picture("init_pixels", pixels)
    if not 0.0 < strength <= 1.0:  # also refuses NaN
        raise OrderRefused("strength", "choose a number above 0, up to 1")


def _check_mask(mask: Mask, pixels: Pixels | None, card: ModelCard) -> None:
    if "inpaint" not in card.modes:
        raise OrderRefused("mask", "this model cannot paint a region anew: leave the mask out")
    if pixels is None:
        raise OrderRefused("mask", "a mask needs the picture it belongs to: send that along")
    if mask.dtype != np.uint8 or mask.shape != pixels.shape[:2]:
        raise OrderRefused("mask", "send a mask of exactly the picture's width and height")
    if not mask.any():
        raise OrderRefused("mask", "the mask opens nothing: paint white what is to be painted anew")


def _check_references(references: tuple[Pixels, ...], card: ModelCard) -> None:
    if "references" not in card.modes:
        raise OrderRefused("references", "this model does not look at other pictures: leave them out")
    if len(references) > MAX_REFERENCES:
        raise OrderRefused("references", f"send at most {MAX_REFERENCES} of them")
    for pixels in references:
        _check_picture("references", pixels)


def _check_finish(drawing: Drawing) -> None:
    finish = drawing.finish
    if finish.enlarge not in ENLARGEMENTS:
        raise OrderRefused("enlarge", f"choose one of {', '.join(map(str, ENLARGEMENTS))}")
    wide, high = drawing.final_size
    if wide * high > MAX_FINISHED_PIXELS:
        raise OrderRefused("enlarge", f"the enlarged picture would have more than {MAX_FINISHED_PIXELS} pixels")
    if len(finish.palette) > MAX_PALETTE:
        raise OrderRefused("palette", f"name at most {MAX_PALETTE} colours")
    if any(not 0 <= value <= 255 for colour in finish.palette for value in colour):
        raise OrderRefused("palette", "give each colour as red, green and blue from 0 to 255")


def _check_picture(name: str, pixels: Pixels) -> None:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise OrderRefused(name, "send a picture of three 8-bit channels, red, green and blue")
    check_picture_size(name, pixels.shape[1], pixels.shape[0])


def check_picture_size(name: str, width: int, height: int) -> None:
    """Raises `OrderRefused` on the field `name` for a picture of a size, in pixels, that no model starts from."""
    long_side, short_side = max(width, height), min(width, height)
    if short_side < MIN_INIT_SIDE:
        raise OrderRefused(name, f"send a picture of at least {MIN_INIT_SIDE} pixels a side")
    if long_side > MAX_INIT_ASPECT * short_side:
        raise OrderRefused(name, f"send a picture at most {MAX_INIT_ASPECT} times as long as wide")
