"""The READMEs tell the truth: their commands exist, and their files are there."""

import configparser
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer.main

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("gateway", "moderation", "provenance", "inference", "policies")
READMES = [
    ROOT / "README.md",
    *sorted((ROOT / ".github").rglob("*.md")),
    *sorted(path for name in PACKAGES for path in (ROOT / name).rglob("README.md")),
]


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.parent.name)
def test_every_link_leads_to_a_file(readme: Path) -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)", readme.read_text("utf-8")):
        assert (readme.parent / target).exists(), f"{readme}: {target}"


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.parent.name)
def test_every_command_and_option_shown_exists(readme: Path) -> None:
    from gateway.cli import app

    text = readme.read_text("utf-8")
    shown = re.findall(r"^    (?:\.venv/bin/)?fluxgate (.+)$", text, re.MULTILINE)
    for line in (*shown, *re.findall(r"`fluxgate ([^`]+)`", text.replace("\n", " "))):
        words = re.sub(r"\"[^\"]*\"|'[^']*'", "TEXT", line.split("#")[0]).split()
        command: Any = typer.main.get_command(app)
        while words and hasattr(command, "get_command") and words[0].islower():
            command = command.get_command(None, words.pop(0))
            assert command is not None, f"no such command: {line}"
        options = {name for parameter in command.params for name in parameter.opts} | {"--help"}
        assert {word for word in words if word.startswith("-")} <= options, line


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.parent.name)
def test_every_module_shown_is_there(readme: Path) -> None:
    for module in re.findall(r"python -m ([a-z_.]+[a-z_])", readme.read_text("utf-8")):
        place = ROOT.joinpath(*module.split("."))
        assert place.with_suffix(".py").is_file() or (place / "__main__.py").is_file(), module


def test_the_readme_of_the_gateway_draws_the_floors_that_the_import_contract_has() -> None:
    contract = configparser.ConfigParser()
    contract.read(ROOT / ".importlinter")
    floors = contract["importlinter:contract:floors"]["layers"].split()
    drawn = (ROOT / "gateway" / "README.md").read_text("utf-8").split("CI checks it.\n\n")[1].split("\n\n")[0]
    assert drawn.split() == floors, "gateway/README.md lists the floors of .importlinter"


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").split()) <= 1000


def test_the_change_log_begins_with_this_version() -> None:
    text = (ROOT / "gateway" / "CHANGELOG.md").read_text("utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert re.search(r"^## (\S+)", text, re.MULTILINE)[1] == project["version"]  # type: ignore[index]
