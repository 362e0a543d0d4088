"""Compares pictures with lists of known ones: by PDQ in all flips and quarter turns, files by their digest.

The part `pdq_list`. A list whose files change is read anew before the next picture is looked at.
"""

import hashlib
import threading
from collections.abc import Iterator

import numpy
from pydantic import BaseModel, ConfigDict

from moderation.classifiers import Pixels
from moderation.errors import ClassifierFailed, PartUnusable
from moderation.known_pictures.lists import (
    HASH_BITS,
    PART,
    HashList,
    InlineList,
    ListFile,
    Signature,
    Words,
    read_list,
    words_of,
)
from moderation.known_pictures.pdq import dihedral_pdq
from policies.findings import Finding, Stage

LOW_QUALITY_SCORE = 0.25


class PdqList:
    """Reports, per list and category, how near the picture is to the nearest known one.

    The score's scale, the same for every list:

    - 0: no entry within the list's `max_distance`.
    - 1 - distance / 256: a match. At the default limit of 31 bits that is 0.88 to 1, and never below 0.75. A file whose
      MD5, SHA-1 or SHA-256 is listed scores 1.
    - 0.25: an entry is that near, but the picture's quality is below the list's `minimum_quality`. Flat and blurred
      pictures have much the same hash as each other, so this is no sign of a known picture; a policy may still hold it.

    Facts of a finding: `list`, `list_version`, `list_digest`, `entry` if one matches; for PDQ also `quality` (0 to
    100), `quality_below` with the list's minimum if the picture is under it, and `distance`; for files `matched_by`.
    Never a hash.
    """

    name = PART
    version = "1"

    class Options(BaseModel):
        """`lists`: files or folders; `data`: lists that stand in the policy's data. Ids must be distinct.

        A list without an active entry claims no category, so that it covers nothing at boot.
        """

        model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

        lists: tuple[ListFile, ...] = ()
        data: tuple[InlineList, ...] = ()

    def __init__(self, options: Options) -> None:
        """Reads every list. Raises `PartUnusable` if one is unreadable, ids repeat, or there is nothing to look for."""
        sources: tuple[ListFile | InlineList, ...] = (*options.lists, *options.data)
        self._lists = tuple(_Current(source) for source in sources)
        ids = [each.source.id for each in self._lists]
        if len(set(ids)) < len(ids):
            raise PartUnusable(PART, "lists", "two lists have the same id", "Give each list an id of its own")
        if not self.categories:
            remedy = "Name a list in `lists` or `data`, or remove the part and accept the gap in the policy"
            raise PartUnusable(PART, "lists", "no list has an active entry", remedy)

    @property
    def categories(self) -> frozenset[str]:
        """Categories with at least one active entry, now or at an earlier reading in this process."""
        return frozenset(known.category for each in self._lists for known in each.known)

    def classify(self, pixels: Pixels, stage: Stage) -> tuple[Finding, ...]:
        """One finding per list and category of it. Deterministic; several threads may call at once.

        `pixels`: (height, width, 3), uint8, sRGB, of any size; not changed, not kept. Raises `ClassifierFailed` on
        anything else, and while a list that has changed cannot be read.
        """
        hashes, quality = dihedral_hashes(pixels)
        return tuple(self._compare(known, hashes, quality, stage) for known in self._fresh())

    def classify_file(self, data: bytes) -> tuple[Finding, ...]:
        """One finding per list and category of it: is the digest of this file, a picture sent in, listed?

        `data`: the whole file as it came. Raises `ClassifierFailed` while a list that has changed cannot be read.
        """
        lists = tuple(self._fresh())
        kinds = {kind for known in lists for kind, _ in known.files}
        digests = [(kind, hashlib.new(kind, data, usedforsecurity=False).hexdigest()) for kind in sorted(kinds)]
        return tuple(self._look_up(known, digests) for known in lists)

    def _fresh(self) -> Iterator[HashList]:
        for each in self._lists:
            yield from each.fresh()

    def _look_up(self, known: HashList, digests: list[tuple[str, str]]) -> Finding:
        facts = _facts(known)
        matches = [(kind, known.files[kind, digits]) for kind, digits in digests if (kind, digits) in known.files]
        if matches:
            facts += [("matched_by", matches[0][0]), ("entry", matches[0][1])]
        return Finding(known.category, float(bool(matches)), Stage.INPUT_IMAGE, self.name, self.version, tuple(facts))

    def _compare(self, known: HashList, hashes: Words, quality: int, stage: Stage) -> Finding:
        score = 0.0
        facts = [*_facts(known), ("quality", str(quality))]
        if quality < known.minimum_quality:
            facts.append(("quality_below", str(known.minimum_quality)))
        found = known.nearest(hashes)
        if found:
            entry, distance = found
            facts += [("entry", entry), ("distance", str(distance))]
            score = LOW_QUALITY_SCORE if quality < known.minimum_quality else 1.0 - distance / HASH_BITS
        return Finding(known.category, score, stage, self.name, self.version, tuple(facts))


class _Current:
    """One list as it stands on disk. A category it once had keeps its list, perhaps empty, so that the claim stands."""

    def __init__(self, source: ListFile | InlineList) -> None:
        self.source = source
        self.known: tuple[HashList, ...] = ()
        self._lock = threading.Lock()
        self._signature: Signature | None = None
        self._renew()

    def fresh(self) -> tuple[HashList, ...]:
        """The list, read anew if its files have changed. Raises `ClassifierFailed` if that fails, until it succeeds."""
        with self._lock:  # whoever comes meanwhile waits: from a change on nothing is compared with the old list
            try:
                self._renew()
            except PartUnusable as error:
                raise ClassifierFailed(f"list {self.source.id} has changed and cannot be read") from error
            return self.known

    def _renew(self) -> None:
        signature = self.source.signature() if isinstance(self.source, ListFile) else ()
        if signature != self._signature:
            self.known = read_list(self.source, frozenset(known.category for known in self.known))
            self._signature = signature  # of before the reading: a change during it shows next time


def _facts(known: HashList) -> list[tuple[str, str]]:
    return [("list", known.id), ("list_version", known.version), ("list_digest", known.digest)]


def dihedral_hashes(pixels: Pixels) -> tuple[Words, int]:
    """PDQ hashes of the picture in all eight flips and quarter turns, (4, 8), and its quality, 0 to 100."""
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != numpy.uint8 or not pixels.size:
        raise ClassifierFailed(f"{PART} needs pixels of shape (height, width, 3) and type uint8")
    hashes, quality = dihedral_pdq(pixels)
    return words_of(list(hashes)), quality
