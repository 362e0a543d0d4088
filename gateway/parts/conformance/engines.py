"""Checks of an engine, all from one thread, as the dispatcher's owner thread uses it."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from gateway.parts.conformance.samples import Samples
from inference.drawing import Drawing
from inference.engines import ModelCard, Rendering, RenderOrder, check_order
from inference.errors import InferenceError, OrderRefused, RenderCancelled


def engine_faults(part: Any, samples: Samples) -> Iterator[str]:
    """Faults of an engine. It draws four small images."""
    if not isinstance(part.device, str) or not part.device:
        yield "`device` must be a string such as `cpu` or `cuda:0`: engines of one device share a thread"
    models = part.models
    if not isinstance(models, tuple) or not models or not all(isinstance(each, ModelCard) for each in models):
        yield "`models` must be a tuple with at least one `ModelCard`, known from construction on"
        return
    if len({card.id for card in models}) < len(models):
        yield "two models have the same id"
    if hasattr(part, "prompt_tokens") and not part.prompt_tokens(samples.prompt) > 0:
        yield "`prompt_tokens` must say how many tokens a prompt has"
    for _ in range(2):
        part.load()  # the second time does nothing
    if part.models != models:
        yield "`models` changed when the weights were loaded: the cards are shown before"
    for card in models:
        yield from _model_faults(part, card, _order(card, samples.prompt))


def _order(card: ModelCard, prompt: str) -> RenderOrder:
    """The smallest image of at least 64 pixels a side, in two steps."""
    side = max(card.min_side, -(-64 // card.multiple_of) * card.multiple_of)
    side = -(-side // card.multiple_of) * card.multiple_of
    steps = min(2, card.max_steps)
    return RenderOrder(Drawing(prompt, 1, side, side, steps, card.default_guidance), card.id)


def _with(order: RenderOrder, **changes: Any) -> RenderOrder:
    return replace(order, drawing=replace(order.drawing, **changes))


def _model_faults(part: Any, card: ModelCard, order: RenderOrder) -> Iterator[str]:
    try:
        check_order(order, card)
    except OrderRefused as refused:
        yield f"the card of {card.id} does not take its own smallest image ({refused}): mend the card"
        return
    told: list[tuple[int, int]] = []
    asked: list[None] = []

    def calm() -> bool:
        asked.append(None)
        return False

    first = part.render(order, progress=lambda done, total: told.append((done, total)), cancelled=calm)
    yield from _rendering_faults(part, card, order, first)
    if not told or told != sorted(told) or told[-1][0] != told[-1][1]:
        yield "`render` must call `progress(done, total)` after each step, up to `progress(total, total)`"
    elif len(asked) < told[-1][1]:
        yield "`render` must ask `cancelled()` at least once a step"
    if not isinstance(first, Rendering):
        return
    again = part.render(order, progress=_quiet, cancelled=lambda: False)
    if first.exactness == "exact" and not np.array_equal(first.pixels, again.pixels):
        yield "the rendering says `exact`, and an equal order gave other pixels: take all randomness from the seed"
    other = part.render(_with(order, seed=2), progress=_quiet, cancelled=lambda: False)
    if np.array_equal(first.pixels, other.pixels):
        yield "another seed gave the same pixels: draw the noise from `order.drawing.seed`"
    yield from _cancel_faults(part, order)
    yield from _refusal_faults(part, card, order)
    after = part.render(order, progress=_quiet, cancelled=lambda: False)
    if first.exactness == "exact" and not np.array_equal(first.pixels, after.pixels):
        yield "after a cancelled order an equal order gave other pixels: leave nothing behind"


def _rendering_faults(part: Any, card: ModelCard, order: RenderOrder, rendering: Any) -> Iterator[str]:
    if not isinstance(rendering, Rendering):
        yield "`render` must return a `Rendering`"
        return
    pixels = rendering.pixels
    if pixels.dtype != np.uint8 or pixels.shape != (order.drawing.height, order.drawing.width, 3):
        yield f"the pixels must be uint8 of shape (height, width, 3), these are {pixels.dtype} of {pixels.shape}"
    if not pixels.flags.c_contiguous or pixels.flags.writeable:
        yield "the pixels must be C-contiguous and read-only: `pixels.flags.writeable = False`"
    if rendering.model_id != card.id or rendering.trained != card.trained:
        yield "the rendering names another model than its card, or says otherwise whether it is trained"
    if not rendering.weights_digest.startswith("sha256:"):
        yield "`weights_digest` must be `sha256:…` over every file that shapes the pixels"
    if card.weights_digest and rendering.weights_digest != card.weights_digest:
        yield "`weights_digest` of the rendering differs from that of the card"
    if rendering.engine != f"{part.name}/{part.version}":
        yield "`engine` of the rendering must be name and version of the part, with a slash between"
    if rendering.seconds < 0:
        yield "`seconds` of the rendering is negative"


def _cancel_faults(part: Any, order: RenderOrder) -> Iterator[str]:
    steps: list[int] = []
    try:
        part.render(order, progress=lambda done, _: steps.append(done), cancelled=lambda: bool(steps))
    except RenderCancelled:
        if len(steps) > 1:
            yield f"`render` drew {len(steps)} steps after it was called off: stop at the next step"
        return
    except Exception as error:  # noqa: BLE001  whatever else it raises is the fault
        yield f"`render` raised {type(error).__name__} when it was called off: raise `RenderCancelled`"
        return
    yield "`render` finished an order that was called off: ask `cancelled()` each step and raise `RenderCancelled`"


def _refusal_faults(part: Any, card: ModelCard, order: RenderOrder) -> Iterator[str]:
    refused: tuple[tuple[str, RenderOrder], ...] = (
        ("a size its card does not offer", _with(order, width=card.max_side + card.multiple_of)),
        ("an empty prompt", _with(order, prompt=" ")),
        ("a negative seed", _with(order, seed=-1)),
    )
    for what, wrong in refused:
        yield from _one_refusal(part, what, wrong)


def _one_refusal(part: Any, what: str, wrong: RenderOrder) -> Iterator[str]:
    try:
        part.render(wrong, progress=_quiet, cancelled=lambda: False)
    except InferenceError:
        return
    except Exception as error:  # noqa: BLE001  whatever else it raises is the fault
        yield f"`render` raised {type(error).__name__} for {what}: begin with `check_order(order, card)`"
        return
    yield f"`render` drew an order with {what}: begin with `check_order(order, card)`"


_quiet: Callable[[int, int], None] = lambda done, total: None  # noqa: E731  as the dispatcher's own, in one line
