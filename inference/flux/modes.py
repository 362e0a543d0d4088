"""The ways in which a family draws, as data: a pipeline, what of an order it takes, and what it is called with.

Of a family's rows the first that takes everything an order brings draws it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from inference.engines import ModeName, Pixels, RenderOrder

Picture: TypeAlias = Literal["init_pixels", "mask", "references"]
ToPil: TypeAlias = Callable[[Any], Any]
"""(1, height, width, 3), 0 to 1, to a list of one PIL image: `numpy_to_pil` of a pipeline's image processor."""


@dataclass(frozen=True, slots=True)
class Mode:
    """`pipeline`: a class of diffusers over the family's weights. `accepts`: pictures of an order that it takes.
    `arguments`: what it is called with for them."""

    pipeline: str
    accepts: frozenset[Picture]
    arguments: Callable[[RenderOrder, ToPil], Mapping[str, Any]]


def mode_for(modes: tuple[Mode, ...], order: RenderOrder) -> Mode:
    """The mode that draws `order`, which was checked against the card. Raises `StopIteration` for one that was not."""
    pictures: dict[Picture, object] = {
        "init_pixels": order.init_pixels is not None,
        "mask": order.mask is not None,
        "references": order.references,
    }
    sent = {name for name, there in pictures.items() if there}
    return next(mode for mode in modes if sent <= mode.accepts)


def names_of(modes: tuple[Mode, ...]) -> tuple[ModeName, ...]:
    """What a card says of these modes."""
    taken = frozenset[Picture]().union(*(mode.accepts for mode in modes))
    named: tuple[tuple[ModeName, Picture], ...] = (
        ("image", "init_pixels"), ("inpaint", "mask"), ("references", "references"),
    )  # fmt: skip
    return ("text", *(name for name, picture in named if picture in taken))


def _from_words(order: RenderOrder, to_pil: ToPil) -> Mapping[str, Any]:
    return {}


def _from_picture(order: RenderOrder, to_pil: ToPil) -> Mapping[str, Any]:
    from inference.flux.tensors import to_tensor  # loads torch, which recognising a folder does not need

    drawing = order.drawing
    assert order.init_pixels is not None
    image = to_tensor(order.init_pixels, drawing.height, drawing.width, stretch=drawing.finish.stretch)
    return {"image": image, "strength": drawing.strength}


def _in_region(order: RenderOrder, to_pil: ToPil) -> Mapping[str, Any]:
    from inference.flux.tensors import mask_to_tensor

    drawing = order.drawing
    assert order.mask is not None
    mask = mask_to_tensor(order.mask, drawing.height, drawing.width, stretch=drawing.finish.stretch)
    return {**_from_picture(order, to_pil), "mask_image": mask}


def _in_region_beside(order: RenderOrder, to_pil: ToPil) -> Mapping[str, Any]:
    seen = {"image_reference": _as_pil(order.references, to_pil)} if order.references else {}
    return {**_in_region(order, to_pil), **seen}


def _beside(order: RenderOrder, to_pil: ToPil) -> Mapping[str, Any]:
    """FLUX.2 reads pictures beside the words, the one to change first."""
    seen = (*(() if order.init_pixels is None else (order.init_pixels,)), *order.references)
    return {"image": _as_pil(seen, to_pil)} if seen else {}


def _as_pil(pictures: tuple[Pixels, ...], to_pil: ToPil) -> list[Any]:
    """The pipelines of FLUX.2 take PIL images only."""
    return [to_pil(pixels[None].astype(np.float32) / 255.0)[0] for pixels in pictures]


_PICTURES: Final[frozenset[Picture]] = frozenset({"init_pixels", "references"})

FLUX_1: Final = (
    Mode("FluxPipeline", frozenset(), _from_words),
    Mode("FluxImg2ImgPipeline", frozenset({"init_pixels"}), _from_picture),
    Mode("FluxInpaintPipeline", frozenset({"init_pixels", "mask"}), _in_region),
)
KLEIN: Final = (
    Mode("Flux2KleinPipeline", _PICTURES, _beside),
    Mode("Flux2KleinInpaintPipeline", _PICTURES | {"mask"}, _in_region_beside),
)
FLUX_2: Final = (Mode("Flux2Pipeline", _PICTURES, _beside),)  # diffusers 0.42 has no inpainting for it
