"""Follows a grid that bends: the homography under which the pilots of all tiles agree best. Pure.

1. listen   every tile's pilots as a surface: how well each displacement fits
2. guess    around the places that speak clearest (a tile with half of its neighbours), hundreds of slight bends; a
            bend's score is the sum of what the tiles nearby say at the displacements it predicts
3. narrow   around the best few, in smaller and smaller steps, each tile for itself and all of them together: by now
            neighbours may lie apart
4. settle   the likeliest bend given the phases of all pilots in all tiles, by Newton's method

A tile alone is too weak to be trusted in rough texture; what it says counts only as part of one common bend.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from provenance.marks.tile import keystream
from provenance.marks.tile.code import Floats
from provenance.marks.tile.pattern import PILOTS, PLANE_TILE, Pattern
from provenance.marks.tile.plane import cut, spectra
from provenance.marks.tile.transforms import irfft2

Matrix = npt.NDArray[np.float64]
Shape = npt.NDArray[np.float64]
"""(8,), in samples at the edge: place (y, x), the linear part (yy, yx, xy, xx) and the perspective (y, x) of a bend."""

_REACH: Final = 256.0
"""Samples from the middle of a 1024 x 1024 picture's plane to its edge: the unit of length of a bend."""

_RANGES: Final = np.array([2, 2, 9, 9, 9, 9, 9, 9], np.float32)
"""How far a bend is guessed. Corners moved by 3 per cent of the side bend a picture by up to about 9."""

_SEEDS: Final = 14
_GUESSES: Final = 2 * keystream.uniform(b"", "bends", 600 * 8).reshape(600, 8).astype(np.float32) - 1
_ROUNDS: Final = 4
_SHRINKING: Final = 0.5
_KEPT: Final = 4
_LOUDEST_TILE: Final = 5.0  # deviations; one tile alone decides nothing
_LOUDEST_PILOT: Final = 2.0  # times what it usually says
_NEAR: Final = ((0.4, 6), (0.8, 6))  # how far around a clear tile is listened, and how many bends stay
_FAINT: Final = 0.03
_STEPS: Final = 5
_STIFFNESS: Final = np.array([20, 20, 5, 5, 5, 5, 5, 5], np.float64)
"""Standard deviation of a bend from where Newton's method begins, in samples at the edge."""

_PHASES: Final = -2 * np.pi / PLANE_TILE * PILOTS.astype(np.float64)  # (24, 2): radians per sample of displacement


@dataclass(frozen=True, slots=True)
class Bend:
    """`back`: the (3, 3) homography from a straightened plane to the one that was followed. `clarity`: agreement of
    all pilots in all tiles, over its spread."""

    back: Matrix
    clarity: float


def follow(rough: Floats, pattern: Pattern) -> Bend:
    """The likeliest bend of a normalised plane, (height, width), that is upright."""
    tiles = cut(rough, (0, 0))
    rows, columns = tiles.shape[:2]
    spoken = spectra(tiles, PILOTS) * np.conj(pattern.pilot_phases)
    spoken /= np.sqrt((np.abs(spoken) ** 2).mean((0, 1))) + np.float32(1e-9)
    spoken *= np.minimum(1, _LOUDEST_PILOT / np.maximum(np.abs(spoken), 1e-6))
    middle = np.array([rows, columns]) * (PLANE_TILE / 2)
    index = np.stack(np.divmod(np.arange(rows * columns), columns), 1)
    centres = ((index + 0.5) * PLANE_TILE - middle) / _REACH
    around = np.pad(spoken, ((1, 1), (1, 1), (0, 0)))
    around = around[1:-1] + (around[:-2] + around[2:]) / 2
    around = around[:, 1:-1] + (around[:, :-2] + around[:, 2:]) / 2
    surfaces = _surfaces(around)
    guesses = _search(np.clip(surfaces, -1, _LOUDEST_TILE), _surfaces(spoken), centres)
    settled = [_settle(spoken.reshape(-1, len(PILOTS)), centres, guess) for guess in guesses]
    bend, clarity = max(settled, key=lambda found: found[1])
    return Bend(_homography(bend, middle), clarity)


