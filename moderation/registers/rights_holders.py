"""Parts `rights_holders`: what the operator's registers of rights protect, looked for in prompts and in pictures.

A register (TOML, beside the policy):

    id = "rights-1"                  # names the register in messages
    version = "1"                    # raised with every change

    [[right]]
    id = "r-5"                       # the operator's own, which stands in the log and in statements of reasons
    kind = "artist"                  # artist, character, brand, style or picture
    holder = "somebody invented"     # who asked, and showed
    proof = "trade mark 0123"        # by what: register, contract, opt-out with its date
    appeal = "rights@example.org"    # whom a person may turn to who thinks this does not apply: callers are told
    from = 2026-01-01                # required: the first day on which it holds; `until`, the last, is optional
    names = ["Brindlewick"]          # what is found in prompts
    beside = ["style*", "by"]        # optional: found only within 8 words of one of these, for names that are words
    # pictures = ["3e5e4e09…"]       # PDQ of works, 64 hex digits each; names or pictures or both

Both parts read the same file: name it under a `[[classifier]]` of kind `prompt`, and of kind `image` for the pictures.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from moderation.classifiers import Pixels
from moderation.errors import PartUnusable
from moderation.image_hash_match import PdqList
from moderation.known_pictures.formats import HashHex, HashRecord
from moderation.known_pictures.lists import InlineList
from moderation.registers.reading import Entry, NameIndex, Register, Words, check_ids, cited, read_register, today
from moderation.text.folding import FoldedText
from policies.findings import Category, Finding, Stage

NAME = "rights_holders"


class Right(Entry):
    """One right, as the module's docstring describes it."""

    kind: Literal["artist", "character", "brand", "style", "picture"]
    holder: Words
    proof: Words
    appeal: Words
    begins: date = Field(alias="from")
    names: tuple[Words, ...] = ()
    beside: tuple[Words, ...] = ()
    pictures: tuple[HashHex, ...] = ()

    @model_validator(mode="after")
    def _says_what_to_look_for(self) -> Self:
        if not self.names and not self.pictures:
            raise ValueError("give `names` or `pictures`")
        return self


class Rights(Register):
    """One register."""

    right: tuple[Right, ...] = Field(min_length=1)


class _Options(BaseModel):
    """`data`: the loaded registers."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    data: tuple[dict[str, Any], ...] = Field(min_length=1)


class _Registered:
    """What both parts are built from."""

    name: ClassVar[str] = NAME
    version: ClassVar[str] = "1"
    steady: ClassVar[bool] = True
    Options = _Options

    def __init__(self, options: _Options, today: Callable[[], date] = today) -> None:
        """Raises `PartUnusable` naming the register and the field that is malformed."""
        self._today = today
        registers = [read_register(NAME, Rights, table) for table in options.data]
        self._rights = tuple(right for register in registers for right in register.right)
        self._registers = ",".join(f"{register.id}/{register.version}" for register in registers)
        check_ids(NAME, self._rights)

    @property
    def categories(self) -> frozenset[str]:
        """`intellectual_property`."""
        return frozenset({Category.INTELLECTUAL_PROPERTY.value})

    @property
    def appeals(self) -> Mapping[str, str]:
        """Id of a right → whom to turn to."""
        return {right.id: right.appeal for right in self._rights}


class RightsHolders(_Registered):
    """Finds protected names in prompts. Stateless after construction; any number of threads may call it."""

    def __init__(self, options: _Options, today: Callable[[], date] = today) -> None:
        """Raises `PartUnusable` naming the register and the field that is malformed, or if no right has a name."""
        super().__init__(options, today)
        self._names = NameIndex(NAME)
        if not any(right.names for right in self._rights):
            raise PartUnusable(NAME, "data", "no right has `names`", "Give some, or name the part for images only")
        for number, right in enumerate(self._rights):
            self._names.add(number, right.names, right.id, right.beside)

    def classify(self, text: FoldedText) -> tuple[Finding, ...]:
        """One finding: 1.0 if something protected today is named, else 0.0. Facts: registers, ids of the entries."""
        day = self._today()
        found = [self._rights[number] for number in sorted(self._names.find(text))]
        ids = [right.id for right in found if right.holds_on(day)]
        facts = (("registers", self._registers), *((("entries", cited(ids)),) if ids else ()))
        category = Category.INTELLECTUAL_PROPERTY
        return (Finding(category, float(bool(ids)), Stage.PROMPT, self.name, self.version, facts),)


class ProtectedPictures(_Registered):
    """Finds protected pictures by PDQ; scores and facts are those of `pdq_list`, with the right. For any threads."""

    def __init__(self, options: _Options, today: Callable[[], date] = today) -> None:
        """Raises `PartUnusable` naming the register and the field that is malformed, or if no right has a picture."""
        super().__init__(options, today)
        if not any(right.pictures for right in self._rights):
            raise PartUnusable(NAME, "data", "no right has `pictures`", "Give some, or name the part for prompts only")
        self._known = self._known_on(today())

    def classify(self, pixels: Pixels, stage: Stage) -> tuple[Finding, ...]:
        """One finding; 0.0 where nothing is protected today. `pixels` and what is raised: as in `PdqList`."""
        day, part = self._known
        if day != self._today():
            day, part = self._known = self._known_on(self._today())
        if part is None:
            return (Finding(Category.INTELLECTUAL_PROPERTY, 0.0, stage, self.name, self.version),)
        return tuple(self._as_own(finding) for finding in part.classify(pixels, stage))

    def _as_own(self, finding: Finding) -> Finding:
        """Of a match the facts name the right, as those of a prompt do."""
        entry = dict(finding.facts).get("entry")
        right = () if entry is None else (("entries", entry.rpartition(".")[0]),)
        return replace(finding, classifier=self.name, version=self.version, facts=(*finding.facts, *right))

    def _known_on(self, day: date) -> tuple[date, PdqList | None]:
        entries = tuple(
            HashRecord(id=f"{right.id}.{number}", hash=digits)
            for right in self._rights
            if right.holds_on(day)
            for number, digits in enumerate(right.pictures)
        )
        known = InlineList(id=NAME, category=Category.INTELLECTUAL_PROPERTY, entries=entries)
        return day, PdqList(PdqList.Options(data=(known,))) if entries else None
