"""Makes searchable lists of known pictures from files or inline data. Of their contents only entry ids leave this file.

A list is one file, or a folder whose files are its pages; `image_hash_formats.py` says which shapes are read. Records
are replayed in order of their time, those of one time in the order in which they stand, and the last one of an entry
wins: a withdrawal or a tombstone that comes later un-matches the entry, wherever it stands.

The list's id, category, version, distance and quality stand in the options, under the policy's digest. The list's own
digest is `sha256:` over the bytes of its file, or over those of its pages in order of their names, each with its name
and length in front; an inline list's is over the canonical JSON of its records.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy
import numpy.typing
from pydantic import BaseModel, ConfigDict, Field

from moderation.errors import PartUnusable
from moderation.known_pictures.formats import READERS, Entry, HashHex, HashRecord, Identifier, Unreadable, entries_of
from policies.findings import Category

PART = "pdq_list"
HASH_BITS = 256

MAX_LIST_BYTES = 256 * 1024 * 1024
"""Of all pages of one list together: room for about 1.5 million records, held in memory while they are read."""

MAX_PAGES = 10_000

Words = numpy.typing.NDArray[numpy.uint64]
"""Hashes as 64-bit words: (4, n), one hash a column, so that a search runs along contiguous memory."""

Signature = tuple[tuple[str, int, int, int], ...]
"""(name, inode, size in bytes, time of change in nanoseconds) of each file: differs once a list has changed."""


class ListSource(BaseModel):
    """What every list states about itself, wherever its records are.

    `max_distance`: bits that may differ; 31 is PDQ's published threshold. At 64 two unrelated hashes are still eight
    standard deviations apart, beyond it they are not. `minimum_quality`: of the looked-at picture, 0 to 100; PDQ's
    reference tools drop hashes below 50. `version`: as its publisher numbers it; without one the digest stands in.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    id: Identifier
    category: Category
    version: Identifier | None = None
    max_distance: int = Field(default=31, ge=0, le=64)
    minimum_quality: int = Field(default=50, ge=0, le=100)


class ListFile(ListSource):
    """A list in a local file or folder. `sha256`: of its digest, 64 hex digits; if given, other content is refused."""

    path: Path
    sha256: HashHex | None = None

    def signature(self) -> Signature:
        """Of its files now. Raises `PartUnusable`."""
        try:
            return tuple((page.name, (at := page.stat()).st_ino, at.st_size, at.st_mtime_ns) for page in self.pages())
        except OSError as error:
            raise _unreadable(self, error) from error

    def pages(self) -> list[Path]:
        """Its files, by name; hidden ones do not count. Raises `OSError`."""
        if not self.path.is_dir():
            return [self.path]
        return sorted(page for page in self.path.iterdir() if not page.name.startswith("."))


class InlineList(ListSource):
    """A list that stands in the policy's own data."""

    entries: tuple[HashRecord, ...]


@dataclass(frozen=True, slots=True)
class HashList:
    """The active entries of one category of one list, ready to be searched.

    `words`: (4, n), PDQ; `entries`: their n ids. `files`: (kind, hex digits of a file's hash) → entry id.
    """

    id: str
    version: str
    digest: str
    category: str
    max_distance: int
    minimum_quality: int
    entries: tuple[str, ...]
    words: Words
    files: dict[tuple[str, str], str]

    def nearest(self, queries: Words) -> tuple[str, int] | None:
        """The entry nearest to any of `queries` ((4, m)), and its distance; None if none is within `max_distance`.

        Of equally near entries the first of the list is named, so that equal pictures give equal findings.
        """
        best: tuple[int, int] | None = None
        for query in queries.T:
            # Half of each hash is enough to rule out nearly all: unrelated halves differ in 64 bits of 128.
            half = numpy.bitwise_count(self.words[0] ^ query[0]) + numpy.bitwise_count(self.words[1] ^ query[1])
            rows = numpy.flatnonzero(half <= self.max_distance)
            if rows.size:
                rest = numpy.bitwise_count(self.words[2:, rows] ^ query[2:, None]).sum(axis=0, dtype=numpy.int64)
                distances = half[rows] + rest
                at = int(distances.argmin())
                found = (int(distances[at]), int(rows[at]))
                best = found if best is None else min(best, found)
        if best is None or best[0] > self.max_distance:
            return None
        return self.entries[best[1]], best[0]


