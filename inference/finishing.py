"""What is done to drawn pixels after they were screened: recolouring, cutting, enlarging. Plain arithmetic, no model.

Nothing of it shows what the drawn picture does not: recolouring never tells apart what had one colour, cutting takes
away, enlarging interpolates. So the decision about the drawn picture holds for the one that leaves, and asking for
another size or other colours never changes it.
"""

from dataclasses import replace
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from inference.drawing import Finish
from inference.engines import Finished, Pixels, Rendering

_SOFTNESS: Final = 10.0
"""How far apart two colours of the palette share a pixel, in CIELAB units; about four just noticeable differences."""

_HUE: Final = 0.25
"""Weight of hue and chroma beside lightness: so that a palette which lacks a hue is spread over light and dark, while
one which has it is met. Chosen by eye."""

_ROWS: Final = 64  # at once: the distances to sixteen colours are floats


def finish(rendering: Rendering, wanted: Finish) -> Rendering:
    """The rendering with its palette locked, then brought to its size and enlarged, as wanted; `finished` says so."""
    pixels, done, region = rendering.pixels, list[Finished](), rendering.repainted
    if wanted.palette:
        pixels = recolour(pixels, wanted.palette)
        done.append("recoloured")
    height, width = pixels.shape[:2]
    wide, high = wanted.size or (width, height)
    if not wanted.stretch and wide * height != high * width:
        pixels = _cut(pixels, wide, high)
        done.append("cropped")
    wide, high = wide * wanted.enlarge, high * wanted.enlarge
    if (wide, high) != (pixels.shape[1], pixels.shape[0]):
        pixels = resize(pixels, wide, high)
        done.append("upscaled")
        if region is not None and (wanted.stretch or "cropped" not in done):
            across, down = wide / width, high / height
            left, top = int(region[0] * across), int(region[1] * down)
            right, bottom = -int(-(region[0] + region[2]) * across), -int(-(region[1] + region[3]) * down)
            region = (left, top, min(right, wide) - left, min(bottom, high) - top)
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


def resize(pixels: Pixels, width: int, height: int) -> Pixels:
    """`pixels` at another size, by Lanczos interpolation over 8 x 8 pixels: nothing is made up."""
    other = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LANCZOS4)
    return _frozen(np.asarray(other, np.uint8))


def _cut(pixels: Pixels, width: int, height: int) -> Pixels:
    """The largest part of that aspect, around the centre."""
    scale = min(pixels.shape[1] / width, pixels.shape[0] / height)
    wide, high = max(1, round(width * scale)), max(1, round(height * scale))
    left, top = (pixels.shape[1] - wide) // 2, (pixels.shape[0] - high) // 2
    return _frozen(pixels[top : top + high, left : left + wide])


def _lab(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    return np.asarray(cv2.cvtColor(pixels.astype(np.float32) / 255.0, cv2.COLOR_RGB2Lab), np.float32)


def _frozen(pixels: npt.NDArray[np.uint8]) -> Pixels:
    pixels = np.ascontiguousarray(pixels)
    pixels.flags.writeable = False
    return pixels
