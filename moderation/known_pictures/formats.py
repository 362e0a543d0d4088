"""Reads the files in which hash lists are handed over, each into the same entries. Pure; no message quotes a record.

| name of the file | shape |
|---|---|
| `.jsonl`, `.csv` | our own: `hash` (PDQ, 64 hex digits), `id`, `category`, `status`; see `HashRecord` |
| `.csv` with a column `signal_str` | of `threatexchange dataset -P --csv`: `pdq`, `md5`, `sha1`, `sha256` |
| `.json` | a page of StopNCII's `FetchHashes`: `hashRecords`, or that array alone |
| `.xml` | a page of NCMEC hash sharing v2 |

Rows of kinds that are not looked for (videos, texts, PhotoDNA) are passed over. Whatever its publisher has not taken
back matches, also what is only received or under investigation. Taken back is a StopNCII record that is `Withdrawn` or
`Deleted`, an NCMEC `deletedImage`, a threatexchange row of category `NEGATIVE_CLASS`, and our own status `withdrawn`.
"""

import csv
import hashlib
import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self, TypeVar
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from moderation.errors import ModerationError
from policies.findings import Category

Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:-]{1,128}$")]
HashHex = Annotated[str, StringConstraints(pattern=r"^[0-9A-Fa-f]{64}$", to_lower=True)]

DIGITS = {"pdq": 64, "md5": 32, "sha1": 40, "sha256": 64}
"""Kinds of hashes that are looked for, with their lengths in hex digits. All but `pdq` are of whole files."""

NCMEC = "{https://hashsharing.ncmec.org/hashsharing/v2}"
_COMMITMENT_DIGITS = 24  # 96 bits: two entries of one list share an id with a probability under 1e-16 up to 1e6 entries


class Unreadable(ModerationError):
    """A file does not have its shape. `where`: a line or the number of a record; nothing is quoted."""

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(f"{where}: {problem}")


@dataclass(frozen=True, slots=True)
class Entry:
    """One record of any list. A later one with the same `key` replaces it.

    `id`: stands in findings. `time`: Unix seconds of its last change, 0 where a list has none and the order of the
    records counts. `hashes`: (kind of `DIGITS`, lower-case hex digits).
    """

    key: str
    id: str
    time: float
    active: bool
    hashes: tuple[tuple[str, str], ...]
    category: Category | None = None


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


class HashRecord(_Record):
    """Our own record. `id`: the entry's own, which stands in logs, so it may not be the hash."""

    model_config = ConfigDict(extra="forbid")

    id: Identifier
    hash: HashHex
    category: Category | None = None
    status: Literal["active", "withdrawn"] = "active"

    @model_validator(mode="after")
    def _id_tells_nothing(self) -> Self:
        if self.hash in self.id.lower():
            raise ValueError("the id contains the hash, and ids stand in logs: give the entry another id")
        return self

    def entry(self) -> Entry:
        """As every format's records are kept."""
        return Entry(self.id, self.id, 0, self.status == "active", (("pdq", self.hash),), self.category)


R = TypeVar("R", bound=_Record)


class _StopNcii(_Record):
    """As in threatexchange's client of StopNCII's API v1; other fields are not read."""

    model_config = ConfigDict(alias_generator=to_camel)

    last_modtimestamp: float = Field(ge=0, allow_inf_nan=False)
    signal_type: str
    hash_value: str
    hash_status: Literal["Unknown", "Received", "Active", "Withdrawn", "Deleted"]


def entries_of(suffix: str, data: bytes, list_id: str) -> Iterator[Entry]:
    """The entries of one file, in its order. `suffix`: of its name, a key of `READERS`. Raises `Unreadable`."""
    try:
        yield from READERS[suffix](data.decode("utf-8-sig"), list_id)
    except UnicodeDecodeError as error:
        raise Unreadable(f"byte {error.start}", "it is not UTF-8") from None


def _json_lines(text: str, _list_id: str) -> Iterator[Entry]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield _checked(HashRecord, _parsed(line, f"line {number}"), f"line {number}").entry()


def _rows(text: str, list_id: str) -> Iterator[Entry]:
    reader = csv.DictReader(io.StringIO(text, newline=""), restkey="surplus", strict=True)
    try:
        foreign = "signal_str" in (reader.fieldnames or ())
        for row in reader:
            where = f"line {reader.line_num}"
            if foreign:
                yield from _threatexchange(row, list_id, where)
            else:
                yield _checked(HashRecord, {name: cell for name, cell in row.items() if cell}, where).entry()
    except csv.Error:
        raise Unreadable(f"line {reader.line_num + 1}", "not in the file's format") from None


