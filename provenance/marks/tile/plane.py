"""Prepares luma for reading: half the canonical size, the host's structure flattened, tiles transformed. Pure."""

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from provenance.marks.tile.code import Floats
from provenance.marks.tile.pattern import PLANE_TILE
from provenance.marks.tile.transforms import Complexes, fast_length, irfft2, rfft2

_HIGH_PASS_SIGMA: Final = 1.25
_WINDOW: Final = (5, 5)


def normalise(plane: Floats) -> Floats:
    """The plane's fine structure, weighted as a matched filter would: divided by the local noise, and once more by
    it times the mask the embedder used there. What stands out is clipped, so no edge speaks louder than a field.
    """
    rough = plane - cv2.GaussianBlur(plane, (0, 0), _HIGH_PASS_SIGMA, borderType=cv2.BORDER_REFLECT_101)
    energy = cv2.boxFilter(rough * rough, -1, _WINDOW, borderType=cv2.BORDER_REFLECT_101)
    spread = cv2.sqrt(cv2.max(energy, 0.0))  # running sums leave a flat area slightly below zero
    clipped = np.clip(rough / (spread + np.float32(0.6)), -2.5, 2.5)
    weight = cv2.min(1 + np.float32(0.4) * spread, 5.0) / (spread + np.float32(1.2))
    return np.asarray(clipped * weight, np.float32)


def whiten(plane: Floats) -> Floats:
    """The plane with all frequencies of the band made equally loud: what blur and scaling took is raised again."""
    height, width = (fast_length(side) for side in plane.shape)
    spectrum = rfft2(plane - plane.mean(), (height, width))
    loudness = cv2.max(cv2.boxFilter(np.abs(spectrum), -1, (25, 25), borderType=cv2.BORDER_REFLECT_101), 0.0)
    fy = np.fft.fftfreq(height).astype(np.float32)[:, None]
    fx = np.fft.rfftfreq(width).astype(np.float32)[None]
    radius = np.sqrt(fy * fy + fx * fx)
    band = (radius > 0.05) & (radius < 0.49)
    flat = np.where(band, spectrum / (loudness + np.float32(1e-3)), 0)
    back = irfft2(flat, (height, width))[: plane.shape[0], : plane.shape[1]]
    spread = float(back.std())
    return np.asarray(back * (4 / spread) if spread > 0 else back, np.float32)


def cut(rough: Floats, offset: tuple[int, int]) -> Floats:
    """(rows, columns, 64, 64) tiles. Plane sample (y, x) lands at grid place (y + offset_y, x + offset_x).

    What lies outside the plane counts as zero.
    """
    (height, width), (oy, ox) = rough.shape, offset
    rows, columns = -(-(height + oy) // PLANE_TILE), -(-(width + ox) // PLANE_TILE)
    padded = np.zeros((rows * PLANE_TILE, columns * PLANE_TILE), np.float32)
    padded[oy : oy + height, ox : ox + width] = rough
    tiles = padded.reshape(rows, PLANE_TILE, columns, PLANE_TILE).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(tiles)


def spectra(tiles: Floats, bins: npt.NDArray[np.intp]) -> Complexes:
    """(..., bins): Fourier coefficients of (..., 64, 64) tiles at `bins`, (n, 2) of (ky, kx), kx >= 0."""
    transformed = rfft2(tiles)
    return np.ascontiguousarray(transformed[..., bins[:, 0] % PLANE_TILE, bins[:, 1]], np.complex64)
