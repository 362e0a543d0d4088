"""Part `named_people`: finds the people of the operator's registers in prompts, for which purpose they are named, and
whether they are to be undressed.

A register (TOML, beside the policy; everybody in it is invented):

    id = "people-1"                    # names the register in messages
    version = "1"                      # raised with every change
    unless = ["photo*"]                # optional: no purpose of this register holds where one of these stands

    [[person]]
    id = "p-17"                        # the operator's own, which stands in the log; not the name
    basis = "public_figure"            # or "own_request": a private person who asked to be listed
    record = "ticket 4711"             # where the operator keeps the reason or request
    names = ["Alba Quenzel", "Marble"] # every form that is to be found, in any script
    beside = ["tour*"]                 # optional: found only within 8 words of one of these, for names that are words
    from = 2026-01-01                  # optional, as until: the days on which the entry holds, both included

    [[person.consent]]                 # optional: what this person has agreed to
    id = "c-3"                         # of the recorded consent
    purpose = "posters of the tour"    # in words, for people
    words = ["poster*"]                # one of these stands in a prompt of that purpose
    until = 2027-01-31                 # required: consent ends; `from` is optional

    [[purpose]]                        # optional, with dates as above: for what public figures may be named
    id = "satire"
    words = ["caricature*", "satire"]  # one of these stands in a prompt of that purpose
    score = 0.5                        # optional: its rank, 0.3 to 0.7; the higher, the more a policy asks

A purpose holds for the public figures of every register the part reads, never for who is listed by own request, and
for nobody beside an intimate word. No part can know who asks, nor whether a prompt is honest about its purpose: a
policy therefore rules by rank *and* by `min_assurance`, and the log names the entries, consents and purposes by id.

The term lists named beside the registers say which words are intimate: the terms of their categories `sexual` and
`ncii`, and their groups `explicit` and `nude`.
"""

from collections.abc import Callable
from datetime import date
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from moderation.errors import PartUnusable
from moderation.prompt_terms import TermList, TermsPart
from moderation.registers.reading import (
    Dated,
    Entry,
    NameIndex,
    Names,
    Register,
    Words,
    check_ids,
    cited,
    read_register,
    today,
)
from moderation.text.folding import FoldedText
from policies.findings import Category, Finding, Stage

CONSENTED_SCORE = 0.25
"""A rank, as all scores of this part: somebody is named, and has agreed to such pictures."""

NAMED_SCORE = 1.0
"""Somebody is named, and nothing speaks for it. Purposes lie between the two."""

_INTIMATE = frozenset({Category.SEXUAL, Category.NCII})
_INTIMATE_GROUPS = ("explicit", "nude")


class Consent(Dated):
    """What a person agreed to. `id`: of the recorded consent. `words`: one stands in every prompt of the purpose."""

    id: Words
    purpose: Words
    words: Names
    until: date


class Person(Entry):
    """One person, as the module's docstring describes it."""

    basis: Literal["public_figure", "own_request"]
    record: Words
    names: Names
    beside: tuple[Words, ...] = ()
    consent: tuple[Consent, ...] = ()


class Purpose(Entry):
    """For what public figures may be named. `score`: its rank, between a recorded consent's and none."""

    words: Names
    score: float = Field(0.5, ge=0.3, le=0.7)


class People(Register):
    """One register: people, purposes or both."""

    person: tuple[Person, ...] = ()
    purpose: tuple[Purpose, ...] = ()
    unless: tuple[Words, ...] = ()

    @model_validator(mode="after")
    def _lists_something(self) -> Self:
        if not self.person and not self.purpose:
            raise ValueError("give a `person` or a `purpose`")
        return self


