"""What registers of people and of rights have in common: their shape, their dates, and how names are found in a text.

A register is a TOML file beside the policy, named under `data` of its `[[classifier]]`; `fluxgate policy check` reads
it as a start of the gateway would. Of a register only its ids leave this package, never a name.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Annotated, Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from moderation.errors import PartUnusable
from moderation.known_pictures.formats import Identifier
from moderation.text.folding import FoldedText, spellings
from moderation.text.term_index import Rule, TermIndex

WITHIN = 8
"""Tokens that a name and a word that must stand beside it may span, as in the term lists."""

SHORTEST_NAME = 3  # letters; shorter ones stand in too many texts by chance

MOST_CITED = 16
"""Ids that one fact holds: facts stand in log entries, whose size has a limit, and a prompt may name hundreds."""

_TOKEN = re.compile(r"[^\W_]+")
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")

Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
Names = Annotated[tuple[Words, ...], Field(min_length=1, max_length=200)]


class Shape(BaseModel):
    """Closed: a misspelt field is a slip, and is not guessed at. Errors do not quote what stands in a register."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, populate_by_name=True)


class Dated(Shape):
    """Something that holds from one day to another, both included (UTC)."""

    begins: date | None = Field(None, alias="from")
    until: date | None = None

    @model_validator(mode="after")
    def _begins_before_it_ends(self) -> Self:
        if self.begins and self.until and self.begins > self.until:
            raise ValueError("`until` lies before `from`")
        return self

    def holds_on(self, day: date) -> bool:
        """True on the days it holds."""
        return (self.begins is None or self.begins <= day) and (self.until is None or day <= self.until)


class Entry(Dated):
    """One entry of any register. `id`: the operator's own; it stands in findings, so it may not be a name."""

    id: Identifier


class Register(Shape):
    """What every register says of itself."""

    id: Identifier
    version: Identifier


R = TypeVar("R", bound=BaseModel)


def read_register(part: str, shape: type[R], table: Mapping[str, Any]) -> R:
    """`table` as a `shape`. Raises `PartUnusable` with the register's id and the dotted place of the first fault."""
    try:
        return shape.model_validate(table)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        problem = f"register {table.get('id') or table.get('language', '?')!r}: {where}: {first['msg']}"
        remedy = "Correct it; policies/README.md says what a register holds"
        raise PartUnusable(part, "data", problem, remedy) from None


def check_ids(part: str, entries: Iterable[Entry]) -> None:
    """Raises `PartUnusable` if two entries share an id."""
    seen: set[str] = set()
    for entry in entries:
        if entry.id in seen:
            raise PartUnusable(part, "data", f"two entries have the id {entry.id!r}", "Give each an id of its own")
        seen.add(entry.id)


def cited(ids: Sequence[str]) -> str:
    """Ids of entries as a fact: the first `MOST_CITED`, and how many more there are."""
    more = len(ids) - MOST_CITED
    return ",".join((*ids[:MOST_CITED], *((f"+{more}",) if more > 0 else ())))


class NameIndex:
    """Finds listed names and words in a text, as whole words and in every reading of it. `part`: named in errors."""

    def __init__(self, part: str) -> None:
        self._part = part
        self._index = TermIndex()
        self._rules: dict[int, Rule] = {}
        self._unspaced: dict[str, set[int]] = defaultdict(set)

    def add(self, number: int, names: Sequence[str], entry: str, beside: Sequence[str] = ()) -> None:
        """`number`: what `find` gives for these `names`. `beside`: if any, one of these words has to stand near.

        A name is also found written as one word, with its first and last part exchanged, and with an s at its end.
        Raises `PartUnusable`, naming `entry`, for a name or word that is none.
        """
        self._rules[number] = Rule("", 1.0, 2 if beside else 1, WITHIN)
        self._add_words(number, 1, beside, entry)
        for name in names:
            written = [_TOKEN.findall(spelling) for spelling in spellings(name)]
            if _UNSPACED.search(name):
                self._add_unspaced(number, "".join(written[0]), entry, beside)
                continue
            if sum(map(len, written[0])) < SHORTEST_NAME:
                problem = f"entry {entry!r} has a name of fewer than {SHORTEST_NAME} letters"
                raise PartUnusable(self._part, "data", problem, "Give a longer form of it")
            # Also without its accents; a spelling that cuts a name short is passed over.
            for tokens in written:
                for variant in _variants(tokens) if sum(map(len, tokens)) >= SHORTEST_NAME else ():
                    self._index.add(variant, False, number, 0)

    def add_words(self, number: int, words: Sequence[str], entry: str) -> None:
        """As `add`, for words and phrases that are found as they stand; one that ends in `*` may go on."""
        self._rules[number] = Rule("", 1.0, 1, WITHIN)
        for word in words:
            if _UNSPACED.search(word):
                self._add_unspaced(number, "".join(_TOKEN.findall(spellings(word)[0])), entry, ())
            else:
                self._add_words(number, 0, (word,), entry)

    def find(self, text: FoldedText) -> frozenset[int]:
        """Numbers of the names that stand in any reading of the text."""
        found: set[int] = set()
        for reading in text.readings:
            spots = self._index.search(_TOKEN.findall(reading))
            found |= {number for number, parts in spots.items() if self._rules[number].holds(parts)}
            if self._unspaced and _UNSPACED.search(reading):
                closed = "".join(_TOKEN.findall(reading))
                found |= {number for name, numbers in self._unspaced.items() if name in closed for number in numbers}
        for run in text.runs:
            spots = self._index.words_inside(run)
            found |= {number for number, parts in spots.items() if self._rules[number].parts == 1 and 0 in parts}
        return frozenset(found)

    def _add_words(self, number: int, part: int, words: Sequence[str], entry: str) -> None:
        for word in words:
            for spelling in spellings(word.removesuffix("*")):
                if not (tokens := _TOKEN.findall(spelling)):
                    problem = f"entry {entry!r} has a word without letters or digits"
                    raise PartUnusable(self._part, "data", problem, "Remove it")
                self._index.add(tokens, word.endswith("*"), number, part)

    def _add_unspaced(self, number: int, name: str, entry: str, beside: Sequence[str]) -> None:
        if len(name) < 2 or beside:
            problem = f"entry {entry!r} has a name in a script without spaces, of one character or with `beside`"
            raise PartUnusable(self._part, "data", problem, "Give two characters or more, and no `beside`")
        self._unspaced[name].add(number)


def _variants(tokens: list[str]) -> Iterator[list[str]]:
    orders = [tokens, [tokens[-1], *tokens[1:-1], tokens[0]]] if len(tokens) > 1 else [tokens]
    for order in orders:
        for end in ("", "s"):
            spelled = [*order[:-1], order[-1] + end]
            yield spelled
            if len(spelled) > 1:
                yield ["".join(spelled)]


def today() -> date:
    """The day by UTC, where a clock must be handed in."""
    return datetime.now(UTC).date()