def words_of(hashes: Iterable[bytes]) -> Words:
    """(4, n) from hashes of 32 bytes each."""
    packed = numpy.frombuffer(b"".join(hashes), dtype=numpy.uint64).reshape(-1, 4)
    return numpy.ascontiguousarray(packed.T)


def read_list(source: ListFile | InlineList, also: frozenset[str] = frozenset()) -> tuple[HashList, ...]:
    """One `HashList` per category that has an active entry, and one for each of `also`, if need be without entries.

    Raises `PartUnusable` naming list, file and line or record if a file is missing, too large, has another digest than
    pinned, or holds a record of another shape. No message quotes a record.
    """
    if isinstance(source, ListFile):
        entries, digest = _read_files(source)
    else:
        entries = [record.entry() for record in source.entries]
        canonical = json.dumps([record.model_dump(mode="json") for record in source.entries], sort_keys=True)
        digest = "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()

    latest: dict[str, Entry] = {}
    for entry in sorted(entries, key=lambda entry: entry.time):  # stable: equal times keep their order
        latest[entry.key] = entry
    by_category: dict[str, list[tuple[str, str, str]]] = defaultdict(list, {category: [] for category in also})
    for entry in latest.values():
        if entry.active:
            found = ((kind, digits, entry.id) for kind, digits in entry.hashes)
            by_category[(entry.category or source.category).value] += found
    return tuple(
        HashList(
            id=source.id,
            version=source.version or digest,
            digest=digest,
            category=category,
            max_distance=source.max_distance,
            minimum_quality=source.minimum_quality,
            entries=tuple(name for kind, _, name in known if kind == "pdq"),
            words=words_of(bytes.fromhex(digits) for kind, digits, _ in known if kind == "pdq"),
            files={(kind, digits): name for kind, digits, name in known if kind != "pdq"},
        )
        for category, known in sorted(by_category.items())
        if known or category in also
    )


def _read_files(source: ListFile) -> tuple[list[Entry], str]:
    field = f"lists.{source.id}"
    entries: list[Entry] = []
    whole, taken = hashlib.sha256(), 0
    try:
        pages = source.pages()
        if len(pages) > MAX_PAGES:
            raise PartUnusable(PART, field, f"the folder has more than {MAX_PAGES} files", "Join pages")
        for page in pages:
            if page.suffix.lower() not in READERS:
                known = " or ".join(READERS)
                raise PartUnusable(PART, field, f"{page}: a file's name must end in {known}", "Rename or convert it")
            with page.open("rb") as file:
                data = file.read(MAX_LIST_BYTES - taken + 1)
            taken += len(data)
            if taken > MAX_LIST_BYTES:
                raise PartUnusable(
                    PART, field, f"{page}: it has over {MAX_LIST_BYTES} bytes", "Split it into two lists"
                )
            if page != source.path:
                whole.update(f"{page.name}\0{len(data)}\0".encode())
            whole.update(data)
            try:
                entries += entries_of(page.suffix.lower(), data, source.id)
            except Unreadable as error:  # its own cause is cut off, for it may carry the document
                raise PartUnusable(PART, field, f"{page}, {error}", "Correct or remove it") from None
    except OSError as error:
        raise _unreadable(source, error) from error
    sha256 = whole.hexdigest()
    if source.sha256 not in (None, sha256):
        remedy = "Find out who changed the list, or pin the new digest"
        raise PartUnusable(PART, field, f"{source.path} has the digest {sha256}, pinned is {source.sha256}", remedy)
    return entries, "sha256:" + sha256


def _unreadable(source: ListFile, error: OSError) -> PartUnusable:
    remedy = "Set `path` to a readable list, or remove the list and accept the gap in the policy"
    return PartUnusable(PART, f"lists.{source.id}", f"{source.path} cannot be read: {error.strerror}", remedy)
