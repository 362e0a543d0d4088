"""Reads a plane whose scale and rotation are right: where the grid lies, what the tiles say, which mark that is. Pure.

1. find the grid    fold the tiles, match the pilot: position to a fraction of a sample, in each orientation asked for
2. add the tiles    with the signs of each of the 64 places the plane may have come from; the loudest sum is the place
3. weigh            each frequency by its signal and its noise, the signal's loss by blur or scaling included
4. decode           list decoding; only a mark whose checksum fits is a mark
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from provenance.marks.tile.code import LENGTH, Bits, Floats
from provenance.marks.tile.pattern import DATA, DATA_AMPLITUDE, PERIOD, PILOTS, PLANE_TILE, Pattern
from provenance.marks.tile.plane import cut
from provenance.marks.tile.transforms import Complexes, fft2, rfft2

ALIGNED: Final = (0.25, 0.25)
"""Where the grid begins when nothing was cut off: half-size samples lie between canonical pixels 2j and 2j + 1."""

_UNCUT_SAMPLES: Final = 1.5
_SPEAKS_UP: Final = 3.0

_FINER: Final = 2  # the pilot's correlation is worked out at half samples
_LOSSES: Final = np.array([0.0, 0.001, 0.002, 0.0035, 0.005, 0.007, 0.01], np.float32)
"""Decay B of a channel exp(-B k^2): blur of s pixels has B = 2 (pi s / 128)^2, so these reach s = 3.6."""

_DATA_PLACES: Final = (DATA[:, 0] % PLANE_TILE) * (PLANE_TILE // 2 + 1) + DATA[:, 1]
_DATA_SQUARES: Final = (DATA.astype(np.float32) ** 2).sum(1)
_LOUDEST: Final = 4.0


@dataclass(frozen=True, slots=True)
class Grid:
    """A place of the tile grid. `offset`: (y, x) in [0, 64), pattern place of the plane's first sample after it was
    `turned`. `clarity`: height of the pilot's correlation over its spread; noise reaches about 4.5."""

    clarity: float
    orientation: int
    offset: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the tiles say about the 1024 code bits. `llr`: (1024,). `surplus`: energy above noise, in its spread.
    `uncut`: read as a whole picture, where the surplus says little."""

    llr: Floats
    surplus: float
    uncut: bool


def turned(plane: Floats, orientation: int) -> Floats:
    """`plane` rotated by orientation % 4 quarter turns, mirrored first from 4 on."""
    mirrored = plane[:, ::-1] if orientation >= 4 else plane
    return np.ascontiguousarray(np.rot90(mirrored, orientation % 4))


class Plane:
    """A normalised plane, with the transforms that all keys share. `rough`: (height, width). `back`: (3, 3), its places
    (x, y) to those of the picture; not needed where nothing but the mark is asked for."""

    def __init__(self, rough: Floats, back: npt.NDArray[np.float64] | None = None) -> None:
        self.rough = rough
        self.back = np.eye(3) if back is None else back
        self._spectra: dict[tuple[int, int, int], Complexes] = {}

    def tile_spectra(self, orientation: int, whole: tuple[int, int]) -> Complexes:
        """(rows, columns, 64, 33), of the plane as `turned`, with its first sample at grid place `whole`."""
        wanted = (orientation, *whole)
        if wanted not in self._spectra:
            upright = turned(self.rough, orientation) if orientation else self.rough
            self._spectra[wanted] = rfft2(cut(upright, whole))
        return self._spectra[wanted]

    def to_canonical(self, grid: Grid) -> npt.NDArray[np.float64]:
        """(3, 3): places (x, y) of the picture to those of the marked one at its canonical size, up to whole tiles."""
        height, width = self.rough.shape
        turn = np.eye(3)
        if grid.orientation >= 4:
            turn = np.array([[-1.0, 0, width - 1], [0, 1, 0], [0, 0, 1]])
        for _ in range(grid.orientation % 4):
            turn = np.array([[0.0, 1, 0], [-1, 0, width - 1], [0, 0, 1]]) @ turn
            height, width = width, height
        doubled = np.array([[2.0, 0, 2 * grid.offset[1]], [0, 2, 2 * grid.offset[0]], [0, 0, 1]])
        return np.asarray(doubled @ turn @ np.linalg.inv(self.back), np.float64)

    @cached_property
    def noise(self) -> Floats:
        """(64, 64): power that the folded plane would have at each frequency if its tiles had nothing in common."""
        return _noise(self.tile_spectra(0, (0, 0)))

    @cached_property
    def _folds(self) -> dict[int, Complexes]:
        return {}

    def folded(self, orientation: int) -> Complexes:
        """(64, 64): spectrum of the sum of all tiles of the plane as `turned`."""
        if orientation not in self._folds:
            upright = turned(self.rough, orientation)
            self._folds[orientation] = fft2(cut(upright, (0, 0)).sum((0, 1)))
        return self._folds[orientation]


def find_grids(plane: Plane, pattern: Pattern, orientations: tuple[int, ...], count: int) -> list[Grid]:
    """The `count` likeliest grids over all `orientations`, clearest first."""
    folded = plane.folded(0)
    chosen = []
    for orientation in orientations:
        # Turning the plane turns its spectrum, but for a cyclic shift, which moves the peak and leaves its height.
        bins = _turned_back(PILOTS, orientation)
        clarity, _ = _match(_at(folded, bins), _at(plane.noise, bins), pattern)
        chosen.append((clarity, orientation))
    grids = []
    for _, orientation in sorted(chosen, reverse=True)[:count]:
        noise = _at(plane.noise, _turned_back(PILOTS, orientation))
        clarity, offset = _match(_at(plane.folded(orientation), PILOTS), noise, pattern)
        grids.append(Grid(clarity, orientation, offset))
    return sorted(grids, key=lambda grid: -grid.clarity)


def _noise(spectrum: Complexes) -> Floats:
    """(64, 64): power that the sum of (rows, columns, 64, 33) tile spectra would have if they had nothing in common."""
    power = (spectrum.real**2 + spectrum.imag**2).sum((0, 1))
    whole = np.empty((PLANE_TILE, PLANE_TILE), np.float32)
    whole[:, : power.shape[1]] = power
    mirrored = np.roll(power[::-1], 1, 0)
    whole[:, power.shape[1] :] = mirrored[:, PLANE_TILE // 2 - 1 : 0 : -1]
    return np.asarray(cv2.max(cv2.blur(whole, (3, 3)), 0.0), np.float32)


def _turned_back(bins: npt.NDArray[np.intp], orientation: int) -> npt.NDArray[np.intp]:
    """Which frequencies of a plane become `bins` when it is `turned`."""
    ky, kx = bins[:, 0], bins[:, 1]
    for _ in range(orientation % 4):
        ky, kx = kx, -ky
    if orientation >= 4:
        kx = -kx
    return np.stack([ky, kx], 1)


def _at(spectrum: npt.NDArray[Any], bins: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
    return spectrum[bins[:, 0] % PLANE_TILE, bins[:, 1] % PLANE_TILE]


def _match(values: npt.NDArray[Any], noise: npt.NDArray[Any], pattern: Pattern) -> tuple[float, tuple[float, float]]:
    """Clarity and offset of the pilot in the folded plane's coefficients, (24,), over `noise` power, (24,)."""
    matched = values * np.conj(pattern.pilot_phases) / np.sqrt(noise + np.float32(1e-6))
    matched = matched * np.minimum(1, _LOUDEST / np.maximum(np.abs(matched), 1e-6))  # one loud line is not a pilot
    side = PLANE_TILE * _FINER
    spectrum = np.zeros((side, side), np.complex64)
    spectrum[PILOTS[:, 0] % side, PILOTS[:, 1]] = matched
    surface = fft2(spectrum).real
    y, x = (int(place) for place in np.unravel_index(int(surface.argmax()), surface.shape))
    clarity = float(surface[y, x] / np.sqrt(len(PILOTS) / 2))
    fine_y = y + _vertex(surface[(y - 1) % side, x], surface[y, x], surface[(y + 1) % side, x])
    fine_x = x + _vertex(surface[y, (x - 1) % side], surface[y, x], surface[y, (x + 1) % side])
    return clarity, ((fine_y / _FINER) % PLANE_TILE, (fine_x / _FINER) % PLANE_TILE)


