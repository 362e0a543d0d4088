"""What an engine is asked and what it answers: orders, cards and renderings, checked against each other."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from inference.errors import OrderRefused

Pixels: TypeAlias = NDArray[np.uint8]
"""(height, width, 3), uint8, sRGB, C-contiguous, read-only."""

Mode: TypeAlias = Literal["text", "image"]

MAX_SEED = 2**63 - 1
MAX_GUIDANCE = 20.0
"""Beyond this every published FLUX model saturates; a bound against typing errors rather than a taste."""

MIN_INIT_SIDE = 64
"""Shortest side of an input picture: the least `diffusers.Flux2ImageProcessor` accepts, asked of all models alike."""

MAX_INIT_ASPECT = 8
"""Longest side over shortest of an input picture, from the same source."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """One model as users see it, and the bounds its orders are checked against.

    `default_size`: (width, height) in pixels. `multiple_of`: both sides are multiples of it. `max_pixels`: bound on
    width x height. `commercial_use`: true only if cleared by a known licence or by the operator's word. `trained`:
    false for random weights, which are shown as such wherever the model appears. `uses_guidance`, `uses_strength`:
    false where the order's number is accepted and has no effect. `text_tokens`: longest prompt, in the model's
    own tokens. `weights_digest`: `sha256:…` as in every `Rendering`.
    """

    id: str
    family: str
    licence: str
    commercial_use: bool
    trained: bool
    modes: tuple[Mode, ...]
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


@dataclass(frozen=True, slots=True, eq=False)
class RenderOrder:
    """One picture to render.

    `init_pixels`: the picture to start from (mode `image`), of any size, or None; not changed, not kept. `strength`:
    in (0, 1], how far to leave it. `seed`: in [0, 2**63). The prompt and the picture do not appear in `repr`.
    """

    prompt: str = field(repr=False)
    model: str
    width: int
    height: int
    steps: int
    guidance: float
    seed: int
    init_pixels: Pixels | None = field(default=None, repr=False)
    strength: float = 0.6


@dataclass(frozen=True, slots=True, eq=False)
class Rendering:
    """A finished picture and how it came about.

    `weights_digest`: `sha256:…` over every file that shapes the pixels. `engine`: name and version of the part.
    `exactness`: `exact` if an equal order on equal weights gives equal pixels. `seconds`: time on the device.
    """

    pixels: Pixels = field(repr=False)
    model_id: str
    weights_digest: str
    trained: bool
    engine: str
    exactness: str
    seconds: float


class Engine(Protocol):
    """Renders on one device. Built anywhere, then used by one thread only: the dispatcher's owner thread.

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

    The one check that needs the weights, the prompt's length in tokens, is the engine's own.
    """
    _check_prompt(order.prompt)
    _check_size(order.width, order.height, card)
    if not 1 <= order.steps <= card.max_steps:
        raise OrderRefused("steps", f"choose 1 to {card.max_steps} steps")
    if not (math.isfinite(order.guidance) and 0.0 <= order.guidance <= MAX_GUIDANCE):
        raise OrderRefused("guidance", f"choose a number from 0 to {MAX_GUIDANCE:g}")
    if not 0 <= order.seed <= MAX_SEED:
        raise OrderRefused("seed", f"choose a whole number from 0 to {MAX_SEED}")
    if order.init_pixels is not None:
        _check_init_pixels(order.init_pixels, order.strength, card)
    elif "text" not in card.modes:
        raise OrderRefused("init_pixels", "this model only changes pictures: send one along")


def _check_prompt(prompt: str) -> None:
    if not prompt.strip():
        raise OrderRefused("prompt", "say what to draw: the prompt is empty")
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        # `from None`: the exception would carry the prompt along.
        del error
        raise OrderRefused("prompt", "send valid Unicode: the prompt holds half of a surrogate pair") from None


def _check_size(width: int, height: int, card: ModelCard) -> None:
    for name, side in (("width", width), ("height", height)):
        if not card.min_side <= side <= card.max_side or side % card.multiple_of:
            raise OrderRefused(
                name, f"choose a multiple of {card.multiple_of} from {card.min_side} to {card.max_side} pixels"
            )
    if width * height > card.max_pixels:
        raise OrderRefused("width", f"choose a smaller picture: width x height is at most {card.max_pixels} pixels")


def _check_init_pixels(pixels: Pixels, strength: float, card: ModelCard) -> None:
    if "image" not in card.modes:
        raise OrderRefused("init_pixels", "this model only draws from words: leave the picture out")
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise OrderRefused("init_pixels", "send a picture of three 8-bit channels, red, green and blue")
    long_side, short_side = max(pixels.shape[:2]), min(pixels.shape[:2])
    if short_side < MIN_INIT_SIDE:
        raise OrderRefused("init_pixels", f"send a picture of at least {MIN_INIT_SIDE} pixels a side")
    if long_side > MAX_INIT_ASPECT * short_side:
        raise OrderRefused("init_pixels", f"send a picture at most {MAX_INIT_ASPECT} times as long as wide")
    if not 0.0 < strength <= 1.0:  # also refuses NaN
        raise OrderRefused("strength", "choose a number above 0, up to 1")
