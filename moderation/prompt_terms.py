"""Part `terms`: finds listed words, phrases and combinations in every reading of a prompt. The lists are policy data.

The format is described at the top of `policies/data/terms/en.toml`. Both the lists and the prompt go through the same
folding and are cut into `tokens`. A finding says how strong and how many, never which word.

Neither slips of the finger nor masked or cut words hide anything: the prompt is also searched with its unknown words
put right and its guessed words read, for hard matches only, since a guess is too weak a ground for an ambiguous one.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from moderation.errors import PartUnusable
from moderation.text import respelling as prompt_respelling
from moderation.text.folding import FoldedText, Signals, spellings, tokens
from moderation.text.lexicon import english
from moderation.text.spelling import LISTED, SHORTEST_OTHER, put_right
from moderation.text.term_index import UNLESS, Rule, Spots, TermIndex
from policies.findings import Category, Fact, Finding, Stage

STRENGTHS = {"hard": 1.0, "ambiguous": 0.5}
"""Scores of the two strengths; they are ranks on this classifier's own scale, not probabilities."""

DISGUISE_SCORE_CAP = 0.4
"""A disguise that hid no listed word scores below `ambiguous`, however much of it there is."""

DISGUISE_STEP = 0.05  # per disguised word or invisible character; eight of them reach the cap
DEFAULT_WITHIN = 8

_ARABIC = re.compile("[\u0621-\u064a]")
# What Arabic writes onto the front of a word: "the", "and", "and the", "with the", … Larkey, Ballesteros and Connell,
# "Improving Stemming for Arabic Information Retrieval", SIGIR 2002, prefixes of the stemmer light10 (three letters
# stay); beyond it the one-letter "to" and "with", where four stay.
_ARTICLE = re.compile("^(?:(?:[وفبك]?ال|لل|و)(?=[^\\W_]{3})|[لب](?=[^\\W_]{4}))")


class Term(BaseModel):
    """`[[term]]`: any one of the words is enough."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    category: Category | Fact
    strength: Literal["hard", "ambiguous"]
    words: tuple[str, ...] = Field(min_length=1)


class Combination(BaseModel):
    """`[[combination]]`: one word out of every list of `all`, inside a run of `within` tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    category: Category | Fact
    strength: Literal["hard", "ambiguous"]
    all: tuple[tuple[str, ...], ...] = Field(min_length=1)
    within: int = Field(DEFAULT_WITHIN, ge=1, le=1000)
    unless: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _floor_knows_no_excuse(self) -> Self:
        if self.unless and self.category in (Category.CSAE, Category.NCII, Fact.EXPOSURE):
            raise ValueError(f"`unless` would excuse {self.category.value}: remove it, nothing excuses the floor")
        return self


