"""Part `named_people`: finds the people of the operator's registers in prompts, and whether they are to be undressed.

A register (TOML, beside the policy):

    id = "people-1"                  names the register in messages
    version = "1"                    raised with every change

    [[person]]
    id = "p-17"                      the operator's own, which may be logged; not the name
    basis = "public_figure"          or "own_request": a private person who asked to be listed
    record = "ticket 4711"           where the operator keeps the reason or request
    names = ["…", "…"]               every form that is to be found, in any script
    beside = ["tour*"]               optional: found only within 8 words of one of these, for names that are words
    from = 2026-01-01                optional, as until: the days on which the entry holds, both included

    [[person.consent]]               optional: what this person has agreed to
    id = "c-3"                       of the recorded consent
    purpose = "posters of the tour"  in words, for people
    words = ["poster*"]              one of these stands in a prompt of that purpose
    until = 2027-01-31               required: consent ends; `from` is optional

The term lists named beside the registers say which words are intimate: the terms of their categories `sexual` and
`ncii`, and their groups `explicit` and `nude`.
"""

from collections.abc import Callable
from datetime import date
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from moderation.errors import PartUnusable
from moderation.prompt_folding import FoldedText
from moderation.prompt_terms import TermList, TermsPart
from moderation.registers import Dated, Entry, NameIndex, Names, Register, Words, check_ids, read_register, today
from policies.findings import Category, Finding, Stage

CONSENTED_SCORE = 0.25
"""A rank, as all scores of this part: somebody is named, and has agreed to such pictures."""

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


class People(Register):
    """One register."""

    person: tuple[Person, ...] = Field(min_length=1)


class NamedPeople:
    """Stateless after construction; any number of threads may call it."""

    name: ClassVar[str] = "named_people"
    version: ClassVar[str] = "1"

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
        check_ids(self.name, self._people)
        if not self._people or not lists:
            remedy = "Name under `data` a register, and the term lists that say which words are intimate"
            raise PartUnusable(self.name, "data", "a register or a term list is missing", remedy)
        self._intimate = TermsPart(TermsPart.Options(data=tuple(map(_intimate_terms, lists))))
        self._names = NameIndex(self.name)
        self._purposes = NameIndex(self.name)
        self._consents: list[tuple[int, Consent]] = []
        for number, person in enumerate(self._people):
            self._names.add(number, person.names, person.id, person.beside)
            for consent in person.consent:
                self._purposes.add_words(len(self._consents), consent.words, person.id)
                self._consents.append((number, consent))

    @property
    def categories(self) -> frozenset[str]:
        """`impersonation` and `ncii`."""
        return frozenset({Category.IMPERSONATION.value, Category.NCII.value})

    def classify(self, text: FoldedText) -> tuple[Finding, ...]:
        """Two findings. `impersonation`: 1.0 somebody is named, 0.25 with consent of all who are, else 0.0.

        `ncii`: 1.0 if somebody is named and an intimate word stands anywhere in the prompt, whatever was agreed to.
        Facts: the registers, the ids of the entries found and of the consents that applied.
        """
        day = self._today()
        named = [number for number in sorted(self._names.find(text)) if self._people[number].holds_on(day)]
        agreed = self._agreed(text, day) if named else {}
        facts = [("registers", self._registers)]
        if named:
            facts.append(("entries", ",".join(self._people[number].id for number in named)))
        if consents := [agreed[number] for number in named if number in agreed]:
            facts.append(("consents", ",".join(consents)))
        shown = max((CONSENTED_SCORE if number in agreed else 1.0 for number in named), default=0.0)
        undressed = bool(named) and {each.category: each.score for each in self._intimate.classify(text)}[Category.NCII]
        scores = ((Category.IMPERSONATION, shown), (Category.NCII, float(undressed)))
        return tuple(
            Finding(category, score, Stage.PROMPT, self.name, self.version, tuple(facts)) for category, score in scores
        )

    def _agreed(self, text: FoldedText, day: date) -> dict[int, str]:
        """Person → id of a consent that holds today and of whose purpose a word stands in the prompt."""
        found = (self._consents[place] for place in sorted(self._purposes.find(text)))
        return {number: consent.id for number, consent in found if consent.holds_on(day)}


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
