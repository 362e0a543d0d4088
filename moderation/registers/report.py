"""Reads registers of people and rights as the parts would, and says what an operator may want to mend. Pure.

A register that the parts would not take raises; what they take but is likely a slip is a note. Notes name entries by
id, never a name.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from moderation.errors import PartUnusable
from moderation.registers.named_people import NamedPeople, People
from moderation.registers.reading import Dated, Entry, NameIndex, check_ids, read_register
from moderation.registers.rights_holders import NAME as RIGHTS
from moderation.registers.rights_holders import Right, Rights
from moderation.text.folding import fold
from moderation.text.lexicon import english

PDQ_BITS_SET = range(112, 145)
"""Bits that a PDQ hash has set: each says whether a value lies above the median of 256, so about half of them are."""


@dataclass(frozen=True, slots=True)
class ReportedEntry:
    """One entry. `state`: `holds`, `later` or `expired` on the day asked about. `words`, `pictures`: how many."""

    id: str
    kind: str
    state: str
    begins: date | None
    until: date | None
    words: int
    pictures: int
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReportedRegister:
    """One register: `part` reads it."""

    id: str
    version: str
    part: str
    entries: tuple[ReportedEntry, ...]


def report(tables: Sequence[Mapping[str, Any]], day: date) -> tuple[ReportedRegister, ...]:
    """What stands in the registers, in their order. `tables`: parsed files, read together.

    Raises `PartUnusable` naming the register and the place for what a part would not take.
    """
    registers = [_read(table) for table in tables]
    for reader in (NamedPeople.name, RIGHTS):
        check_ids(reader, (entry for part, register in registers if part == reader for entry in _listed(register)))
    twins = _twins(entry for _, register in registers for entry in _listed(register))
    return tuple(
        ReportedRegister(
            register.id,
            register.version,
            part,
            tuple(_entry(entry, part, day, twins) for entry in (*_listed(register), *_purposes(register))),
        )
        for part, register in registers
    )


def _read(table: Mapping[str, Any]) -> tuple[str, People | Rights]:
    if "person" in table or "purpose" in table:
        return NamedPeople.name, read_register(NamedPeople.name, People, table)
    if "right" in table:
        return RIGHTS, read_register(RIGHTS, Rights, table)
    remedy = "policies/README.md says what a register holds"
    raise PartUnusable("registers", "data", "a file holds no `person`, `purpose` or `right`", remedy)


def _listed(register: People | Rights) -> tuple[Any, ...]:
    return register.person if isinstance(register, People) else register.right


def _purposes(register: People | Rights) -> tuple[Any, ...]:
    return register.purpose if isinstance(register, People) else ()


def _entry(entry: Any, part: str, day: date, twins: Mapping[str, Sequence[str]]) -> ReportedEntry:
    names = getattr(entry, "names", getattr(entry, "words", ()))
    beside = getattr(entry, "beside", ())
    index = NameIndex(part)  # refuses what the part would
    if hasattr(entry, "names"):
        index.add(0, names, entry.id, beside)
    else:
        index.add_words(0, names, entry.id)
    notes = [*_notes_on_dates(entry, day)]
    if hasattr(entry, "names"):
        notes += _notes_on_names(entry, names, beside, twins)
    if isinstance(entry, Right):
        notes += _notes_on_pictures(entry)
    return ReportedEntry(
        id=entry.id,
        kind=getattr(entry, "kind", getattr(entry, "basis", "purpose")),
        state=_state(entry, day),
        begins=entry.begins,
        until=entry.until,
        words=len(names),
        pictures=len(getattr(entry, "pictures", ())),
        notes=tuple(notes),
    )


def _state(entry: Dated, day: date) -> str:
    if entry.holds_on(day):
        return "holds"
    return "expired" if entry.until and entry.until < day else "later"


def _notes_on_dates(entry: Entry, day: date) -> Iterator[str]:
    if _state(entry, day) == "expired":
        yield "expired: it is looked for no longer"
    for consent in getattr(entry, "consent", ()):
        if _state(consent, day) == "expired":
            yield f"consent {consent.id} has expired"


def _notes_on_names(
    entry: Any, names: Sequence[str], beside: Sequence[str], twins: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    for place, name in enumerate(names):
        folded = _folded(name)
        if others := sorted(set(twins[folded]) - {entry.id}):
            yield f"names.{place} also stands under {', '.join(others)}"
        if twins[folded].count(entry.id) > 1 and [_folded(each) for each in names].index(folded) == place:
            yield f"names.{place} stands here twice"
        if not beside and folded in english():
            yield f"names.{place} is also a word of the English list: give `beside`, or a longer name"
        shown = [_folded(entry.id), *([_folded(entry.appeal)] if isinstance(entry, Right) else [])]
        if any(folded.replace(" ", "") in each.replace(" ", "") for each in shown):
            yield f"names.{place} stands in the id or the appeal, which callers are shown"


def _notes_on_pictures(entry: Right) -> Iterator[str]:
    for place, digits in enumerate(entry.pictures):
        if int(digits, 16).bit_count() not in PDQ_BITS_SET:
            yield f"pictures.{place} is not like a PDQ hash: about half of its 256 bits would be set"
        if digits in entry.pictures[:place]:
            yield f"pictures.{place} stands here twice"


def _twins(entries: Iterable[Any]) -> dict[str, list[str]]:
    """Folded name → ids of the entries it stands under."""
    found: dict[str, list[str]] = defaultdict(list)
    for entry in entries:
        for name in entry.names:
            found[_folded(name)].append(entry.id)
    return found


def _folded(text: str) -> str:
    return fold(text).readings[-1]