class TermList(BaseModel):
    """One language file."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    language: str
    version: str
    spared: tuple[str, ...] = ()
    group: dict[str, tuple[str, ...]] = {}
    term: tuple[Term, ...] = ()
    combination: tuple[Combination, ...] = ()


class TermsPart:
    """The term-list classifier. Stateless after construction; any number of threads may call it."""

    name: ClassVar[str] = "terms"
    version: ClassVar[str] = "1"
    steady: ClassVar[bool] = True

    class Options(BaseModel):
        """`data`: the loaded term lists, one table per language file."""

        model_config = ConfigDict(frozen=True, extra="forbid")
        data: tuple[dict[str, Any], ...] = Field(min_length=1)

    def __init__(self, options: Options) -> None:
        """Raises `PartUnusable` naming the list and field that is malformed."""
        self._index = TermIndex()
        self._rules: list[Rule] = []
        self._ranks: dict[str, int] = dict(english())
        prompt_respelling.prepare()
        lists = []
        languages = set()
        for table in options.data:
            try:
                terms = TermList.model_validate(table)
            except ValidationError as error:
                where = ".".join(str(step) for step in error.errors()[0]["loc"])
                problem = f"list {table.get('language', '?')!r}: {where}: {error.errors()[0]['msg']}"
                raise PartUnusable("terms", "data", problem, "See the top of policies/data/terms/en.toml.") from None
            self._add(terms)
            lists.append(f"{terms.language}/{terms.version}")
            if len(terms.language) == 2:  # a list of one intent in many languages reads none of them as a whole
                languages.add(terms.language)
        self._lists = ",".join(lists)
        self._languages = frozenset(languages)
        reported = {rule.category for rule in self._rules}
        if not reported:
            raise PartUnusable("terms", "data", "the lists hold no term and no combination", "Name a list with words.")
        self._categories = frozenset(reported | {Category.EVASION.value})

    @property
    def categories(self) -> frozenset[str]:
        """Those the lists name, and `evasion`."""
        return self._categories

    @property
    def languages(self) -> frozenset[str]:
        """Those of the lists."""
        return self._languages

    def classify(self, text: FoldedText) -> tuple[Finding, ...]:
        """One finding per category: 1.0 hard, 0.5 ambiguous, 0.0 nothing. Facts: lists, number of rules that matched.

        `evasion` is 1.0 or 0.5 if such a match only shows once a disguise is undone; else at most 0.4, by amount.
        """
        matched: set[int] = set()
        for reading in text.readings:
            matched |= self._matches(reading, hard_only=reading in text.guessed)
        for run in text.runs:
            matched |= self._inside(run)
        mistyped = self._mistyped(text.readings[-1]) - matched
        scores: dict[str, float] = dict.fromkeys(self._categories, 0.0)
        counts: dict[str, int] = defaultdict(int)
        for number in matched | mistyped:
            rule = self._rules[number]
            scores[rule.category] = max(scores[rule.category], rule.score)
            counts[rule.category] += 1
        evasion = Category.EVASION.value
        scores[evasion] = max(scores[evasion], self._evasion(text, matched))
        return tuple(
            Finding(
                category,
                score,
                Stage.PROMPT,
                self.name,
                self.version,
                (("lists", self._lists), ("rules", str(counts[category]))),
            )
            for category, score in sorted(scores.items())
        )

    def _evasion(self, text: FoldedText, matched: set[int]) -> float:
        amount = _amount(text.signals)
        if not amount:
            return 0.0
        hidden = matched - self._matches(_plain(text.original)) if matched else matched
        # Asking for less on is nothing to hide where somebody is drawn from nothing, so hiding it proves nothing.
        wrongs = (self._rules[number] for number in hidden if self._rules[number].category != Fact.EXPOSURE)
        revealed = max((rule.score for rule in wrongs), default=0.0)
        return max(revealed, min(DISGUISE_SCORE_CAP, DISGUISE_STEP * amount))

    def _mistyped(self, reading: str) -> set[int]:
        right = put_right(reading, self._ranks)
        if right == reading:
            return set()
        return self._matches(right, hard_only=True)

    def _matches(self, reading: str, *, hard_only: bool = False) -> set[int]:
        found = self._judge(self._index.search(_words(reading)))
        return {number for number in found if not hard_only or self._rules[number].score == STRENGTHS["hard"]}

    def _inside(self, run: str) -> set[int]:
        """Words of a run whose own gaps were lost: every single word of four letters or more inside it counts."""
        spots = self._index.words_inside(run)
        return {number for number, parts in spots.items() if self._rules[number].parts == 1 and 0 in parts}

    def _judge(self, spots: Spots) -> set[int]:
        return {number for number, parts in spots.items() if self._rules[number].holds(parts)}

    def _add(self, terms: TermList) -> None:
        hard = (word.removesuffix("*") for term in terms.term if term.strength == "hard" for word in term.words)
        for word in (*terms.spared, *(word for word in hard if len(word) >= SHORTEST_OTHER)):
            self._ranks.setdefault(spellings(word)[-1], LISTED)
        for term in terms.term:
            number = self._new_rule(Rule(term.category.value, STRENGTHS[term.strength], 1, 0))
            self._index_words(term.words, number, 0)
        for combination in terms.combination:
            rule = Rule(
                combination.category.value, STRENGTHS[combination.strength], len(combination.all), combination.within
            )
            number = self._new_rule(rule)
            for part, words in enumerate(combination.all):
                self._index_words(_expanded(words, terms), number, part)
            self._index_words(_expanded(combination.unless, terms), number, UNLESS)

    def _new_rule(self, rule: Rule) -> int:
        self._rules.append(rule)
        return len(self._rules) - 1

    def _index_words(self, words: Iterable[str], number: int, part: int) -> None:
        for word in words:
            stem = word.removesuffix("*")
            if "*" in stem or not tokens(stem):
                problem = "a word is empty or has a * elsewhere than at its end"
                raise PartUnusable("terms", "data", problem, "See the top of policies/data/terms/en.toml.")
            # Also without its accents, since one reading of the prompt has none.
            for spelling in spellings(stem):
                self._index.add(_words(spelling), word.endswith("*"), number, part)


def _words(text: str) -> list[str]:
    """The tokens of a reading or of a listed phrase, in Arabic without what is written onto their front."""
    found = tokens(text)
    return [_ARTICLE.sub("", word) for word in found] if _ARABIC.search(text) else found


def _expanded(words: Sequence[str], terms: TermList) -> Iterator[str]:
    for word in words:
        if not word.startswith("@"):
            yield word
        elif word[1:] in terms.group:
            yield from terms.group[word[1:]]
        else:
            problem = f"list {terms.language!r} names the group {word!r}, which it does not define"
            raise PartUnusable("terms", "data", problem, "Add it under [group].")


def _amount(signals: Signals) -> int:
    """How many things were disguised; letters that stood apart count four to the word."""
    return signals.total - signals.spaced_letters + signals.spaced_letters // 4


def _plain(text: str) -> str:
    """The text as a reader without tricks would type it: case and accents do not count as disguise."""
    if text.isascii():
        return text.casefold()
    # Marks go before the normal form is taken: reordering a high stack of them is quadratic.
    return _unmarked(unicodedata.normalize("NFD", _unmarked(text.casefold())))


def _unmarked(text: str) -> str:
    return "".join(character for character in text if not unicodedata.combining(character))