def _surfaces(spoken: npt.NDArray[Any]) -> Floats:
    """(tiles, 64, 64): how well each displacement (y, x) fits what a tile says, in deviations."""
    rows, columns = spoken.shape[:2]
    spectrum = np.zeros((rows * columns, PLANE_TILE, PLANE_TILE // 2 + 1), np.complex64)
    spectrum[:, PILOTS[:, 0] % PLANE_TILE, PILOTS[:, 1]] = np.conj(spoken).reshape(rows * columns, -1)
    surface = irfft2(spectrum, (PLANE_TILE, PLANE_TILE)) * np.float32(PLANE_TILE**2 / 2)
    spread = np.sqrt((np.abs(spoken) ** 2).sum(2) / 2).reshape(-1, 1, 1) + 1e-6
    return np.asarray(surface / spread, np.float32)


def _search(surfaces: Floats, sharp: Floats, centres: npt.NDArray[np.float64]) -> list[Shape]:
    """The most promising bends. `surfaces`: heard with the neighbours; `sharp`: alone."""
    moving = _moving(centres).astype(np.float32)
    places = surfaces.reshape(len(surfaces), -1).argmax(1)
    clearest = np.argsort(-surfaces.max((1, 2)))[:_SEEDS]
    kept = []
    for tile in clearest:
        away = ((centres - centres[tile]) ** 2).sum(1)
        bends = _GUESSES * _RANGES
        seen = np.array(divmod(int(places[tile]), PLANE_TILE))
        bends[:, :2] += seen - (bends[:, 2:] @ moving[2:, :, tile])  # they leave this tile where it was seen
        for near, count in _NEAR:
            weight = np.exp(-away / near**2)
            inside = np.flatnonzero(weight > _FAINT)
            bends = _best(surfaces, moving, bends, count, inside, weight[inside].astype(np.float32))
            bends = _nearby(bends, _RANGES * np.float32(_SHRINKING), 100)
        kept.append(bends)
    everywhere = np.arange(len(centres)), np.ones(len(centres), np.float32)
    chosen = _best(sharp, moving, np.concatenate(kept), 2 * _KEPT, *everywhere)
    ranges = _RANGES
    for _ in range(_ROUNDS):
        ranges = ranges * np.float32(_SHRINKING)
        chosen = _best(sharp, moving, _nearby(chosen, ranges, 1200 // len(chosen)), _KEPT, *everywhere)
    return list(chosen.astype(np.float64))


def _nearby(bends: Floats, ranges: Floats, count: int) -> Floats:
    """`bends`, (n, 8), and `count` others around each."""
    return np.concatenate([bends, (bends[:, None] + _GUESSES[None, :count] * ranges).reshape(-1, 8)])


def _best(
    surfaces: Floats, moving: Floats, bends: Floats, count: int, tiles: npt.NDArray[np.intp], weight: Floats
) -> Floats:
    """The `count` best of `bends`, (n, 8), best first, by the weighted sum of what `tiles` hear where they predict."""
    down, across = (np.rint(bends @ moving[:, axis, tiles]).astype(np.int32) & (PLANE_TILE - 1) for axis in (0, 1))
    place = tiles.astype(np.int32) * PLANE_TILE**2 + down * PLANE_TILE + across
    score = surfaces.ravel().take(place) @ weight
    return bends[np.argsort(-score)[:count]]


def _displacements(bend: Shape, centres: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(tiles, 2) of (y, x): how far each tile lies from where it should, in samples."""
    moved = bend[:2] + centres @ bend[2:6].reshape(2, 2).T
    tilt = centres @ bend[6:] / _REACH
    return np.asarray((moved + _REACH * centres * tilt[:, None]) / (1 - tilt)[:, None], np.float64)


def _homography(bend: Shape, middle: npt.NDArray[np.float64]) -> Matrix:
    """(3, 3), of (x, y): from where tiles should lie to where they are seen."""
    y, x, yy, yx, xy, xx, tilt_y, tilt_x = bend / _REACH
    unit = np.array([[1, 0, -middle[1]], [0, 1, -middle[0]], [0, 0, _REACH]]) / _REACH
    moved = np.array([[1 + xx, xy, x], [yx, 1 + yy, y], [-tilt_x, -tilt_y, 1]])
    return np.asarray(np.linalg.inv(unit) @ np.linalg.inv(moved) @ unit, np.float64)


def _moving(centres: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(8, 2, tiles): how the displacement (y, x) of each tile changes with each number of a bend, if it is slight."""
    y, x = centres.T
    one, none = np.ones_like(x), np.zeros_like(x)
    rows = [[one, none], [none, one], [y, none], [x, none], [none, y], [none, x], [y * y, x * y], [y * x, x * x]]
    return np.array(rows)


def _settle(spoken: npt.NDArray[Any], centres: npt.NDArray[np.float64], bend: Shape) -> tuple[Shape, float]:
    """The likeliest bend near `bend`, and how clearly it shows. `spoken`: (tiles, 24)."""
    slope = np.einsum("pi,kib->bpk", _PHASES, _moving(centres))
    start, heard = bend, _aligned(spoken, centres, bend)
    for _ in range(_STEPS):
        amplitude = 2 * max(float(heard.real.mean()), 0.02)
        push = amplitude * np.einsum("bp,bpk->k", heard.imag, slope) + (bend - start) / _STIFFNESS**2
        weighted = np.maximum(heard.real, 0)[..., None] * slope
        firmness = amplitude * np.einsum("bpj,bpk->jk", weighted, slope) + np.diag(_STIFFNESS**-2)
        bend = bend - np.linalg.solve(firmness, push)
        heard = _aligned(spoken, centres, bend)
    return bend, float(heard.real.sum() / np.sqrt(heard.size / 2))


def _aligned(spoken: npt.NDArray[Any], centres: npt.NDArray[np.float64], bend: Shape) -> npt.NDArray[Any]:
    """What the tiles say after `bend` has been undone: real and positive where they agree with it."""
    return np.asarray(spoken * np.exp(1j * (_displacements(bend, centres) @ _PHASES.T)))
