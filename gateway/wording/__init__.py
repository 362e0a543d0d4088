"""What people read about a decision, in five languages. The codes, ids and field names of an answer never change with
the language."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final, get_args

from gateway.settings import Language
from gateway.statements import WARNINGS, Statement
from policies.taxonomy import load_taxonomy

LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)

RECOGNISED: Final = "request was rejected as a result of the safety system"
"""By these words LiteLLM knows a policy violation (`litellm_core_utils/exception_mapping_utils.py`, 1.110); without
them it passes a refusal on as any other bad request. They stand in the message in every language."""


@dataclass(frozen=True, slots=True)
class Wording:
    """The words of one language. `page`, `stages`, `warnings`: by key. `categories`: by category, (title, reason).
    `appeal`: what the shipped policies say of it."""

    code: Language
    language: str
    message: Mapping[str, str]
    stages: Mapping[str, str]
    warnings: Mapping[str, str]
    appeal: str
    page: Mapping[str, str]
    categories: Mapping[str, tuple[str, str]]

    def translated(self, statement: Statement) -> Statement:
        """The statement as its reader sees it. What an operator wrote stays in the operator's words."""
        if self.code == "en":
            return statement
        rules = {text: rule for rule, text in WARNINGS.items()}
        reasons = []
        for reason in statement.reasons:
            title, text = self.categories.get(reason.category, (reason.title, reason.text))
            reasons.append(replace(reason, title=title, text=text))
        return replace(
            statement,
            reasons=tuple(reasons),
            warning=self.warnings.get(rules.get(statement.warning, ""), statement.warning),
            appeal=self.appeal if statement.appeal == wording("en").appeal else statement.appeal,
        )

    def summary(self, statement: Statement) -> str:
        """One or two sentences: what was stopped, where and why. `statement`: translated or not."""
        words = {category: self.categories.get(category, (category, ""))[0] for category in statement.categories}
        said = self.message["held" if statement.verdict == "hold" else "refused"].format(
            stage=self.stages.get(statement.stage, statement.stage), categories=", ".join(words.values())
        )
        mark = "" if RECOGNISED in said else f" ({RECOGNISED})"
        return f"{said}{mark}{statement.warning and ' ' + statement.warning}"

    def whom_to_ask(self, statement: Statement) -> str:
        """How to appeal, in sentences: to the operator, and about each entry to whoever stands behind it."""
        entries = sorted({(entry.id, entry.appeal) for reason in statement.reasons for entry in reason.entries})
        about = (self.message["entry"].format(entry=each, contact=whom) for each, whom in entries)
        return " ".join((statement.appeal, *about))


@cache
def wording(language: Language) -> Wording:
    """The words of a language."""
    texts: dict[str, Any] = tomllib.loads(Path(__file__).with_name(f"{language}.toml").read_text("utf-8"))
    categories = {name: (each["title"], each["reason"]) for name, each in texts.get("categories", {}).items()}
    english = {name: (each.title, each.reason) for name, each in load_taxonomy().items()}
    return Wording(
        code=language,
        language=texts["language"],
        message=texts["message"],
        stages=texts["stages"],
        warnings=texts["warnings"],
        appeal=texts["appeal"]["how"],
        page=texts["page"],
        categories=english | categories,
    )


def known(tag: str) -> Language | None:
    """The language of a tag such as `de-AT` (RFC 5646); None if there are no words in it."""
    main = tag.strip().lower().partition("-")[0]
    return next((each for each in LANGUAGES if each == main), None)


def preferred(accept_language: str) -> Language | None:
    """The best liked language of an `Accept-Language` header (RFC 9110, 12.5.4) that there are words in."""
    liked: list[tuple[float, Language]] = []
    for part in accept_language.split(",")[:20]:
        tag, _, weight = part.partition(";")
        language = known(tag)
        try:
            quality = float(weight.strip().removeprefix("q=")) if weight else 1.0
        except ValueError:
            continue
        if language is not None and quality > 0:
            liked.append((quality, language))
    return max(liked, key=lambda each: each[0])[1] if liked else None
