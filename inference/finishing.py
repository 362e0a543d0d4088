"""What is done to drawn pixels before anyone looks at them: recolouring and enlarging. Plain arithmetic, no model.

It comes before the screening of the output, so what is screened is what leaves.
"""

from dataclasses import replace
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from inference.engines import Finish, Finished, Pixels, Rendering

_SOFTNESS: Final = 10.0
"""How far apart two colours of the palette share a pixel, in CIELAB units; about four just noticeable differences."""

_HUE: Final = 0.25
"""Weight of hue and chroma beside lightness: so that a palette which lacks a hue is spread over light and dark, while
one which has it is met. Chosen by eye."""

_ROWS: Final = 64  # at once: the distances to sixteen colours are floats


def finish(rendering: Rendering, wanted: Finish) -> Rendering:
    """The rendering with its palette locked, then enlarged, as wanted, and said so in `finished`."""
    pixels, done, region = rendering.pixels, list[Finished](), rendering.repainted
    if wanted.palette:
        pixels = recolour(pixels, wanted.palette)
        done.append("recoloured")
    if wanted.enlarge > 1:
        pixels = enlarge(pixels, wanted.enlarge)
        done.append("upscaled")
        if region is not None:
            x, y, width, height = (value * wanted.enlarge for value in region)
            region = (x, y, width, height)
    return replace(rendering, pixels=pixels, repainted=region, finished=tuple(done)) if done else rendering


def recolour(pixels: Pixels, palette: tuple[tuple[int, int, int], ...]) -> Pixels:
    """Every pixel keeps its lightness and takes its hue and chroma from the nearest colours of `palette`, by lightness
    first.

    `palette`: at least one colour (red, green, blue), 0 to 255. In CIELAB, as OpenCV has it; near colours are mixed by
    a softmax over their distances, so that gradients stay smooth.
    """
    colours = _lab(np.array([palette], np.uint8))[0]
    weights = np.array([1, _HUE, _HUE], np.float32)
    lab = _lab(pixels)
    for top in range(0, len(lab), _ROWS):
        rows = lab[top : top + _ROWS]
        away = np.sqrt((((rows[:, :, None, :] - colours) * weights) ** 2).sum(-1)) / np.float32(_SOFTNESS)
        share = np.exp(away.min(-1, keepdims=True) - away)
        share /= share.sum(-1, keepdims=True)
        rows[:, :, 1:] = share @ colours[:, 1:]
    rgb = cv2.cvtColor(lab, cv2.COLOR_Lab2RGB)
    return _frozen((rgb * 255.0).round().clip(0, 255).astype(np.uint8))


def enlarge(pixels: Pixels, times: int) -> Pixels:
    """`pixels` at `times` the width and height, by Lanczos interpolation over 8 x 8 pixels: nothing is made up."""
    height, width = pixels.shape[:2]
    larger = cv2.resize(pixels, (width * times, height * times), interpolation=cv2.INTER_LANCZOS4)
    return _frozen(np.asarray(larger, np.uint8))


def _lab(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    return np.asarray(cv2.cvtColor(pixels.astype(np.float32) / 255.0, cv2.COLOR_RGB2Lab), np.float32)


def _frozen(pixels: npt.NDArray[np.uint8]) -> Pixels:
    pixels = np.ascontiguousarray(pixels)
    pixels.flags.writeable = False
    return pixels
