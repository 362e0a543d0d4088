"""Finds recorded pictures by their looks: PDQ hashes and landmarks of all of them in memory, compared at once.

A million hashes take 32 MB and some ten milliseconds a search; hash tables that promise less work (Norouzi et al. 2012,
multi-index hashing) gain little below that, since matches are as far as 31 of 256 bits away. A search for landmarks
takes 6 ms for each thousand pictures, so only the newest 100,000 are searched for them.
"""

import threading
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sqlalchemy import Engine as Database
from sqlalchemy import select

from gateway.store.database import reading
from gateway.store.schema import images
from provenance.looks.fingerprint import PDQ_LEAST_QUALITY, PDQ_MATCH_DISTANCE
from provenance.looks.landmarks import LEAST_VOTES, POINTS, Codes, as_row, asked, votes
from provenance.marks.watermarkers import Pixels

_WORDS = 4  # 256 bits as 64-bit words
_MOST_SEARCHED = 100_000
_OVERLAP_SECONDS = 600.0
"""Rows are committed a little after the time they carry: those of the last minutes are asked for again."""


@dataclass(frozen=True, slots=True)
class Look:
    """A picture that looks like the one asked for. `distance`: PDQ bits that differ, at most 31 of 256."""

    content_id: str
    distance: int


class Looks:
    """Delivered pictures; every search first takes in what was recorded since. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._lock = threading.Lock()
        self._hashes: npt.NDArray[np.uint64] = np.empty((1024, _WORDS), np.uint64)
        self._points: Codes = np.empty((1024, POINTS), np.uint64)
        self._plain: npt.NDArray[np.bool_] = np.empty(1024, bool)
        self._ids: list[str] = []
        self._known: set[str] = set()
        self._newest = 0.0

    def nearest(self, pdq: str, most: int = 1) -> tuple[Look, ...]:
        """Up to `most` pictures at most `PDQ_MATCH_DISTANCE` away, nearest first. `pdq`: 64 hex characters."""
        with self._lock:
            self._take_in_new()
            ids, hashes, plain = self._ids, self._hashes[: len(self._ids)], self._plain[: len(self._ids)]
        wanted = np.frombuffer(bytes.fromhex(pdq), np.uint64)
        distances = np.bitwise_count(hashes ^ wanted).sum(axis=1)
        near = np.flatnonzero((distances <= PDQ_MATCH_DISTANCE) & ~plain)
        chosen = near[np.argsort(distances[near], kind="stable")][:most]
        return tuple(Look(ids[row], int(distances[row])) for row in chosen)

    def by_points(self, pixels: Pixels, most: int = 3) -> tuple[str, ...]:
        """`by_codes` of a picture."""
        return self.by_codes(asked(pixels), most)

    def by_codes(self, codes: Codes, most: int = 3) -> tuple[str, ...]:
        """Content ids of up to `most` pictures that share the most landmarks, at least `LEAST_VOTES`: candidates, to
        be laid over each other."""
        with self._lock:
            self._take_in_new()
            oldest = max(0, len(self._ids) - _MOST_SEARCHED)
            ids, points = self._ids[oldest:], self._points[oldest : len(self._ids)]
        found = votes(codes, points)
        best = np.argsort(-found, kind="stable")[:most]
        return tuple(ids[row] for row in best if found[row] >= LEAST_VOTES)

    def _take_in_new(self) -> None:
        since = self._newest - _OVERLAP_SECONDS
        columns = (images.c.content_id, images.c.pdq, images.c.pdq_quality, images.c.landmarks, images.c.created_at)
        recent = select(*columns).where(images.c.created_at >= since, images.c.held.is_(False))
        with reading(self.database).connect() as connection:
            new = [each for each in connection.execute(recent) if each.content_id not in self._known]
        for each in new:
            place = len(self._ids)
            if place == len(self._hashes):
                self._hashes = np.concatenate((self._hashes, np.empty_like(self._hashes)))
                self._points = np.concatenate((self._points, np.empty_like(self._points)))
                self._plain = np.concatenate((self._plain, np.empty_like(self._plain)))
            self._hashes[place] = np.frombuffer(bytes.fromhex(each.pdq), np.uint64)
            self._points[place] = as_row(each.landmarks or b"")
            self._plain[place] = each.pdq_quality < PDQ_LEAST_QUALITY
            self._ids.append(each.content_id)
            self._known.add(each.content_id)
            self._newest = max(self._newest, each.created_at)
