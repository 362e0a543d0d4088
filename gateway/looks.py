"""Finds recorded pictures by their looks: the PDQ hashes of all of them in memory, compared at once.

A million hashes take 32 MB and some ten milliseconds a search; hash tables that promise less work (Norouzi et al. 2012,
multi-index hashing) gain little below that, since matches are as far as 31 of 256 bits away.
"""

import threading
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sqlalchemy import Engine, select

from gateway.store.database import reading
from gateway.store.schema import images
from provenance.fingerprint import PDQ_LEAST_QUALITY, PDQ_MATCH_DISTANCE

_WORDS = 4  # 256 bits as 64-bit words
_OVERLAP_SECONDS = 600.0
"""Rows are committed a little after the time they carry: those of the last minutes are asked for again."""


@dataclass(frozen=True, slots=True)
class Look:
    """A picture that looks like the one asked for. `distance`: PDQ bits that differ, at most 31 of 256."""

    content_id: str
    distance: int


class Looks:
    """Delivered pictures with a meaningful hash; every search first takes in what was recorded since. Thread-safe."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._lock = threading.Lock()
        self._hashes: npt.NDArray[np.uint64] = np.empty((1024, _WORDS), np.uint64)
        self._ids: list[str] = []
        self._known: set[str] = set()
        self._newest = 0.0

    def nearest(self, pdq: str, most: int = 1) -> tuple[Look, ...]:
        """Up to `most` pictures at most `PDQ_MATCH_DISTANCE` away, nearest first. `pdq`: 64 hex characters."""
        with self._lock:
            self._take_in_new()
            ids, hashes = self._ids, self._hashes[: len(self._ids)]
        wanted = np.frombuffer(bytes.fromhex(pdq), np.uint64)
        distances = np.bitwise_count(hashes ^ wanted).sum(axis=1)
        near = np.flatnonzero(distances <= PDQ_MATCH_DISTANCE)
        chosen = near[np.argsort(distances[near], kind="stable")][:most]
        return tuple(Look(ids[row], int(distances[row])) for row in chosen)

    def _take_in_new(self) -> None:
        since = self._newest - _OVERLAP_SECONDS
        asked = select(images.c.content_id, images.c.pdq, images.c.created_at).where(
            images.c.created_at >= since, images.c.pdq_quality >= PDQ_LEAST_QUALITY, images.c.held.is_(False)
        )
        with reading(self.engine).connect() as connection:
            rows = [row for row in connection.execute(asked) if row.content_id not in self._known]
        for row in rows:
            if len(self._ids) == len(self._hashes):
                self._hashes = np.concatenate((self._hashes, np.empty_like(self._hashes)))
            self._hashes[len(self._ids)] = np.frombuffer(bytes.fromhex(row.pdq), np.uint64)
            self._ids.append(row.content_id)
            self._known.add(row.content_id)
            self._newest = max(self._newest, row.created_at)
