"""Writes the README's tables of settings, routes, parts, commands and error codes from the code.

`python -m tests.readme_tables` rewrites them in place; `test_readme.py` fails while they differ.
"""

import re
import sys
import tomllib
import typing
from collections.abc import Iterable
from pathlib import Path

import typer
from pydantic import BaseModel

README = Path(__file__).resolve().parents[1] / "README.md"


def settings_table() -> str:
    """Every setting: its name in fluxgate.toml, default, meaning."""
    from gateway.settings import Settings

    def rows(model: type[BaseModel], prefix: str = "") -> Iterable[tuple[str, ...]]:
        for name, field in model.model_fields.items():
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
                yield from rows(field.annotation, f"{name}.")
                continue
            default = field.get_default(call_default_factory=True)
            shown = "" if default is None or default == {} else f"`{default}`"
            yield f"`{prefix}{name}`", shown, field.description or ""

    return _table(("setting", "default", "meaning"), rows(Settings))


def routes_table() -> str:
    """Every route with its summary."""
    from gateway.dialects.native import Native
    from gateway.dialects.openai import OpenAI
    from gateway.dialects.soft_binding import SoftBinding
    from gateway.serving.public.routes import Public
    from tests.routes import declared_routes

    rows = [
        (f"`{method} {path}`", summary)
        for speaker in (
            Native(Native.Options()),
            OpenAI(OpenAI.Options()),
            SoftBinding(SoftBinding.Options()),
            Public(),
        )
        for method, path, summary in declared_routes(speaker)
    ]
    return _table(("route", "what it does"), rows)


def parts_table() -> str:
    """Every kind of part with the names that ship."""
    # From the project file: what tests or strangers have installed besides does not ship.
    groups = tomllib.loads((README.parent / "pyproject.toml").read_text("utf-8"))["project"]["entry-points"]
    rows = [(f"`{group}`", ", ".join(f"`{name}`" for name in sorted(parts))) for group, parts in sorted(groups.items())]
    return _table(("entry-point group", "shipped parts"), rows)


def commands_table() -> str:
    """Every command with the first sentence of its help."""
    from gateway.cli import app

    def rows(command: typing.Any, path: str) -> Iterable[tuple[str, str]]:
        for name, sub in getattr(command, "commands", {}).items():
            if getattr(sub, "commands", None):
                yield from rows(sub, f"{path} {name}")
            else:
                yield f"`{path} {name}`", (sub.help or "").split(". ")[0].split("\n")[0].rstrip(".") + "."

    return _table(("command", "what it does"), rows(typer.main.get_command(app), "fluxgate"))


def codes_table() -> str:
    """Every error code with its status and its words."""
    from gateway.problems import documented

    rows = sorted({(f"`{problem.code}`", str(problem.status), problem.title) for problem in documented()})
    return _table(("code", "status", "meaning"), rows)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def rewritten(readme: str) -> str:
    """The README with every generated table brought up to date."""
    for name, table in (
        ("settings", settings_table),
        ("routes", routes_table),
        ("parts", parts_table),
        ("commands", commands_table),
        ("codes", codes_table),
    ):
        made = table()
        pattern = re.compile(rf"(?<=<!-- {name} -->\n).*?(?=<!-- /{name} -->)", re.DOTALL)
        readme, found = pattern.subn(lambda _, made=made: made + "\n", readme)  # type: ignore[misc]
        if found != 1:
            sys.exit(f"README.md has no place for the table {name}")
    return readme


if __name__ == "__main__":
    README.write_text(rewritten(README.read_text("utf-8")), "utf-8")
