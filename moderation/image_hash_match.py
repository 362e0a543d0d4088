"""Compares a picture's PDQ hash with lists of known pictures, in all flips and quarter turns: the part `pdq_list`."""

import numpy
from pydantic import BaseModel, ConfigDict

from moderation.classifiers import Pixels
from moderation.errors import ClassifierFailed, PartUnusable
from moderation.image_hash_lists import HASH_BITS, PART, HashList, InlineList, ListFile, Words, read_list, words_of
from moderation.pdq import dihedral_pdq
from policies.findings import Finding, Stage

LOW_QUALITY_SCORE = 0.25


class PdqList:
    """Reports, per list and category, how near the picture is to the nearest known one.

    The score's scale, the same for every list:

    - 0: no entry within the list's `max_distance`.
    - 1 - distance / 256: a match. At the default limit of 31 bits that is 0.88 to 1, and never below 0.75.
    - 0.25: an entry is that near, but the picture's quality is below the list's `minimum_quality`. Flat and blurred
      pictures have much the same hash as each other, so this is no sign of a known picture; a policy may still hold it.

    Facts of a finding: `list`, `list_version`, `list_digest`, `quality` (0 to 100); `quality_below` with the list's
    minimum if the picture is under it; `entry` and `distance` if an entry is near enough. Never a hash.
    """

    name = PART
    version = "1"

    class Options(BaseModel):
        """`lists`: files; `data`: lists that stand in the policy's data. Ids must be distinct.

        A list without an active entry claims no category, so that it covers nothing at boot.
        """

        model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

        lists: tuple[ListFile, ...] = ()
        data: tuple[InlineList, ...] = ()

    def __init__(self, options: Options) -> None:
        """Reads every list. Raises `PartUnusable` if one is unreadable, ids repeat, or there is nothing to look for."""
        sources: tuple[ListFile | InlineList, ...] = (*options.lists, *options.data)
        ids = [source.id for source in sources]
        if len(set(ids)) < len(ids):
            raise PartUnusable(PART, "lists", "two lists have the same id", "Give each list an id of its own")
        self._lists: tuple[HashList, ...] = tuple(known for source in sources for known in read_list(source))
        if not self._lists:
            remedy = "Name a list in `lists` or `data`, or remove the part and accept the gap in the policy"
            raise PartUnusable(PART, "lists", "no list has an active entry", remedy)

    @property
    def categories(self) -> frozenset[str]:
        """Categories with at least one active entry."""
        return frozenset(known.category for known in self._lists)

    def classify(self, pixels: Pixels, stage: Stage) -> tuple[Finding, ...]:
        """One finding per list and category of it. Deterministic; several threads may call at once.

        `pixels`: (height, width, 3), uint8, sRGB, of any size; not changed, not kept. Raises `ClassifierFailed` on
        anything else.
        """
        hashes, quality = dihedral_hashes(pixels)
        return tuple(self._compare(known, hashes, quality, stage) for known in self._lists)

    def _compare(self, known: HashList, hashes: Words, quality: int, stage: Stage) -> Finding:
        score = 0.0
        facts = [
            ("list", known.id),
            ("list_version", known.version),
            ("list_digest", known.digest),
            ("quality", str(quality)),
        ]
        if quality < known.minimum_quality:
            facts.append(("quality_below", str(known.minimum_quality)))
        found = known.nearest(hashes)
        if found:
            entry, distance = found
            facts += [("entry", entry), ("distance", str(distance))]
            score = LOW_QUALITY_SCORE if quality < known.minimum_quality else 1.0 - distance / HASH_BITS
        return Finding(known.category, score, stage, self.name, self.version, tuple(facts))


def dihedral_hashes(pixels: Pixels) -> tuple[Words, int]:
    """PDQ hashes of the picture in all eight flips and quarter turns, (4, 8), and its quality, 0 to 100."""
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != numpy.uint8 or not pixels.size:
        raise ClassifierFailed(f"{PART} needs pixels of shape (height, width, 3) and type uint8")
    hashes, quality = dihedral_pdq(pixels)
    return words_of(list(hashes)), quality
