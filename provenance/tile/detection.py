"""The ladder from pixels to mark: what is cheap and likely first; nothing is warped before it looks promising.

1. as it is      the picture's own size tells the scale; eight orientations
2. whitened      the same after raising what blur took
3. pilot gone    the place where an uncut picture's grid lies, even if no pilot shows
4. synchronised  the likeliest scales, angles and squeezes; each is warped once
5. tracked       where the pilot shows but the data does not speak: follow the grid as it bends

Every attempt to decode is counted. An unmarked picture passes the 32-bit checksum with probability at most
attempts x list paths x 2 signs / 2^32: with 64 attempts and 8 paths 2.4e-7 for the whole search over all keys.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from provenance.tile.code import Bits, Floats, decode, encode, negated
from provenance.tile.embedding import canonical_scale
from provenance.tile.pattern import Pattern
from provenance.tile.plane import normalise, whiten
from provenance.tile.reading import ALIGNED, Evidence, Grid, Plane, find_grids, gather_evidence
from provenance.tile.synchronisation import find_candidates
from provenance.tile.tracking import follow
from provenance.tile.warping import rectify, rough_plane, warp

ATTEMPTS: Final = 64
"""How often one search may decode, over all keys."""

PATHS: Final = 8

CHANCE: Final = ATTEMPTS * PATHS * 2 / 2**32
"""That an unmarked picture passes for a marked one: see above."""

_ALL: Final = tuple(range(8))
_TWO: Final = (0, 2)  # what a spectrum cannot tell apart

_UNCUT: Final = Grid(0.0, 0, ALIGNED)

CLEAR: Final = 4.6
"""Clarity from which a grid is worth reading; the highest of 16,384 noise values lies at about 4.3."""

SURPLUS: Final = 2.8
"""Surplus from which evidence is worth decoding; a mark that can be decoded has at least 4."""


PROMISING: Final = 57.0
"""Score from which a candidate's picture is also whitened and tracked; the best of unmarked pictures reach 56."""


@dataclass(frozen=True, slots=True)
class Found:
    """A mark whose checksum fitted. `surplus`: how loudly it spoke. `corrected_bits`: of the 1024 code bits.
    `attempts`: decodes it took."""

    mark: bytes
    key_id: str
    surplus: float
    corrected_bits: int
    attempts: int


class Search:
    """One search over one picture. `accept`: the mark of a message whose checksum fits, else None."""

    def __init__(self, patterns: Sequence[Pattern], bits: int, accept: Callable[[Bits], bytes | None]) -> None:
        self._patterns = patterns
        self._bits = bits
        self._accept = accept
        self.attempts = 0

    def run(self, luma: npt.NDArray[np.uint8]) -> Found | None:
        """`luma`: (height, width). None if no mark was found within the permitted attempts."""
        scale = canonical_scale(*luma.shape)
        for likely in (scale,) if scale >= 1 else (scale, 1.0):  # a small picture may be a cut of a larger one
            if found := self._unscaled(half_plane(luma, likely)):
                return found
        # 4 and 5. Synchronised, tracked.
        return self._synchronise(luma.astype(np.float32))

    def _unscaled(self, plane: Floats) -> Found | None:
        # 1. As it is.
        rough = Plane(normalise(plane))
        if found := self._read(rough, _ALL, count=1):
            return found
        # 2. Whitened.
        if found := self._read(Plane(normalise(whiten(plane))), _ALL, count=1):
            return found
        # 3. Pilot gone.
        for pattern in self._patterns:
            if found := self._decode(pattern, gather_evidence(rough, pattern, _UNCUT, 0), clear=False):
                return found
        return None

    def _synchronise(self, picture: Floats) -> Found | None:
        bent = []
        for candidate in find_candidates(picture, 6):
            straight = rectify(picture, candidate.matrix)
            if straight is None:
                continue
            plane, back = straight
            rough = Plane(rough_plane(plane, back, picture.shape, whitened=False))
            if found := self._read(rough, _TWO, count=2):
                return found
            if candidate.score < PROMISING:
                continue
            bent.append((rough, back))
            if found := self._read(Plane(rough_plane(plane, back, picture.shape, whitened=True)), _TWO, count=2):
                return found
        for rough, back in bent[:2]:
            for pattern in self._patterns:
                if found := self._track(picture, rough, back, pattern):
                    return found
        return None

    def _track(self, picture: Floats, plane: Plane, back: npt.NDArray[np.float64], pattern: Pattern) -> Found | None:
        for _ in range(3):
            better = follow(plane, pattern)
            if better is None:
                return None
            back = back @ better
            warped = warp(picture, back, plane.rough.shape)
            plane = Plane(rough_plane(warped, back, picture.shape, whitened=False))
            if found := self._read(plane, _TWO, count=1):
                return found
        return None

    def _read(self, plane: Plane, orientations: tuple[int, ...], count: int) -> Found | None:
        for pattern in self._patterns:
            for grid in find_grids(plane, pattern, orientations, count):
                if grid.clarity < CLEAR:
                    continue
                if found := self._decode(pattern, gather_evidence(plane, pattern, grid, 2), clear=True):
                    return found
        return None

    def _decode(self, pattern: Pattern, spoken: list[Evidence], *, clear: bool) -> Found | None:
        for evidence in spoken:
            worth = evidence.surplus >= SURPLUS or (evidence.uncut and clear)
            if not worth or self.attempts >= ATTEMPTS:
                continue
            self.attempts += 1
            for heard in decode(evidence.llr, self._bits, PATHS):
                for message in (heard, negated(heard)):
                    mark = self._accept(message)
                    if mark is not None:
                        wrong = int(((evidence.llr < 0) != encode(heard).astype(bool)).sum())
                        return Found(mark, pattern.key_id, evidence.surplus, wrong, self.attempts)
        return None


def half_plane(luma: npt.NDArray[np.uint8], scale: float) -> Floats:
    """A picture at half its canonical size, if it has `scale` pixels per canonical pixel."""
    height, width = luma.shape
    size = (max(1, round(width / scale / 2)), max(1, round(height / scale / 2)))
    return np.asarray(cv2.resize(luma, size, interpolation=cv2.INTER_AREA), np.float32)