def _vertex(before: float, here: float, after: float) -> float:
    """Where a parabola through three equidistant values peaks, relative to the middle one."""
    bend = before - 2 * here + after
    return float(0.5 * (before - after) / bend) if bend < 0 else 0.0


def gather_evidence(plane: Plane, pattern: Pattern, grid: Grid, count: int) -> list[Evidence]:
    """What the plane says about the code bits, up to a common sign.

    For the `count` loudest of the 64 places it may have come from; before them, where the grid allows it, for an uncut
    picture, whatever its loudness: informed embedding cancels the host, and with it energy.
    """
    tiles, deviation, rows, columns = _data_tiles(plane, grid)
    sums = _places(pattern, rows, columns) @ tiles
    sums /= deviation
    sums *= pattern.slot_signs
    spoken, _ = _per_bit(sums[1:], pattern, np.repeat(DATA_AMPLITUDE, 2) / deviation)
    likely = list(1 + np.argsort(-(spoken**2).mean(1))[:count])
    uncut = _astray(grid.offset) < _UNCUT_SAMPLES
    found = [_weigh(sums[place], pattern, deviation, uncut=False) for place in likely]
    return [_weigh(sums[0], pattern, deviation, uncut=True), *found] if uncut else found


def _astray(offset: tuple[float, float]) -> float:
    """How far a grid lies, in samples, from that of a picture that nothing was cut off."""
    return max(abs((found - wanted + 32) % PLANE_TILE - 32) for found, wanted in zip(offset, ALIGNED, strict=True))


