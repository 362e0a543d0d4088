"""Reads lists of known pictures' PDQ hashes and searches them. Of a list's contents only entry ids leave this file.

Record shape, in a `.jsonl` file (one object a line), a `.csv` file (first line: column names) or inline in policy data:

    hash      64 hexadecimal digits (256 bits, most significant first: the form of PDQ's reference tools)
    id        the entry's own id: 1 to 128 letters, digits and ._:- ; it stands in logs, so it may not be the hash
    category  optional, of the taxonomy; without it the list's category holds
    status    optional: `active` (the default) or `withdrawn`

Records are replayed in order and the last one of an id wins: a withdrawal appended to the file un-matches the entry.
The list's id, category, version, distance and quality stand in the options, under the policy's digest. The file's own
digest is `sha256:` over its bytes; an inline list's is over the canonical JSON of its records.

A feed with another record shape (StopNCII, NCMEC) becomes one more function in `_READERS`.
"""

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy
import numpy.typing
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from moderation.errors import PartUnusable
from policies.findings import Category

PART = "pdq_list"
HASH_BITS = 256

Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:-]{1,128}$")]
HashHex = Annotated[str, StringConstraints(pattern=r"^[0-9A-Fa-f]{64}$", to_lower=True)]
Words = numpy.typing.NDArray[numpy.uint64]
"""Hashes as 64-bit words: (4, n), one hash a column, so that a search runs along contiguous memory."""


class HashRecord(BaseModel):
    """One entry of a list, as the module's docstring describes it."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    id: Identifier
    hash: HashHex
    category: Category | None = None
    status: Literal["active", "withdrawn"] = "active"

    @model_validator(mode="after")
    def _id_tells_nothing(self) -> Self:
        if self.hash in self.id.lower():
            raise ValueError("the id contains the hash, and ids stand in logs: give the entry another id")
        return self


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
    """A list in a local `.jsonl` or `.csv` file. `sha256`: 64 hex digits; if given, any other content is refused."""

    path: Path
    sha256: HashHex | None = None


class InlineList(ListSource):
    """A list that stands in the policy's own data."""

    entries: tuple[HashRecord, ...]


@dataclass(frozen=True, slots=True)
class HashList:
    """The active entries of one category of one list, ready to be searched. `words`: (4, n); `entries`: their n ids."""

    id: str
    version: str
    digest: str
    category: str
    max_distance: int
    minimum_quality: int
    entries: tuple[str, ...]
    words: Words

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


def read_list(source: ListFile | InlineList) -> tuple[HashList, ...]:
    """One `HashList` per category that has an active entry; empty if every entry is withdrawn or there is none.

    Raises `PartUnusable` naming list and record if a file is missing, has another digest than pinned, or holds a record
    of another shape. No message quotes a record.
    """
    if isinstance(source, ListFile):
        records, digest = _read_file(source)
    else:
        records = source.entries
        canonical = json.dumps([record.model_dump(mode="json") for record in records], sort_keys=True)
        digest = "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()

    latest = {record.id: record for record in records}
    by_category: dict[Category, list[HashRecord]] = {}
    for record in latest.values():
        if record.status == "active":
            by_category.setdefault(record.category or source.category, []).append(record)
    return tuple(
        HashList(
            id=source.id,
            version=source.version or digest,
            digest=digest,
            category=category.value,
            max_distance=source.max_distance,
            minimum_quality=source.minimum_quality,
            entries=tuple(record.id for record in active),
            words=words_of(bytes.fromhex(record.hash) for record in active),
        )
        for category, active in sorted(by_category.items())
    )


def _read_file(source: ListFile) -> tuple[tuple[HashRecord, ...], str]:
    field = f"lists.{source.id}"
    reader = _READERS.get(source.path.suffix.lower())
    if reader is None:
        raise PartUnusable(PART, field, "the file's name must end in " + " or ".join(_READERS), "Rename or convert it")
    try:
        data = source.path.read_bytes()
        text = data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        remedy = "Set `path` to a readable list, or remove the list and accept the gap in the policy"
        raise PartUnusable(PART, field, f"{source.path} cannot be read: {cause}", remedy) from error
    sha256 = hashlib.sha256(data).hexdigest()
    if source.sha256 not in (None, sha256):
        remedy = "Find out who changed the list, or pin the new digest"
        raise PartUnusable(PART, field, f"{source.path} has the digest {sha256}, pinned is {source.sha256}", remedy)

    records: list[HashRecord] = []
    try:
        records.extend(HashRecord.model_validate(row) for row in reader(text))
    except (ValueError, csv.Error) as error:  # pydantic's ValidationError is a ValueError
        problem = error.errors()[0]["msg"] if isinstance(error, ValidationError) else "not in the file's format"
        # The cause is cut off: a JSON error carries the whole document, and lists are confidential.
        where = f"{source.path}, record {len(records) + 1}"
        raise PartUnusable(PART, field, f"{where}: {problem}", "Correct the record") from None
    return tuple(records), "sha256:" + sha256


def _json_lines(text: str) -> Iterator[object]:
    return (json.loads(line) for line in text.split("\n") if line.strip())


def _csv_rows(text: str) -> Iterator[object]:
    for row in csv.DictReader(io.StringIO(text, newline=""), restkey="surplus", strict=True):
        yield {column: cell for column, cell in row.items() if cell}


_READERS: dict[str, Callable[[str], Iterator[object]]] = {".jsonl": _json_lines, ".csv": _csv_rows}
