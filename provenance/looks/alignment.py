"""Lays an original over a copy: which place of the original each place of the copy shows. Pure.

Where the geometry comes from, the surest first:

1. mark    the grid of the watermark tells scale, turn, mirror, squeeze and bend; of the few places of its period the
           content says which
2. whole   the copy is all of the original, at another size
3. points  SIFT pairs and one similarity, also mirrored (`likeness.py`)

and every one is made exact by enlarging the correlation of the two pictures (Evangelidis and Psarakis 2008).
"""

from collections.abc import Iterator
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from provenance.marks.watermarkers import MarkGrid

Matrix = npt.NDArray[np.float64]
"""(3, 3): places (x, y) of the original, from the middle of its first pixel, to those of the copy."""
Plane = npt.NDArray[np.float32]

_COARSE: Final = 8
"""Units of the mark's own scale for each sample of the search for its place."""
_LARGEST: Final = 1024  # samples of that search; what would be larger is a wrong guess
_PLACES: Final = 3


def scaled(factor_x: float, factor_y: float) -> Matrix:
    """Places of a picture to those of one that is so many times as large, pixel for pixel."""
    return np.array([[factor_x, 0, (factor_x - 1) / 2], [0, factor_y, (factor_y - 1) / 2], [0, 0, 1.0]])


def whole(copy: tuple[int, ...], original: tuple[int, ...]) -> Matrix:
    """All of the original in all of the copy."""
    return scaled(copy[1] / original[1], copy[0] / original[0])


def by_mark(copy: Plane, original: Plane, grid: MarkGrid, reduced: tuple[float, float]) -> Iterator[Matrix]:
    """The likeliest ways in which the mark's grid lays the original over the copy, best first.

    `copy`, `original`: brightness, reduced by the factors `reduced`; the matrices are between the reduced pictures.
    """
    ours = reduced[1]
    height, width = (side / ours for side in original.shape)
    unit = grid.pixels_per_unit(round(height), round(width))
    canonical = scaled(1 / unit, 1 / unit) @ scaled(1 / ours, 1 / ours)  # reduced original to canonical
    seen = np.array(grid.matrix) @ scaled(1 / reduced[0], 1 / reduced[0])  # reduced copy to canonical, but for places
    coarse = scaled(1 / _COARSE, 1 / _COARSE)
    across, down = (int(np.ceil(side / unit / _COARSE)) for side in (width, height))
    corners = np.array([[[0, 0], [copy.shape[1], 0], [copy.shape[1], copy.shape[0]], [0, copy.shape[0]]]], np.float64)
    mapped = cv2.perspectiveTransform(corners, coarse @ seen)[0]
    step = grid.period / _COARSE
    least = np.floor(mapped.min(0) / step) * step
    wide, tall = (int(np.ceil(side)) for side in mapped.max(0) - least)
    if not np.all(np.isfinite(mapped)) or max(wide, tall, across, down) > _LARGEST or min(wide, tall) < 4:
        return
    shift = np.array([[1, 0, -least[0]], [0, 1, -least[1]], [0, 0, 1.0]])
    theirs, there = _fine(copy, shift @ coarse @ seen, (tall, wide))
    mine, _ = _fine(original, coarse @ canonical, (down, across))
    size = tuple(cv2.getOptimalDFTSize(a + b) for a, b in ((tall, down), (wide, across)))
    alike = _correlation(theirs, mine, size)
    overlap = np.sqrt(np.maximum(_correlation(there, mine * mine, size), 1e-3)) * float(np.sqrt((theirs**2).sum()) + 1)
    score = alike / overlap
    places = []
    for row in np.arange(-np.ceil(tall / step), np.ceil(down / step) + 1):
        for column in np.arange(-np.ceil(wide / step), np.ceil(across / step) + 1):
            at = round(row * step) % size[0], round(column * step) % size[1]
            places.append((float(score[at]), row * step, column * step))
    for _, row, column in sorted(places, reverse=True)[:_PLACES]:
        moved = np.array([[1, 0, column - least[0]], [0, 1, row - least[1]], [0, 0, 1.0]])
        yield np.asarray(np.linalg.inv(np.linalg.inv(canonical) @ np.linalg.inv(coarse) @ moved @ coarse @ seen))


def _fine(plane: Plane, matrix: Matrix, shape: tuple[int, int]) -> tuple[Plane, Plane]:
    """The plane's structure at the search's scale, and where it is."""
    laid = lay(plane, matrix, shape)
    within = reach(plane.shape, matrix, shape).astype(np.float32)
    weight = cv2.GaussianBlur(within, (0, 0), 3.0) + np.float32(1e-3)
    slow = cv2.GaussianBlur(laid * within, (0, 0), 3.0) / weight
    return np.asarray(np.clip(laid - slow, -40, 40) * within, np.float32), within


def _correlation(one: Plane, other: Plane, size: tuple[int, ...]) -> Plane:
    """Sum of products of `other` with `one` moved by each (row, column), negative ones from the end."""
    product = np.conj(np.fft.rfft2(one, size)) * np.fft.rfft2(other, size)
    return np.asarray(np.fft.irfft2(product, size), np.float32)


def lay(plane: Plane, matrix: Matrix, shape: tuple[int, int]) -> Plane:
    """The plane moved by `matrix` into a picture of `shape`; averaged where that makes it smaller."""
    centre = np.array([plane.shape[1] / 2, plane.shape[0] / 2, 1.0])
    away = float(matrix[2] @ centre)
    step = float(np.sqrt(abs(np.linalg.det(matrix) / (away**3 if away else 1.0))))
    if 0 < step < 0.7:
        height, width = (max(1, round(side * step)) for side in plane.shape[:2])
        matrix = matrix @ np.linalg.inv(scaled(width / plane.shape[1], height / plane.shape[0]))
        plane = cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA)
    size = (shape[1], shape[0])
    return np.asarray(cv2.warpPerspective(plane, matrix, size, borderMode=cv2.BORDER_REPLICATE), np.float32)


def reach(original: tuple[int, ...], matrix: Matrix, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Where, in a picture of `shape`, the original lies."""
    ones = np.ones(original[:2], np.uint8)
    laid = cv2.warpPerspective(ones, matrix, (shape[1], shape[0]), flags=cv2.INTER_NEAREST)
    return np.asarray(laid > 0, np.bool_)


def refined(copy: Plane, original: Plane, matrix: Matrix) -> Matrix:
    """`matrix`, made exact to a fraction of a pixel; as it was where the pictures do not allow it."""
    bend = np.eye(2, 3, dtype=np.float32)
    laid = lay(original, matrix, copy.shape)
    mask = cv2.erode(reach(original.shape, matrix, copy.shape).astype(np.uint8), np.ones((5, 5), np.uint8))
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 25, 1e-4)
    try:
        strength, bend = cv2.findTransformECC(laid, copy, bend, cv2.MOTION_AFFINE, criteria, mask, 5)
    except cv2.error:  # too plain, or it moved away
        return matrix
    corners = np.array([[[0, 0], [copy.shape[1], 0], [copy.shape[1], copy.shape[0]], [0, copy.shape[0]]]], np.float32)
    moved = np.abs(cv2.transform(corners, bend) - corners).max()
    if not np.isfinite(strength) or moved > 0.06 * max(copy.shape):
        return matrix
    return np.asarray(np.vstack([bend.astype(np.float64), [0, 0, 1]]) @ matrix, np.float64)
