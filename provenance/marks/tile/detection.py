"""The ladder from pixels to mark: what is cheap and likely first; nothing is warped before it looks promising.

1. as it is      the picture's own size tells the scale; eight orientations
2. whitened      the same after raising what blur took
3. pilot gone    the place where an uncut picture's grid lies, even if no pilot shows
4. synchronised  scales, angles and squeezes that stand out in the spectrum; each is warped once
5. tracked       a whole picture that bends, as in a photograph of a screen: follow the grid
6. what is left  less likely scales and angles, and bends on top of them

Every attempt to decode is counted. An unmarked picture passes the 32-bit checksum with probability at most
attempts x list paths x 2 signs / 2^32: with 32 attempts and 8 paths 1.2e-7 for the whole search over all keys.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from provenance.marks.tile.code import Bits, Floats, decode, encode, negated
from provenance.marks.tile.embedding import canonical_scale
from provenance.marks.tile.pattern import Pattern
from provenance.marks.tile.plane import normalise, whiten
from provenance.marks.tile.reading import ALIGNED, Grid, Plane, find_grids, gather_evidence
from provenance.marks.tile.synchronisation import Candidate, find_candidates
from provenance.marks.tile.tracking import follow
from provenance.marks.tile.warping import rectify, rough_plane, warp

ATTEMPTS: Final = 32
"""How often one search may decode, over all keys."""

PATHS: Final = 8

CHANCE: Final = ATTEMPTS * PATHS * 2 / 2**32
"""That an unmarked picture passes for a marked one: see above."""

_ALL: Final = tuple(range(8))
_TWO: Final = (0, 2)  # what a spectrum cannot tell apart

PATIENCE: Final = 120.0
"""Work that one search may do beyond looking at the picture as it is, in milliseconds of one core of 2024. Of some
1,100 marks that were read at 1024 x 1024, one had needed more than 80 (before noise was judged over five samples)."""

_WARPING: Final = 12.0  # of 512 x 512 samples; in proportion for others
_FOLLOWING: Final = 30.0
_DECODING: Final = 5.0
_WHOLE: Final = 512 * 512

_BENDS_CLEARLY: Final = (4.8, 5.2, 5.6)
"""Clarity from which a bend is worth straightening, the first, second and third time; unmarked pictures reach 6."""

_UNCUT: Final = Grid(0.0, 0, ALIGNED)

CLEAR: Final = 4.6
"""Clarity from which a grid is worth reading; the highest of 16,384 noise values lies at about 4.3."""

SURPLUS: Final = 2.8
"""Surplus from which evidence is worth decoding; few marks that can be decoded have less than 3."""

PROMISING: Final = 57.0
"""Score from which a candidate is straightened first, and also whitened; the best of unmarked pictures reach 56."""


@dataclass(frozen=True, slots=True)
class Found:
    """A mark whose checksum fitted. `surplus`: how loudly it spoke. `corrected_bits`: of the 1024 code bits.
    `attempts`: decodes it took. `geometry`: (3, 3), places (x, y) of the picture to canonical ones, up to whole tiles.
    """

    mark: bytes
    key_id: str
    surplus: float
    corrected_bits: int
    attempts: int
    geometry: npt.NDArray[np.float64]


class Search:
    """One search over one picture. `accept`: the mark of a message whose checksum fits, else None."""

    def __init__(self, patterns: Sequence[Pattern], bits: int, accept: Callable[[Bits], bytes | None]) -> None:
        self._patterns = patterns
        self._bits = bits
        self._accept = accept
        self.attempts = 0
        self.patience = PATIENCE

    def run(self, luma: npt.NDArray[np.uint8]) -> Found | None:
        """`luma`: (height, width). None if no mark was found within the permitted attempts."""
        scale = canonical_scale(*luma.shape)
        planes = []
        for likely in (scale,) if scale >= 1 else (scale, 1.0):  # a small picture may be a cut of a larger one
            half = half_plane(luma, likely)
            planes.append(Plane(normalise(half), _enlarging(luma.shape, half.shape)))
            if found := self._unscaled(planes[-1], half):
                return found
        return self._reshaped(luma.astype(np.float32), planes[0])

    def _reshaped(self, picture: Floats, whole: Plane) -> Found | None:
        candidates = find_candidates(picture, 6)
        likely = [candidate for candidate in candidates if candidate.score >= PROMISING]
        # 4. Synchronised.
        straightened: list[Plane] = []
        for candidate in likely:
            if found := self._straighten(picture, candidate, straightened):
                return found
        # 5. Tracked.
        if found := self._track(picture, whole):
            return found
        # 6. What is left.
        for candidate in candidates[len(likely) :]:
            if found := self._straighten(picture, candidate, straightened):
                return found
        for plane in straightened[:2]:
            if found := self._track(picture, plane):
                return found
        return None

    def _unscaled(self, rough: Plane, plane: Floats) -> Found | None:
        # 1. As it is.
        if found := self._read(rough, _ALL, count=1):
            return found
        # 2. Whitened.
        if found := self._read(Plane(normalise(whiten(plane)), rough.back), _ALL, count=1):
            return found
        # 3. Pilot gone.
        for pattern in self._patterns:
            if found := self._decode(pattern, rough, _UNCUT, 0):
                return found
        return None

    def _straighten(self, picture: Floats, candidate: Candidate, straightened: list[Plane]) -> Found | None:
        straight = rectify(picture, candidate.matrix)
        if straight is None or not self._spend(_WARPING, straight[0]):
            return None
        plane, back = straight
        rough = Plane(rough_plane(plane, back, picture.shape, whitened=False), back)
        straightened.append(rough)
        if found := self._read(rough, _TWO, count=2):
            return found
        if candidate.score < PROMISING or not self._spend(_WARPING, plane):
            return None
        return self._read(Plane(rough_plane(plane, back, picture.shape, whitened=True), back), _TWO, count=2)

    def _track(self, picture: Floats, plane: Plane) -> Found | None:
        for pattern in self._patterns:
            if found := self._follow(picture, plane, pattern):
                return found
        return None

    def _follow(self, picture: Floats, plane: Plane, pattern: Pattern) -> Found | None:
        for least in _BENDS_CLEARLY:
            if not self._spend(_FOLLOWING, plane.rough):
                return None
            bend = follow(plane.rough, pattern)
            if not bend.clarity >= least:  # which is also what no number is
                return None
            back = plane.back @ bend.back
            warped = warp(picture, back, plane.rough.shape)
            plane = Plane(rough_plane(warped, back, picture.shape, whitened=False), back)
            if found := self._read(plane, _TWO, count=1):
                return found
        return None

    def _read(self, plane: Plane, orientations: tuple[int, ...], count: int) -> Found | None:
        # The clearest first, whichever key it belongs to: with many keys, the others are chance.
        grids = [(grid, key) for key in self._patterns for grid in find_grids(plane, key, orientations, count)]
        for grid, pattern in sorted(grids, key=lambda found: -found[0].clarity):
            if grid.clarity < CLEAR:
                break
            if found := self._decode(pattern, plane, grid, 2):
                return found
        return None

    def _decode(self, pattern: Pattern, plane: Plane, grid: Grid, count: int) -> Found | None:
        for evidence in gather_evidence(plane, pattern, grid, count):
            worth = evidence.surplus >= SURPLUS or (evidence.uncut and grid.clarity >= CLEAR)
            if not worth or self.attempts >= ATTEMPTS or not self._spend(_DECODING, None):
                continue
            self.attempts += 1
            for heard in decode(evidence.llr, self._bits, PATHS):
                for message in (heard, negated(heard)):
                    mark = self._accept(message)
                    if mark is not None:
                        wrong = int(((evidence.llr < 0) != encode(heard).astype(bool)).sum())
                        return Found(
                            mark, pattern.key_id, evidence.surplus, wrong, self.attempts, plane.to_canonical(grid)
                        )
        return None

    def _spend(self, effort: float, plane: Floats | None) -> bool:
        """Whether there is patience left for this much work, over all of `plane` if given; if so, it is taken."""
        effort *= 1 if plane is None else plane.size / _WHOLE
        if effort > self.patience:
            return False
        self.patience -= effort
        return True


def half_plane(luma: npt.NDArray[np.uint8], scale: float) -> Floats:
    """A picture at half its canonical size, if it has `scale` pixels per canonical pixel."""
    height, width = luma.shape
    size = (max(1, round(width / scale / 2)), max(1, round(height / scale / 2)))
    return np.asarray(cv2.resize(luma, size, interpolation=cv2.INTER_AREA), np.float32)


def _enlarging(picture: tuple[int, ...], plane: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """(3, 3): places of a picture's plane to those of the picture, both counted from the middle of the first sample."""
    down, across = picture[0] / plane[0], picture[1] / plane[1]
    return np.array([[across, 0, (across - 1) / 2], [0, down, (down - 1) / 2], [0, 0, 1]])