def agreement(plane: Plane, pattern: Pattern, code_word: Bits) -> tuple[float, Floats]:
    """How clearly the pilot shows in a fresh, uncut picture (0 if not at its place), and (1024,) how surely each code
    bit reads right, in units of its noise; below 0 it reads wrong.
    """
    clarity, offset = _match(_at(plane.folded(0), PILOTS), _at(plane.noise, PILOTS), pattern)
    tiles, deviation, rows, columns = _data_tiles(plane, Grid(clarity, 0, ALIGNED))
    signs = pattern.tile_signs[np.arange(rows)[:, None] % PERIOD, np.arange(columns)[None] % PERIOD]
    sums = (signs.reshape(1, -1) @ tiles) / deviation * pattern.slot_signs
    spoken, _ = _per_bit(sums, pattern, np.repeat(DATA_AMPLITUDE, 2) / deviation)
    wanted = 1 - 2 * (code_word ^ pattern.scrambler).astype(np.float32)
    return (clarity if _astray(offset) < 1 else 0.0), spoken[0] * wanted


def _data_tiles(plane: Plane, grid: Grid) -> tuple[Floats, Floats, int, int]:
    """(tiles, slots) of each tile's data coefficients, the (slots,) noise of their sum, and the rows and columns."""
    whole = (int(grid.offset[0]), int(grid.offset[1]))
    spectrum = plane.tile_spectra(grid.orientation, whole)
    rows, columns = spectrum.shape[:2]
    tiles = np.take(spectrum.reshape(rows * columns, -1), _DATA_PLACES, axis=1)
    phase = DATA[:, 0] * (grid.offset[0] - whole[0]) + DATA[:, 1] * (grid.offset[1] - whole[1])
    tiles *= np.exp(-2j * np.pi / PLANE_TILE * phase).astype(np.complex64)
    slots = tiles.view(np.float32)
    power = np.einsum("ts,ts->s", slots, slots)
    deviation = np.sqrt(_smooth((power[0::2] + power[1::2]) / 2) + np.float32(1e-6))
    return slots, np.repeat(deviation, 2), rows, columns


def _smooth(power: Floats) -> Floats:
    """Noise power per data frequency, averaged with its neighbours in the plane of frequencies."""
    grid = np.zeros((2 * 31 + 1, 32), np.float32)
    known = np.zeros_like(grid)
    grid[DATA[:, 0] + 31, DATA[:, 1]] = power
    known[DATA[:, 0] + 31, DATA[:, 1]] = 1
    averaged = cv2.blur(grid, (3, 3), borderType=cv2.BORDER_CONSTANT)
    averaged /= cv2.blur(known, (3, 3), borderType=cv2.BORDER_CONSTANT) + np.float32(1e-6)
    return np.asarray(averaged[DATA[:, 0] + 31, DATA[:, 1]], np.float32)


def _places(pattern: Pattern, rows: int, columns: int) -> Floats:
    """(1 + up to 64, rows * columns): the tile signs as seen from the picture's corner, and then from each place of the
    period, the first tile counted as plus.

    A few tiles look alike from many places, and energy cannot tell a pattern from its negative: the decoder's reader
    tries both (`code.negated`).
    """
    shift = np.arange(PERIOD)
    row = (shift[:, None] + np.arange(rows)[None]) % PERIOD
    column = (shift[:, None] + np.arange(columns)[None]) % PERIOD
    seen = pattern.tile_signs[row[:, None, :, None], column[None, :, None, :]]
    flat = seen.reshape(PERIOD * PERIOD, rows * columns)
    flat = flat * flat[:, :1]
    return np.concatenate([flat[:1], np.unique(flat, axis=0)]).astype(np.float32)


def _per_bit(sums: Floats, pattern: Pattern, weight: Floats) -> tuple[Floats, Floats]:
    """(n, 1024) evidence with unit noise from (n, slots), and the (1024,) amplitude that unit signal has in it."""
    weights = np.append(weight, np.float32(0)).astype(np.float32)
    weighted = np.zeros((len(sums), len(weights)), np.float32)
    np.multiply(sums, weights[:-1], out=weighted[:, :-1])
    strength = np.sqrt((weights[pattern.gather] ** 2).sum(0))
    spoken = np.take(weighted, pattern.gather[0], axis=1)
    for slots in pattern.gather[1:]:
        spoken += np.take(weighted, slots, axis=1)
    return spoken / strength, strength


def _weigh(sums: Floats, pattern: Pattern, deviation: Floats, *, uncut: bool) -> Evidence:
    """Evidence at one place, for the channel loss that lets it speak loudest; none if nothing speaks up."""
    weights = np.exp(-_LOSSES[:, None] * np.repeat(_DATA_SQUARES, 2)[None]) * np.repeat(DATA_AMPLITUDE, 2) / deviation
    heard = [_per_bit(sums[None], pattern, weight) for weight in weights]
    surpluses = [float(((spoken[0] ** 2).mean() - 1) * np.sqrt(LENGTH / 2)) for spoken, _ in heard]
    chosen = int(np.argmax(surpluses)) if max(surpluses) >= _SPEAKS_UP else 0
    spoken, strength = heard[chosen][0][0], heard[chosen][1]
    gain = np.sqrt(max(float((spoken**2 - 1).sum()), 0.02 * LENGTH) / float((strength**2).sum()))
    llr = 2 * gain * strength * spoken
    return Evidence(np.where(pattern.scrambler == 1, -llr, llr).astype(np.float32), surpluses[chosen], uncut)
