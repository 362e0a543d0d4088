"""The words of five languages: whole, about the same things, and chosen as the reader prefers."""

import re
import tomllib
from pathlib import Path

import pytest

import gateway.wording
from gateway.statements import WARNINGS, StatedReason, Statement
from gateway.wording import LANGUAGES, RECOGNISED, known, preferred, wording
from policies.findings import Category, Stage
from policies.loading import load_policy

FILES = Path(gateway.wording.__file__).parent


def shape(text: object) -> object:
    """Keys, and the places in texts where something is put in."""
    if isinstance(text, dict):
        return {key: shape(value) for key, value in text.items()}
    return sorted(re.findall(r"{\w+}", str(text)))


def stated(verdict: str = "refuse", warning: str = "") -> Statement:
    reason = StatedReason("weapons", "Weapons", "Why.", "Terms", "prompt", "r1", "terms", False)
    appeal = load_policy("default").appeal
    return Statement(
        "dec_x", verdict, "prompt", ("weapons",), (reason,), "default", "sha256:0", True, appeal.how, "", 183, warning
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_every_word_with_the_same_places(language: str) -> None:
    english = tomllib.loads((FILES / "en.toml").read_text("utf-8"))
    own = tomllib.loads((FILES / f"{language}.toml").read_text("utf-8"))
    categories = own.pop("categories", None)
    assert shape(own) == shape(english)
    if language != "en":
        assert set(categories) == set(Category)
        assert all(set(each) == {"title", "reason"} and all(each.values()) for each in categories.values())
    assert set(own["warnings"]) == set(WARNINGS)
    assert set(own["stages"]) >= set(Stage)


def test_the_english_warnings_and_the_shipped_appeals_are_those_that_are_translated() -> None:
    assert dict(wording("en").warnings) == WARNINGS
    assert {load_policy(name).appeal.how for name in ("demo", "default", "strict")} == {wording("en").appeal}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("verdict", ["refuse", "hold"])
def test_a_message_names_the_category_in_its_language_and_is_recognised(language: str, verdict: str) -> None:
    words = wording(language)
    statement = words.translated(stated(verdict, WARNINGS["retries-slow"]))
    said = words.summary(statement)
    assert RECOGNISED in said.lower()
    assert words.categories["weapons"][0] in said
    assert words.warnings["retries-slow"] in said
    assert words.whom_to_ask(statement) == words.appeal


def test_an_operators_own_words_stay() -> None:
    own = wording("de").translated(Statement.from_json(stated().to_json().replace("You can ask", "Du kannst fragen")))
    assert own.appeal.startswith("Du kannst fragen")


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", None),
        ("de-AT,de;q=0.9,en;q=0.5", "de"),
        ("en;q=0.2, fr;q=0.7, *;q=0.1", "fr"),
        ("ja, it;q=0.3", "it"),
        ("es;q=0, pl", None),
        ("de;q=nonsense, en", "en"),
        (",;;,q=,\u00e9", None),
    ],
)
def test_the_best_liked_language_that_there_is_counts(header: str, language: str | None) -> None:
    assert preferred(header) == language


def test_tags_are_read_by_their_language() -> None:
    assert [known(tag) for tag in ("DE", "fr-CA", "zh-Hans", "", "eng")] == ["de", "fr", None, None, None]
