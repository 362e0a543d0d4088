"""The `dwtdctsvd` watermark: readable by invisible-watermark's `dwtDctSvd` decoder, embedded faster and more gently.

The scheme (invisible-watermark 0.2.0, `dwtDctSvd.py`): blue chroma U, one Haar step, the low band in 4x4 blocks, and
in block number n the largest singular value s is moved so that `s mod step` lies at 1/4 (bit 0) or 3/4 (bit 1) of
the step; bit n of the code sits in blocks n, n+96, n+192, …

What the library spends in a Python loop is not needed, and where its embedder is careless ours is not:

- The DCT in the name is orthonormal, so it changes neither the singular values nor the outcome: it is left out.
- Moving s by d adds d·u·vᵀ (the leading singular vectors) to a block. The blocks are all positive, so u and v come
  out of one or two rounds of power iteration over all blocks at once; the few that do not settle get a real SVD.
- s moves to the *nearest* place that carries the bit, not to the one in the same step: half the distance on average.
- The detail bands are left alone (the library swaps two of them by mistake) and only U is moved, by adding to blue
  and taking from green, so brightness and red stay exactly as they were.
- A block whose blue is near black or white moves in the direction where there is room.

Limits, measured: any crop, scaling or rotation loses this mark, and so does strong JPEG; see the README.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from provenance.errors import MarkUnreadable
from provenance.marks.watermarkers import Detection, Pixels
from provenance.payload import CODE_BITS, WEAK_BITS, protect, recover, to_bits

Floats = npt.NDArray[np.float32]

STEP: Final = 36.0
"""`scales[1]` of invisible-watermark's defaults: the quantiser's step on the singular value."""

# OpenCV's BGR2YUV, which the scheme is defined on: U = 0.492 (B - Y) + 128, Y = 0.299 R + 0.587 G + 0.114 B,
# and back: B = Y + 2.032 (U - 128), G = Y - 0.395 (U - 128) - …, R without U.
_U_FROM_RGB: Final = np.array([-0.492 * 0.299, -0.492 * 0.587, 0.492 * (1 - 0.114)], np.float32)
_GREEN_FROM_U: Final = -0.395
_BLUE_FROM_U: Final = 2.032

_SETTLED: Final = 0.05
"""Largest residual of a leading pair, in units of s, far below the quarter step (9) that separates the bits."""

_CHANCE: Final = 3 * 2.0**WEAK_BITS / 2**32
"""Of a checksum that fits by accident: three strengths, each with every subset of the weak bits."""

_LEAST_CERTAINTY: Final = 0.3
"""A fresh mark whose weakest bit reads less surely than this would not survive ordinary handling: mark it harder."""

_ROUGH: Final = ((16.0, 2.25), (4.0, 1.5))
"""Roughness above which a harder strength is the start. Measured: photographs 0.5 to 1.3; at these limits noise of
any grain is read after JPEG 75 with 4:2:0 from 256 x 256 on, where strength 1 already loses it at JPEG 90."""


class LibraryWatermark:
    """Part `dwtdctsvd`."""

    name = "dwtdctsvd"
    version = "1"
    algorithm = "dev.fluxgate.dwtdctsvd.1"
    strengths: tuple[float, ...] = (1.0, 1.5, 2.25)
    min_pixels = 256 * 256  # the library's own bound; leaves ten blocks for each bit
    marks = True

    class Options(BaseModel):
        """Nothing to choose: a mark that two gateways write differently is two marks."""

        model_config = ConfigDict(frozen=True, extra="forbid")

    def __init__(self, options: Options) -> None:
        pass

    def embed(self, pixels: Pixels, mark: bytes, strength: float) -> Pixels:
        """See `Watermarker.embed`. Climbs to a harder strength by itself where this one does not hold."""
        self._check_size(pixels)
        bits = to_bits(protect(mark))
        blocks = blocks_of(low_band(pixels))
        leading = leading_values(blocks)
        gentlest = max(strength, _strength_for(_roughness(blocks, leading[1])))
        for candidate in (known for known in self.strengths if known >= gentlest):
            marked = _embed(pixels, leading, bits, STEP * candidate)
            found = self.detect(marked)
            if found and found.mark == mark and not found.corrected_bits and found.certainty >= _LEAST_CERTAINTY:
                return marked
        raise MarkUnreadable(f"{self.name}: this picture does not hold the mark at any permitted strength")

    def detect(self, pixels: Pixels) -> Detection | None:
        """See `Watermarker.detect`. Pictures under the minimum size hold no mark."""
        if pixels.shape[0] * pixels.shape[1] < self.min_pixels or min(pixels.shape[:2]) < 8:
            return None
        _, values, _ = leading_values(blocks_of(low_band(pixels)))
        for strength in self.strengths:
            evidence = _evidence(values, STEP * strength)
            recovered = recover(evidence)
            if recovered:
                mark, corrected = recovered
                return Detection(mark, self.algorithm, float(np.abs(evidence).min()), corrected, _CHANCE)
        return None

    def _check_size(self, pixels: Pixels) -> None:
        height, width = pixels.shape[:2]
        if height * width < self.min_pixels or min(height, width) < 8:
            raise MarkUnreadable(f"{self.name}: {width}x{height} is too small, at least {self.min_pixels} pixels")


def low_band(pixels: Pixels) -> Floats:
    """Haar low band of U: (height // 8 * 4, width // 8 * 4). Each value is half the sum of a 2x2 square of U.

    Columns and rows beyond a multiple of 8 fill no block and are left out, as the library leaves them out.
    """
    height, width = (side // 8 * 8 for side in pixels.shape[:2])
    rows = np.ascontiguousarray(pixels[:height, :width]).reshape(height, width * 3)
    pairs = rows[0::2].astype(np.uint16) + rows[1::2]
    weights = np.concatenate([_U_FROM_RGB, _U_FROM_RGB]) / 2
    low: Floats = np.asarray(pairs.reshape(-1, 6).astype(np.float32) @ weights, np.float32)
    return low.reshape(height // 2, width // 2) + np.float32(256)


def blocks_of(band: Floats) -> Floats:
    """(4, 4, blocks): row and column inside a block first, so that one operation runs over all blocks."""
    height, width = band.shape
    return np.ascontiguousarray(band.reshape(height // 4, 4, width // 4, 4).transpose(1, 3, 0, 2)).reshape(4, 4, -1)


def leading_values(blocks: Floats) -> tuple[Floats, Floats, Floats]:
    """The leading singular triple of every block: u (4, blocks), s (blocks,), v (4, blocks)."""
    right = blocks.sum(0)
    right /= np.sqrt(np.square(right).sum(0))
    left = np.einsum("ijn,jn->in", blocks, right)
    right = np.einsum("ijn,in->jn", blocks, left)
    right /= np.sqrt(np.square(right).sum(0))
    left = np.einsum("ijn,jn->in", blocks, right)
    values = np.sqrt(np.square(left).sum(0))
    left /= values
    residual = np.abs(np.einsum("ijn,in->jn", blocks, left) - values * right).max(0)
    unsettled = np.flatnonzero(residual > _SETTLED)
    if unsettled.size:
        u, s, vt = np.linalg.svd(blocks[:, :, unsettled].transpose(2, 0, 1))
        left[:, unsettled], values[unsettled], right[:, unsettled] = u[:, :, 0].T, s[:, 0], vt[:, 0, :].T
    return left, values, right


def _evidence(values: Floats, step: float) -> npt.NDArray[np.float64]:
    """(96,) in [-1, 1]: the mean over a bit's blocks of how near s lies to 3/4 (one) or 1/4 (zero) of the step."""
    speaks = -np.sin(values * np.float32(2 * np.pi / step)).astype(np.float64)
    whole = speaks.size // CODE_BITS * CODE_BITS
    totals = speaks[:whole].reshape(-1, CODE_BITS).sum(0)
    totals[: speaks.size - whole] += speaks[whole:]
    counts = np.full(CODE_BITS, whole // CODE_BITS)
    counts[: speaks.size - whole] += 1
    evidence: npt.NDArray[np.float64] = totals / counts
    return evidence


def _roughness(blocks: Floats, values: Floats) -> float:
    """How far the typical block is from a single colour or ramp: the median over blocks of what `s·u·vᵀ` leaves."""
    left_over = np.square(blocks).sum((0, 1)) - np.square(values)
    return float(np.sqrt(max(float(np.median(left_over)), 0.0) / 16))


def _strength_for(roughness: float) -> float:
    """The gentlest strength worth trying: JPEG coarsens the chroma of rough pictures most, and there it shows least."""
    return next((strength for limit, strength in _ROUGH if roughness > limit), 1.0)


def _embed(pixels: Pixels, leading: tuple[Floats, Floats, Floats], bits: npt.NDArray[np.uint8], step: float) -> Pixels:
    """A read-only copy of `pixels` with `bits` repeated over all blocks; not checked."""
    height, width = (side // 8 * 8 for side in pixels.shape[:2])
    left, values, right = leading
    wanted = np.resize(bits, values.size).astype(np.float32) * np.float32(0.5) + np.float32(0.25)
    nearest = (np.rint(values / step - wanted) + wanted) * np.float32(step) - values
    darkest, brightest = _range(pixels, 2, height, width)
    move = _with_room(nearest, step, darkest, brightest)
    change = np.einsum("in,jn,n->ijn", left, right, move).reshape(4, 4, height // 8, width // 8)
    chroma = change.transpose(2, 0, 3, 1).reshape(height // 2, width // 2) / 2  # inverse Haar of the low band alone
    green_low, green_high = _range(pixels, 1, height, width)
    green = _fit(chroma * _GREEN_FROM_U, green_low, green_high)
    blue = _fit((chroma - _U_FROM_RGB[1] * green) / _U_FROM_RGB[2], darkest, brightest)  # what green could not take
    return _add(pixels, green, blue)


def _range(pixels: Pixels, channel: int, height: int, width: int) -> tuple[Pixels, Pixels]:
    """Darkest and brightest value of one channel in every 2x2 square."""
    plane = np.ascontiguousarray(pixels[:height, :width, channel])
    low, high = np.minimum(plane[0::2], plane[1::2]), np.maximum(plane[0::2], plane[1::2])
    return np.minimum(low[:, 0::2], low[:, 1::2]), np.maximum(high[:, 0::2], high[:, 1::2])


def _fit(change: Floats, darkest: Pixels, brightest: Pixels) -> Floats:
    """`change` in whole steps, cut to what keeps every pixel of a 2x2 square within 0 to 255."""
    return np.clip(np.rint(change), -darkest.astype(np.float32), 255 - brightest.astype(np.float32))


def _with_room(nearest: Floats, step: float, darkest: Pixels, brightest: Pixels) -> Floats:
    """`nearest`, or one step the other way in blocks where blue would leave its range and the other way has room.

    A block changes evenly enough that its mean change, s / 4 in the low band and half of that in U, stands for all.
    """
    height, width = darkest.shape
    floor = darkest.reshape(height // 4, 4, width // 4, 4).min(axis=(1, 3)).ravel().astype(np.float32)
    ceiling = 255 - brightest.reshape(height // 4, 4, width // 4, 4).max(axis=(1, 3)).ravel().astype(np.float32)
    blue = nearest * (_BLUE_FROM_U / 8)
    other = nearest - np.copysign(np.float32(step), nearest)
    short = np.where(nearest > 0, ceiling - blue, floor + blue)
    short_other = np.where(other > 0, ceiling - other * (_BLUE_FROM_U / 8), floor + other * (_BLUE_FROM_U / 8))
    return np.where((short < 0) & (short_other > short), other, nearest)


def _add(pixels: Pixels, green: Floats, blue: Floats) -> Pixels:
    """A read-only copy with every 2x2 square shifted by whole numbers that are known to fit."""
    height, width = green.shape[0] * 2, green.shape[1] * 2
    marked = pixels.copy()
    for channel, change in ((1, green), (2, blue)):
        shift = change.astype(np.int16).astype(np.uint8)  # two's complement: added modulo 256, it is a signed change
        for row in (0, 1):
            for column in (0, 1):
                marked[row:height:2, column:width:2, channel] += shift
    marked.flags.writeable = False
    return marked
