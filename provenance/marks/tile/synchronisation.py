"""Finds how a picture was scaled, turned, mirrored or squeezed, from the pilot's lines in its spectrum. Pure.

1. spectrum   power over its neighbourhood's mean: 1 where nothing stands out
2. similarity in log-polar coordinates scaling and turning are shifts, so the sum over the 24 pilots, for every scale
              and angle at once, is 24 shifted additions; twice, for the mirror image (Reddy and Chatterji 1996)
3. squeeze    upright pictures whose sides were scaled differently: the same in log-log coordinates
4. refine     least squares on the lines' exact places gives a 2 x 2 matrix
5. rank       by what stands out at the 24 predicted places; what no better than chance is dropped before any warping

The lines' places do not depend on the key, so one search serves every key.
"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from provenance.marks.tile.code import Floats
from provenance.marks.tile.pattern import PILOTS, TILE
from provenance.marks.tile.plane import normalise
from provenance.marks.tile.transforms import fast_length, rfft2

Matrix = npt.NDArray[np.float64]

_SIDE: Final = 1024
"""Spectra have at least this many lines, and pictures of more than 1024 x 1024 pixels are reduced to that first."""

_LONGEST: Final = 4 * _SIDE

_NEIGHBOURHOOD: Final = (21, 21)
_LOUDEST: Final = 14.0
"""One line counts at most this much: a texture's own lines are louder than a pilot's."""

_CHANCE: Final = 46.0
"""Sum over 24 lines below which a candidate is dropped unseen. Noise alone gives 24, the best of a search about 45."""

_ANGLES: Final = 720  # of half a turn: 0.25 degrees, 0.7 lines at the outermost pilot
_SCALE_STEP: Final = 0.007
_SCALES: Final = (0.22, 2.6)
"""Pixels of the searched picture per canonical pixel."""

_SQUEEZE: Final = 0.26  # largest logarithm of the ratio of the two scales: 0.77 to 1.3
_SQUEEZE_STEP: Final = 0.01

_RADII: Final = np.hypot(PILOTS[:, 0], PILOTS[:, 1])
_SLOPES: Final = np.degrees(np.arctan2(PILOTS[:, 0], PILOTS[:, 1]))
_FREQUENCIES: Final = PILOTS[:, ::-1].astype(np.float64) / TILE  # (24, 2) of (x, y), cycles per canonical pixel


@dataclass(frozen=True, slots=True)
class Candidate:
    """A possible geometry. `matrix`: (2, 2), from picture pixels (x, y) to canonical ones. `score`: what stands out."""

    matrix: Matrix
    score: float


@dataclass(frozen=True, slots=True)
class Spectrum:
    """Power over neighbourhood of a picture that was `reduced` (picture pixels per searched pixel).

    `power`: (height, width), frequency 0 in the middle; `smooth`: the same, blurred a little and capped.
    """

    power: Floats
    smooth: Floats
    reduced: float


def find_candidates(luma: Floats, count: int) -> list[Candidate]:
    """The `count` likeliest geometries of a picture, best first. `luma`: (height, width), float."""
    spectrum = _spectrum(luma)
    guesses = _similarities(spectrum, 24) + _squeezes(spectrum, 8)
    matrices, scores = _refine(spectrum.power, np.array(guesses))
    distinct: list[Candidate] = []
    for best in np.argsort(-scores):
        scaled = matrices[best].T / spectrum.reduced
        if scores[best] < _CHANCE:
            break
        if all(_apart(scaled, other.matrix) for other in distinct):
            distinct.append(Candidate(scaled, float(scores[best])))
        if len(distinct) == count:
            break
    return distinct


def _spectrum(luma: Floats) -> Spectrum:
    height, width = luma.shape
    reduced = max(1.0, float(np.sqrt(height * width)) / _SIDE)
    if reduced > 1:
        size = (round(width / reduced), round(height / reduced))
        luma = cv2.resize(luma, size, interpolation=cv2.INTER_AREA)
    luma = _middle(luma)
    rough = normalise(luma)
    rows, columns = (max(_SIDE, fast_length(side)) for side in luma.shape)
    half = rfft2(rough, (rows, columns))
    power = half.real**2 + half.imag**2
    power /= cv2.max(cv2.blur(power, _NEIGHBOURHOOD, borderType=cv2.BORDER_REFLECT_101), 1e-6)
    power = np.minimum(np.roll(power, rows // 2, 0), np.float32(_LOUDEST))
    smooth = cv2.GaussianBlur(power, (3, 3), 0.6)
    return Spectrum(power, smooth, reduced)


def _middle(luma: Floats) -> Floats:
    """The middle of a picture that is drawn out extremely, which would otherwise ask for gigabytes."""
    top, left = (max(0, side - _LONGEST) // 2 for side in luma.shape)
    return luma[top : top + _LONGEST, left : left + _LONGEST]


def _look_up(power: Floats, x: Floats, y: Floats) -> Floats:
    """Values at frequencies (x, y), cycles per pixel, any sign; 1 beyond the Nyquist frequency."""
    rows, columns = power.shape[0], 2 * (power.shape[1] - 1)
    flip = np.where(x < 0, np.float32(-1), np.float32(1))
    fx, fy = x * flip * np.float32(columns), y * flip * np.float32(rows) + np.float32(rows // 2)
    found = cv2.remap(power, fx, fy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=1.0)
    return np.asarray(found, np.float32)


def _similarities(spectrum: Spectrum, count: int) -> list[Matrix]:
    """The most promising matrices G, frequency seen = G pilot frequency, of scaling, turning and mirroring."""
    lowest = np.log(_RADII.min() / TILE / _SCALES[1])
    columns = int((np.log(_RADII.max() / TILE / _SCALES[0]) - lowest) / _SCALE_STEP) + 2
    radius = np.exp(lowest + np.arange(columns) * _SCALE_STEP).astype(np.float32)
    angle = (np.arange(_ANGLES) * (np.pi / _ANGLES)).astype(np.float32)
    polar = _look_up(spectrum.smooth, np.cos(angle)[:, None] * radius, np.sin(angle)[:, None] * radius)
    polar = np.concatenate([polar, polar])
    scales = int(np.log(_SCALES[1] / _SCALES[0]) / _SCALE_STEP)
    along = np.rint(np.log(_RADII / _RADII.min()) / _SCALE_STEP).astype(int)
    found = []
    for mirror in (1, -1):
        score = np.zeros((_ANGLES, scales), np.float32)
        turn = np.rint(mirror * _SLOPES * (_ANGLES / 180)).astype(int) % _ANGLES
        for row, column in zip(turn, along, strict=True):
            score += polar[row : row + _ANGLES, column : column + scales]
        for value, (row, column) in _peaks(score, count):
            scale = np.exp(lowest + column * _SCALE_STEP) / (_RADII.min() / TILE)
            turned = row * (np.pi / _ANGLES)
            matrix = scale * np.array([[np.cos(turned), -np.sin(turned)], [np.sin(turned), np.cos(turned)]])
            found.append((value, matrix @ np.diag([1.0, float(mirror)])))
    found.sort(key=lambda pair: -pair[0])
    return [matrix for _, matrix in found[:count]]


def _squeezes(spectrum: Spectrum, count: int) -> list[Matrix]:
    """The most promising matrices G of upright pictures, and their mirror images, with two different scales."""
    steps = int(np.log(_SCALES[1] / _SCALES[0]) / _SQUEEZE_STEP)
    spread = int(_SQUEEZE / _SQUEEZE_STEP)
    scale = np.exp(-np.log(_SCALES[1]) + np.arange(steps) * _SQUEEZE_STEP)
    ratio = np.exp(np.arange(-spread, spread + 1) * (_SQUEEZE_STEP / 2))
    gx = np.asarray(scale[:, None] * ratio[None], np.float32)
    gy = np.asarray(scale[:, None] / ratio[None], np.float32)
    found = []
    for mirror in (1, -1):
        score = np.zeros_like(gx)
        for fx, fy in _FREQUENCIES.astype(np.float32):
            score += _look_up(spectrum.smooth, gx * fx * np.float32(mirror), gy * fy)
        for value, (row, column) in _peaks(score, count):
            found.append((value, np.diag([mirror * float(gx[row, column]), float(gy[row, column])])))
    found.sort(key=lambda pair: -pair[0])
    return [matrix for _, matrix in found[:count]]


def _peaks(score: Floats, count: int) -> list[tuple[float, tuple[int, int]]]:
    """The `count` highest places that no neighbour overtops."""
    highest = cv2.dilate(score, np.ones((7, 7), np.uint8))
    rows, columns = np.nonzero(score >= highest)
    values = score[rows, columns]
    order = np.argsort(-values)[:count]
    return [(float(values[n]), (int(rows[n]), int(columns[n]))) for n in order]


_REACH: Final = np.arange(-2, 3)


def _refine(power: Floats, guesses: Matrix) -> tuple[Matrix, npt.NDArray[np.float64]]:
    """Better matrices, (n, 2, 2), by weighted least squares on where the lines are, and what stands out there, (n,)."""
    rows, columns = power.shape[0], 2 * (power.shape[1] - 1)
    size = np.array([columns, rows], np.float64)
    matrices = guesses
    for _ in range(3):
        seen = np.einsum("pj,nij->npi", _FREQUENCIES, matrices)
        sign = np.where(seen[..., :1] < 0, -1.0, 1.0)
        place = np.rint(seen * sign * size).astype(int)
        x = place[..., 0, None, None] + _REACH[None, :]
        y = place[..., 1, None, None] + _REACH[:, None] + rows // 2
        inside = (x >= 0) & (x < power.shape[1]) & (y >= 0) & (y < rows)
        values = power[np.clip(y, 0, rows - 1), np.clip(x, 0, power.shape[1] - 1)]
        excess = np.where(inside, np.maximum(values - 1.5, 0), 0).astype(np.float64)
        mass = np.maximum(excess.sum((2, 3)), 1e-6)
        centre = np.stack([(excess * x).sum((2, 3)) / mass, (excess * y).sum((2, 3)) / mass - rows // 2], -1)
        measured = centre * sign / size
        weighted = _FREQUENCIES * excess.max((2, 3))[..., None]  # (n, 24, 2)
        normal = np.einsum("npi,pj->nij", weighted, _FREQUENCIES) + 1e-9 * np.eye(2)
        aimed = np.einsum("npi,npj->nij", weighted, measured) + 1e-9 * matrices.transpose(0, 2, 1)
        matrices = np.linalg.solve(normal, aimed).transpose(0, 2, 1)
    final = np.einsum("pj,nij->npi", _FREQUENCIES, matrices).astype(np.float32)
    return matrices, _look_up(power, final[..., 0], final[..., 1]).sum(1, dtype=np.float64)


def _apart(one: Matrix, other: Matrix) -> bool:
    """Whether two geometries would move a corner of a picture by more than a few pixels against each other."""
    return bool(np.abs(one - other).max() > 0.004 * np.abs(other).max())