def _threatexchange(row: dict[str, str], list_id: str, where: str) -> Iterator[Entry]:
    if "surplus" in row or None in row.values() or not {"signal_type", "category"} <= row.keys():
        raise Unreadable(where, "a row has the columns collab, signal_type, signal_str, category and tags")
    kind, value = row["signal_type"], row["signal_str"].lower()
    if kind in DIGITS:
        key = f"{row.get('collab', '')}/{kind}/{value}"
        # The second is what releases before 1.0 called it.
        active = row["category"] not in ("NEGATIVE_CLASS", "FALSE_POSITIVE")
        yield Entry(key, _commitment(list_id, kind, value), 0, active, (_hash(kind, value, where),))


def _stopncii(text: str, list_id: str) -> Iterator[Entry]:
    page = _parsed(text, "")
    records = page.get("hashRecords") if isinstance(page, dict) else page
    if not isinstance(records, list):
        raise Unreadable("the file", "it has no array hashRecords")
    for number, each in enumerate(records, 1):
        where = f"record {number}"
        record = _checked(_StopNcii, each, where)
        if record.signal_type == "ImagePDQ":
            value = record.hash_value.lower()
            active = record.hash_status not in ("Withdrawn", "Deleted")
            # StopNCII has no ids: a record stands for its hash, and a newer one replaces it.
            name = _commitment(list_id, "pdq", value)
            yield Entry(value, name, record.last_modtimestamp, active, (_hash("pdq", value, where),))


def _ncmec(text: str, _list_id: str) -> Iterator[Entry]:
    try:
        root = fromstring(text, forbid_dtd=True)
    except ParseError as error:
        raise Unreadable(f"line {error.position[0]}", "it is not XML") from None
    except (DefusedXmlException, ValueError):
        raise Unreadable("the file", "it has a DTD, an entity or an encoding of its own, which are not read") from None
    if root.tag != f"{NCMEC}queryResult":
        raise Unreadable("the file", f"its root is no queryResult of {NCMEC[1:-1]}")
    number = 0
    for number, element in enumerate((each for images in root.iter(f"{NCMEC}images") for each in images), 1):
        if element.tag in (f"{NCMEC}image", f"{NCMEC}deletedImage"):
            yield _ncmec_entry(element, f"image {number}")


def _ncmec_entry(element: Element, where: str) -> Entry:
    member = element.find(f"{NCMEC}member")
    name = f"{'' if member is None else member.get('id', '')}:{element.findtext(f'{NCMEC}id', '')}"
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,40}:[A-Za-z0-9._-]{1,80}", name):
        raise Unreadable(where, "it has no member id and no id of at most 80 letters, digits and ._-")
    hashes = tuple(
        _hash(kind, (found.text or "").strip().lower(), where)
        for found in element.findall(f"{NCMEC}fingerprints/*")
        if (kind := found.tag.removeprefix(NCMEC).lower()) in DIGITS
    )
    return Entry(
        name, name, _seconds(element.findtext(f"{NCMEC}timestamp", ""), where), element.tag == f"{NCMEC}image", hashes
    )


def _seconds(text: str, where: str) -> float:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise Unreadable(where, "its timestamp is not of the form 2026-01-31T15:00:00Z") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _hash(kind: str, value: str, where: str) -> tuple[str, str]:
    if not re.fullmatch(f"[0-9a-f]{{{DIGITS[kind]}}}", value):
        raise Unreadable(where, f"its {kind} has not {DIGITS[kind]} hexadecimal digits")
    return kind, value


def _commitment(list_id: str, kind: str, value: str) -> str:
    """An id for an entry that has none: whoever holds the list can find the entry, and nobody can read the hash."""
    return f"{kind}:{hashlib.sha256(f'{list_id}/{kind}/{value}'.encode()).hexdigest()[:_COMMITMENT_DIGITS]}"


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        # Cut off: a JSON error carries the whole document.
        raise Unreadable(where or f"line {error.lineno}", "it is not JSON") from None
    except RecursionError:
        raise Unreadable(where or "the file", "it is nested too deeply") from None


def _checked(kind: type[R], value: object, where: str) -> R:
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        known = {field.alias or name for name, field in kind.model_fields.items()}  # other names are content
        field = ".".join(str(step) for step in first["loc"] if step in known)
        raise Unreadable(where, f"{field}: {first['msg']}" if field else str(first["msg"])) from None


READERS: dict[str, Callable[[str, str], Iterator[Entry]]] = {
    ".jsonl": _json_lines,
    ".csv": _rows,
    ".json": _stopncii,
    ".xml": _ncmec,
}
