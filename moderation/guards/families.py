"""What is published about guard models, as data: `families.toml` explains the fields. Checked when it is read."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from policies.findings import Category

TABLE = Path(__file__).with_name("families.toml")

Categories = Annotated[tuple[Category, ...], Field(min_length=1)]
Word = Annotated[str, Field(pattern=r"^\S+$")]


class Question(BaseModel):
    """One guideline, and what breaking it is called here."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    guideline: str = Field(min_length=1)
    categories: Categories


class Family(BaseModel):
    """How a guard is asked and what it answers; fields as in `families.toml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    source: str = ""
    prompt: str = ""
    unsafe: Word
    safe: Word
    marks: tuple[Annotated[str, Field(min_length=2)], ...] = ()
    codes: Mapping[Word, Categories] = Field(default_factory=dict)
    questions: tuple[Question, ...] = ()
    categories: tuple[Category, ...] = ()

    @model_validator(mode="after")
    def _whole(self) -> "Family":
        if sum(map(bool, (self.codes, self.questions, self.categories))) != 1:
            raise ValueError("give exactly one of codes, questions and categories")
        if self.prompt and self.prompt.count("{text}") != 1:
            raise ValueError("{text} has to stand in the prompt once")
        if bool(self.questions) != ("{guideline}" in self.prompt):
            raise ValueError("{guideline} has to stand in the prompt where there are questions, and only there")
        if self.unsafe.startswith(self.safe) or self.safe.startswith(self.unsafe):
            raise ValueError("one answer is the other's beginning")
        return self

    @property
    def reported(self) -> frozenset[str]:
        """Every category that some answer stands for."""
        groups = (*self.codes.values(), *(question.categories for question in self.questions), self.categories)
        return frozenset(category.value for group in groups for category in group)


def load_families() -> dict[str, Family]:
    """The shipped table, by the family's name."""
    return {name: Family.model_validate(fields) for name, fields in tomllib.loads(TABLE.read_text("utf-8")).items()}
