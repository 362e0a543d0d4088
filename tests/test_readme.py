"""The README tells the truth: its tables are the code's, its commands exist, its files are there."""

import re
from pathlib import Path

import typer.main

from tests.readme_tables import README, rewritten

ROOT = README.parent


def test_the_tables_of_the_readme_are_those_of_the_code() -> None:
    text = README.read_text("utf-8")
    assert rewritten(text) == text, "run: python -m tests.readme_tables"


def test_every_link_of_the_readmes_leads_to_a_file() -> None:
    for readme in (
        README,
        *(ROOT / name / "README.md" for name in ("policies", "moderation", "provenance", "inference")),
    ):
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", readme.read_text("utf-8")):
            assert (readme.parent / target).exists(), f"{readme}: {target}"


def test_every_command_and_option_the_readme_shows_exists() -> None:
    from gateway.cli import app

    for line in re.findall(r"^    (?:\.venv/bin/)?fluxgate (.+)$", README.read_text("utf-8"), re.MULTILINE):
        words = line.split("#")[0].split()
        command = typer.main.get_command(app)
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]  # type: ignore[attr-defined]
        options = {name for parameter in command.params for name in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= options, line


def test_every_benchmark_the_readme_names_is_there() -> None:
    named = re.search(r"`python -m tests\.benchmarks\.(\w+)`, ([^.]+)\.", README.read_text("utf-8"))
    assert named is not None
    for name in (named[1], *re.findall(r"`(\w+)`", named[2])):
        assert (Path(__file__).parent / "benchmarks" / f"{name}.py").is_file(), name
