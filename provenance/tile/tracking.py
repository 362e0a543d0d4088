"""Follows a grid that bends: where each tile's pilot really lies, and the homography that puts it right. Pure."""

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from provenance.tile.code import Floats
from provenance.tile.pattern import PILOTS, PLANE_TILE, Pattern
from provenance.tile.plane import cut, spectra
from provenance.tile.reading import Plane, find_grids
from provenance.tile.transforms import fft2

Matrix = npt.NDArray[np.float64]

_REACH: Final = 10  # samples a tile's pilot may lie off the common grid
_LEAST_TILES: Final = 6
_CLEAR: Final = 3.6
_INLIER_SAMPLES: Final = 1.5


def follow(plane: Plane, pattern: Pattern) -> Matrix | None:
    """The (3, 3) homography from a straightened plane to `plane`, or None if too few tiles agree on one."""
    best: tuple[int, Matrix] | None = None
    for grid in find_grids(plane, pattern, (0, 2), 2):
        measured = _displacements(plane.rough, pattern, grid.orientation, grid.offset)
        if measured is None:
            continue
        straight, seen = measured
        if len(straight) < _LEAST_TILES:
            continue
        model, inliers = cv2.findHomography(straight, seen, cv2.RANSAC, _INLIER_SAMPLES)
        if model is None:
            continue
        agreeing = int(inliers.sum())
        if agreeing >= _LEAST_TILES and (best is None or agreeing > best[0]):
            best = agreeing, np.asarray(model, np.float64)
    return None if best is None else best[1]


def _displacements(
    rough: Floats, pattern: Pattern, orientation: int, offset: tuple[float, float]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
    """Where tile centres should lie and where they do, each (n, 2) of (x, y) in `rough`, for the clear tiles."""
    upside_down = orientation == 2
    upright = np.ascontiguousarray(rough[::-1, ::-1]) if upside_down else rough
    whole = (int(offset[0]), int(offset[1]))
    tiles = cut(upright, whole)
    values = spectra(tiles, PILOTS) * np.conj(pattern.pilot_phases)
    energy = (tiles**2).mean((2, 3))
    # Neighbours move alike: each tile listens to the three by three around it, but most to itself.
    around = np.zeros(values.shape, np.complex64)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            around += np.float32(0.5 ** (abs(dy) + abs(dx))) * _shifted(values, dy, dx)
    around /= np.abs(around).mean((0, 1)) + 1e-9
    spectrum = np.zeros((*values.shape[:2], PLANE_TILE, PLANE_TILE), np.complex64)
    spectrum[:, :, PILOTS[:, 0] % PLANE_TILE, PILOTS[:, 1]] = around
    surface = fft2(spectrum).real
    expected = np.array([offset[0] - whole[0], offset[1] - whole[1]])
    straight, seen = [], []
    places = np.arange(-_REACH, _REACH + 1)
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            if energy[row, column] <= 0.3 * energy.mean():
                continue
            window = surface[row, column][np.ix_(places % PLANE_TILE, places % PLANE_TILE)]
            y, x = np.unravel_index(int(window.argmax()), window.shape)
            if window[y, x] < _CLEAR * surface[row, column].std():
                continue
            moved = np.array([places[y], places[x]]) - expected
            centre = np.array([row + 0.5, column + 0.5]) * PLANE_TILE - whole
            straight.append(centre[::-1])
            seen.append((centre - moved)[::-1])
    if not straight:
        return None
    one, other = np.array(straight), np.array(seen)
    if upside_down:
        last = np.array([rough.shape[1] - 1, rough.shape[0] - 1], np.float64)
        one, other = last - one, last - other
    return one, other


def _shifted(values: npt.NDArray[np.complex64], dy: int, dx: int) -> npt.NDArray[np.complex64]:
    """`values` (rows, columns, n) moved by one tile at most; zero moves in."""
    rows, columns = values.shape[:2]
    moved = np.zeros_like(values)
    moved[max(dy, 0) : rows + min(dy, 0), max(dx, 0) : columns + min(dx, 0)] = values[
        max(-dy, 0) : rows + min(-dy, 0), max(-dx, 0) : columns + min(-dx, 0)
    ]
    return moved
