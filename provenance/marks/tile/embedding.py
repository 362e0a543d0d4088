"""Adds the pattern to a picture: stronger where texture hides it, capped where nothing does. Pure.

1. luma     ITU-R BT.601, the band the pattern lives in
2. mask     local roughness, eroded so that the flat side of an edge does not pay for the edge
3. gain     solved for the wanted PSNR; the gain is the RMS in flat areas, so the cap on it bounds visibility
4. add      the same change to red, green and blue, so colours keep their hue
"""

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from provenance.marks.tile.code import Floats
from provenance.marks.tile.pattern import PERIOD, TILE
from provenance.marks.watermarkers import Pixels

_MASK_SLOPE: Final = 0.56
_MASK_START: Final = 0.35  # roughness, in grey levels, up to which an area counts as flat
_MASK_CEILING: Final = 5.0
_ROUNDING_ENERGY: Final = 1 / 12
"""Mean square that rounding to whole numbers adds."""

_TOLERANCE: Final = 1.01
_STRIPE: Final = 64  # rows; even, as the mask has half the rows

_SMALL: Final = 768
_SHRINKING: Final = 0.4
_SMALLEST_SCALE: Final = 0.64

_BOX_SMALL: Final = (5, 5)
_ERODE: Final = np.ones((5, 5), np.uint8)


def canonical_scale(height: int, width: int) -> float:
    """Pixels per canonical pixel. Above 1024 x 1024 it grows with the picture, so that reduced copies keep the band.
    Below 768 x 768 it shrinks: a small picture has room for the mark only where its own spectrum is quieter.
    """
    side = float(np.sqrt(height * width))
    return max(1.0, side / 1024) if side >= _SMALL else max(_SMALLEST_SCALE, (side / _SMALL) ** _SHRINKING)


def half_mask(luma: npt.NDArray[np.uint8]) -> Floats:
    """How much of the pattern each 2 x 2 square hides, 1 (flat) to 5. `luma`: (height, width)."""
    height, width = luma.shape
    half = cv2.resize(luma, ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA).astype(np.float32)
    rough = cv2.absdiff(half, cv2.GaussianBlur(half, (5, 5), 1.0))
    calm = cv2.erode(cv2.boxFilter(rough, -1, _BOX_SMALL), _ERODE)
    textured = cv2.max(cv2.boxFilter(calm, -1, _BOX_SMALL) - np.float32(_MASK_START), 0.0)
    strength = cv2.min(1 + np.float32(_MASK_SLOPE) * textured, _MASK_CEILING)
    return np.asarray(strength, np.float32)


def lay_out(pilot: Floats, data: Floats, tile_signs: Floats, height: int, width: int) -> Floats:
    """The pattern for a picture of this size: tiles from the top left corner, the data with the sign of its tile."""
    scale = canonical_scale(height, width)
    rows, columns = (int(np.ceil(side / scale / TILE)) for side in (height, width))
    both = (pilot - data, pilot + data)
    pattern = np.empty((rows * TILE, columns * TILE), np.float32)
    for row in range(rows):
        for column in range(columns):
            positive = tile_signs[row % PERIOD, column % PERIOD] > 0
            pattern[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE] = both[int(positive)]
    if scale == 1:
        return pattern[:height, :width]
    # Pixel centres: canonical = (pixel + 1/2) / scale - 1/2.
    shift = 0.5 / scale - 0.5
    matrix = np.array([[1 / scale, 0, shift], [0, 1 / scale, shift]])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    stretched = cv2.warpAffine(pattern, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(stretched, np.float32)


def add(pixels: Pixels, pattern: Floats, *, psnr_db: float, flat_rms: float) -> Pixels:
    """A read-only marked copy. `pattern`: unit variance, the size of `pixels`. The gain stops at `flat_rms`."""
    mask = half_mask(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))
    wanted = 255.0**2 / 10 ** (psnr_db / 10) - _ROUNDING_ENERGY
    hidden = float(np.dot(mask.ravel(), mask.ravel())) / mask.size
    gain = min(float(np.sqrt(max(wanted, 0) / hidden)), flat_rms)
    marked, energy = _add(pixels, pattern, mask, gain)
    if energy > wanted * _TOLERANCE:  # the pattern happened to be strong where the mask is
        marked, _ = _add(pixels, pattern, mask, gain * float(np.sqrt(wanted / energy)))
    marked.flags.writeable = False
    return marked


def _add(pixels: Pixels, pattern: Floats, mask: Floats, gain: float) -> tuple[Pixels, float]:
    """The marked pixels, and the mean square that was added. In stripes, so that everything stays in the cache."""
    height, width = pattern.shape
    marked = np.empty_like(pixels)
    energy = 0.0
    for top in range(0, height, _STRIPE):
        bottom = min(top + _STRIPE, height)
        first, last = max(top // 2 - 1, 0), min((bottom + 1) // 2 + 1, mask.shape[0])  # a row more for interpolation
        change = cv2.resize(mask[first:last], (2 * mask.shape[1], 2 * (last - first)), interpolation=cv2.INTER_LINEAR)
        change = change[top - 2 * first : bottom - 2 * first, :width] * pattern[top:bottom]
        energy += float(np.dot(change.ravel(), change.ravel()))
        # Rounded and cut at 0, each sign apart: whole numbers that OpenCV adds and subtracts with saturation.
        brighter = cv2.cvtColor(cv2.multiply(change, gain, dtype=cv2.CV_8U), cv2.COLOR_GRAY2RGB)
        darker = cv2.cvtColor(cv2.multiply(change, -gain, dtype=cv2.CV_8U), cv2.COLOR_GRAY2RGB)
        cv2.add(pixels[top:bottom], brighter, dst=brighter)
        cv2.subtract(brighter, darker, dst=marked[top:bottom])
    return marked, energy * gain**2 / pattern.size
