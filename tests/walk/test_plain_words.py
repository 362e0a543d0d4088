"""What callers and operators read is plain English: the phrases that outsiders had to decode stay away."""

import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import typer.main

from gateway import telemetry
from gateway.cli import app
from gateway.settings import Settings
from provenance.standings import Standing
from tests.walk.house import House

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("gateway", "moderation", "provenance", "inference", "policies")
READMES = ("README.md", *(f"{package}/README.md" for package in PACKAGES))
PHRASES = (
    r"\bbeside\b",
    r"\bstands? in\b",
    r"\banew\b",
    r"\bturned away\b",
    r"\b(?:is|are) none\b(?! of)",
    r"\bnobody looks\b",
    r"(?:^|[.:;] )(?:Kept|Drawn|Asked|Told|Made|Given|Taken|Seen|Found|Counted|Said) (?:is|are|was|were)\b",
    r"(?:^|[.:;] )What is \w+(?:ed|n)\b",
)
PLAIN = re.compile("|".join(f"(?:{phrase})" for phrase in PHRASES), re.MULTILINE)


def commands(command: Any, path: str) -> Iterator[tuple[str, str]]:
    yield path, command.help or ""
    yield from ((f"{path} {option.name}", getattr(option, "help", None) or "") for option in command.params)
    if hasattr(command, "list_commands"):
        for name in command.list_commands(None):
            yield from commands(command.get_command(None, name), f"{path} {name}")


def settings(model: Any, path: str = "") -> Iterator[tuple[str, str]]:
    for name, field in model.model_fields.items():
        yield f"{path}{name}", field.description or ""
        if hasattr(field.annotation, "model_fields"):
            yield from settings(field.annotation, f"{path}{name}.")


def described(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Every summary, title and description of an OpenAPI document."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(inner, str) and key in ("summary", "description"):
                yield f"{path}.{key}", inner
            yield from described(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from described(inner, f"{path}.{number}")


def shipped() -> Iterator[tuple[str, str]]:
    for readme in (*READMES, "gateway/REFERENCE.md", "gateway/problems.toml"):
        yield readme, (ROOT / readme).read_text("utf-8")
    yield "en.toml", files("gateway").joinpath("wording", "en.toml").read_text("utf-8")
    yield from commands(typer.main.get_command(app), "fluxgate")
    yield from settings(Settings)
    yield from ((standing.value, standing.sentence) for standing in Standing)
    yield from ((each.name, each.documentation) for each in telemetry.REGISTRY.collect())


def test_nothing_that_is_shipped_has_a_phrase_that_outsiders_must_decode() -> None:
    assert {place: found[0] for place, text in shipped() if (found := PLAIN.search(text))} == {}


def test_nor_has_the_description_of_the_api(house: House) -> None:
    api = house.send("GET", "/openapi.json", key=None).json()
    assert {place: found[0] for place, text in described(api, "api") if (found := PLAIN.search(text))} == {}


@pytest.mark.parametrize("phrase", ["It is none.", "Kept are the words.", "the file beside it", "What is drawn leaves"])
def test_such_phrases_are_found(phrase: str) -> None:
    assert PLAIN.search(phrase) is not None


def test_every_command_says_in_one_line_what_it_does_and_every_option_what_it_means() -> None:
    said = dict(commands(typer.main.get_command(app), "fluxgate"))
    assert [place for place, text in said.items() if not text.strip()] == []