class NamedPeople:
    """Stateless after construction; any number of threads may call it."""

    name: ClassVar[str] = "named_people"
    version: ClassVar[str] = "2"
    steady: ClassVar[bool] = True

    class Options(BaseModel):
        """`data`: the loaded registers, and the term lists (tables with a `language`) whose intimate words count."""

        model_config = ConfigDict(frozen=True, extra="forbid")
        data: tuple[dict[str, Any], ...] = Field(min_length=1)

    def __init__(self, options: Options, today: Callable[[], date] = today) -> None:
        """Raises `PartUnusable` naming the register and the field that is malformed, or what is missing."""
        self._today = today
        lists = [table for table in options.data if "language" in table]
        registers = [read_register(self.name, People, table) for table in options.data if "language" not in table]
        self._people = tuple(person for register in registers for person in register.person)
        self._registers = ",".join(f"{register.id}/{register.version}" for register in registers)
        purposes = [(purpose, register.unless) for register in registers for purpose in register.purpose]
        check_ids(self.name, self._people)
        check_ids(self.name, (purpose for purpose, _ in purposes))
        if not self._people or not lists:
            remedy = "Name under `data` a register with a person, and the term lists that say which words are intimate"
            raise PartUnusable(self.name, "data", "people or a term list are missing", remedy)
        self._intimate = TermsPart(TermsPart.Options(data=tuple(map(_intimate_terms, lists))))
        self._names = NameIndex(self.name)
        self._consents: list[tuple[int, Consent]] = []
        self._consented = NameIndex(self.name)
        for number, person in enumerate(self._people):
            self._names.add(number, person.names, person.id, person.beside)
            for consent in person.consent:
                self._consented.add_words(len(self._consents), consent.words, person.id)
                self._consents.append((number, consent))
        self._purposes = tuple(purpose for purpose, _ in purposes)
        self._meant, self._not_meant = NameIndex(self.name), NameIndex(self.name)
        for number, (purpose, unless) in enumerate(purposes):
            self._meant.add_words(number, purpose.words, purpose.id)
            self._not_meant.add_words(number, unless, purpose.id)

    @property
    def categories(self) -> frozenset[str]:
        """`impersonation` and `ncii`."""
        return frozenset({Category.IMPERSONATION.value, Category.NCII.value})

    def classify(self, text: FoldedText) -> tuple[Finding, ...]:
        """Two findings. `impersonation`: 0.0 nobody is named, else the highest rank of all who are: 0.25 with consent,
        a purpose's score for a public figure, 1.0 for everybody else and beside an intimate word.

        `ncii`: 1.0 if somebody is named and an intimate word stands anywhere in the prompt, whatever was agreed to.
        Facts: the registers, the ids of the entries found, and of the consents and purposes that applied.
        """
        day = self._today()
        named = [number for number in sorted(self._names.find(text)) if self._people[number].holds_on(day)]
        undressed = bool(named) and {each.category: each.score for each in self._intimate.classify(text)}[Category.NCII]
        ranks: dict[int, float] = dict.fromkeys(named, NAMED_SCORE)
        facts = [("registers", self._registers)]
        if named:
            facts.append(("entries", cited([self._people[number].id for number in named])))
        if named and not undressed:
            facts += self._admitted(ranks, text, day)
        scores = ((Category.IMPERSONATION, max(ranks.values(), default=0.0)), (Category.NCII, float(undressed)))
        return tuple(
            Finding(category, score, Stage.PROMPT, self.name, self.version, tuple(facts)) for category, score in scores
        )

    def _admitted(self, ranks: dict[int, float], text: FoldedText, day: date) -> list[tuple[str, str]]:
        """Lowers the ranks of those who have agreed, or are named for a purpose; says by which consents and purposes.

        Of several purposes the one that a policy asks most for counts.
        """
        found = (self._consents[place] for place in sorted(self._consented.find(text)))
        agreed = {number: consent.id for number, consent in found if consent.holds_on(day)}
        meant = (self._purposes[place] for place in self._meant.find(text) - self._not_meant.find(text))
        purposes = sorted((each for each in meant if each.holds_on(day)), key=lambda each: (-each.score, each.id))
        ids = []
        for number in ranks:
            if number in agreed:
                ranks[number] = CONSENTED_SCORE
                ids.append(("consents", agreed[number]))
            elif purposes and self._people[number].basis == "public_figure":
                ranks[number] = purposes[0].score
                ids.append(("purposes", purposes[0].id))
        said = ((name, sorted({value for key, value in ids if key == name})) for name in ("consents", "purposes"))
        return [(name, cited(values)) for name, values in said if values]


def _intimate_terms(table: dict[str, Any]) -> dict[str, Any]:
    """What of a term list is intimate, as a term list. Raises `PartUnusable` if it is malformed."""
    terms = read_register(NamedPeople.name, TermList, table)
    groups = tuple(word for name in _INTIMATE_GROUPS for word in terms.group.get(name, ()))
    words = tuple(word for term in terms.term if term.category in _INTIMATE for word in term.words)
    if not groups + words:
        problem = f"the term list {terms.language!r} has no intimate words"
        raise PartUnusable(NamedPeople.name, "data", problem, "Leave it out, or name another")
    term = {"category": Category.NCII, "strength": "hard", "words": groups + words}
    return {"language": terms.language, "version": terms.version, "term": (term,)}
