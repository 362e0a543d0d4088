"""Attempts to remove a mark without its key and without another picture. All leave the geometry as it is."""

from collections.abc import Callable
from functools import partial
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from provenance.marks.tile.embedding import canonical_scale
from provenance.marks.tile.pattern import PILOTS, TILE
from provenance.marks.watermarkers import Pixels


def self_folded(pixels: Pixels, strength: float, period: int = 128) -> Pixels:
    """Removal: the average of the picture's own tiles, `strength` times subtracted."""
    luma = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    rough = luma - cv2.GaussianBlur(luma, (0, 0), 2.5)
    rough = np.clip(rough, -8, 8)
    height, width = luma.shape
    rows, columns = height // period, width // period
    tiles = rough[: rows * period, : columns * period].reshape(rows, period, columns, period)
    average = np.tile(tiles.mean((0, 2)), (rows + 1, columns + 1))[:height, :width]
    return _whole(pixels - strength * average[..., None])


def notched(pixels: Pixels, above: float) -> Pixels:
    """Removal: every line of the spectrum that stands `above` its neighbourhood is brought down to it."""
    luma = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    spectrum = np.fft.rfft2(luma)
    power = np.abs(spectrum).astype(np.float32) ** 2
    around = np.maximum(cv2.blur(power, (21, 21), borderType=cv2.BORDER_REFLECT_101), 1e-3)
    fy, fx = np.fft.fftfreq(luma.shape[0])[:, None], np.fft.rfftfreq(luma.shape[1])[None]
    peaks = (power > above * around) & (np.hypot(fy, fx) > 0.03)
    calmed = np.where(peaks, spectrum * np.sqrt(around / np.maximum(power, 1e-3)) * 0.3, spectrum)
    change = np.fft.irfft2(calmed - spectrum, s=luma.shape)
    return _whole(pixels + change[..., None])


def unpiloted(pixels: Pixels) -> Pixels:
    """Removal: what stands at the pilot frequencies of the tile scheme, which are the same for every key, is brought
    down to the median power around them."""
    luma = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    height, width = luma.shape
    spectrum = np.fft.rfft2(luma)
    power = np.abs(spectrum) ** 2
    calmed = spectrum.copy()
    tile = TILE * canonical_scale(height, width)
    for ky, kx in PILOTS:
        row, column = round(ky * height / tile), round(kx * width / tile)
        rows, around = np.arange(row - 2, row + 3) % height, np.arange(row - 7, row + 8) % height
        columns = slice(max(column - 2, 0), column + 3)
        quiet = np.median(power[around, max(column - 7, 0) : column + 8])
        loud = np.maximum(power[rows, columns], 1e-3)
        calmed[rows, columns] *= np.minimum(np.sqrt(quiet / loud), 1)
    change = np.fft.irfft2(calmed - spectrum, s=luma.shape)
    return _whole(pixels + change[..., None])


def _both(pixels: Pixels) -> Pixels:
    return notched(self_folded(pixels, 1.0), 8.0)


def _whole(pixels: npt.NDArray[np.floating]) -> Pixels:
    out: Pixels = np.ascontiguousarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))
    out.flags.writeable = False
    return out


REMOVALS: Final[tuple[tuple[str, Callable[[Pixels], Pixels]], ...]] = (
    ("self-fold x1.0", partial(self_folded, strength=1.0)),
    ("self-fold x1.5", partial(self_folded, strength=1.5)),
    ("notch above 8", partial(notched, above=8.0)),
    ("notch above 15", partial(notched, above=15.0)),
    ("self-fold x1, notch above 8", _both),
    ("pilots removed", unpiloted),
)
"""Every removal, by the name it has in the report."""
