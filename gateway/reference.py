"""Writes `gateway/REFERENCE.md` from the code: `python -m gateway.reference`. A test fails while the file differs."""

import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import typer
from fastapi.routing import APIRoute
from prometheus_client.metrics import MetricWrapperBase
from pydantic import BaseModel

from gateway import telemetry
from gateway.cli import app
from gateway.intake.admission import asked_by
from gateway.problems import documented
from gateway.serving.public.routes import Public
from gateway.settings import Settings
from policies.taxonomy import load_taxonomy
from provenance.log import described
from provenance.log.entries import Entry, EntryKind
from provenance.standings import Standing

REFERENCE: Final = Path(__file__).with_name("REFERENCE.md")
_PROJECT: Final = REFERENCE.parents[1] / "pyproject.toml"

_HEAD: Final = """# Reference

`python -m gateway.reference` writes this file from the code. Do not edit it; a test compares it with the code.
"""


def reference() -> str:
    """The whole file."""
    sections = (
        ("Settings", _SETTINGS, settings()),
        ("Routes", _ROUTES, routes()),
        ("Error codes", _CODES, codes()),
        ("Commands", _COMMANDS, commands()),
        ("Results of `fluxgate verify`", _STANDINGS, standings()),
        ("Log entries", _ENTRIES, entries()),
        ("Metrics", _METRICS, metrics()),
        ("Categories", _CATEGORIES, categories()),
        ("Parts", _PARTS, parts()),
    )
    anchors = ((title, title.lower().replace("`", "").replace(" ", "-")) for title, _, _ in sections)
    contents = "\n".join(f"- [{title}](#{anchor})" for title, anchor in anchors)
    return "\n".join((_HEAD, contents, *(f"\n## {title}\n\n{said}\n\n{table}" for title, said, table in sections), ""))


_SETTINGS: Final = """Write settings into `DATA_DIR/fluxgate.toml`, or set the environment variable. A variable wins
over the file, and an option of a command wins over both. Names with a dot belong to a table: `[limits]`. In a variable,
write lists and tables as JSON. To keep a secret out of the environment, add `_FILE` to the variable's name and give it
the name of a file that holds the value: `FLUXGATE_DATABASE_URL_FILE=/run/secrets/database_url`."""


def settings(model: type[BaseModel] = Settings) -> str:
    """Every setting: its name in fluxgate.toml, its variable, its default, its meaning."""

    def rows(model: type[BaseModel], prefix: str = "") -> Iterable[tuple[str, ...]]:
        for name, field in model.model_fields.items():
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
                yield from rows(field.annotation, f"{name}.")
                continue
            default = field.get_default(call_default_factory=True)
            shown = "" if default in (None, "", (), {}) else f"`{_toml(default)}`"
            full = f"{prefix}{name}"
            yield f"`{full}`", f"`FLUXGATE_{full.upper().replace('.', '__')}`", shown, field.description or ""

    return _table(("setting", "variable", "default", "meaning"), rows(model))


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"[{', '.join(map(_toml, value))}]" if isinstance(value, tuple) else f"{value}"


_ROUTES: Final = """Send the key as `Authorization: Bearer fg_…`. The page `/docs` of a running gateway describes every
field, and `/openapi.json` describes them for generators of clients."""


def routes() -> str:
    """Every route with who may call it and its summary."""
    rows = ((method, f"`{each.path}`", _who(each), each.summary or "") for method, each in declared_routes())
    return _table(("method", "path", "who may call", "what it does"), rows)


def declared_routes() -> Iterator[tuple[str, APIRoute]]:
    """Method and route, for every route of a shipped dialect and every public one."""
    dialects = _project()["fluxgate.dialects"].values()
    nothing: Any = _Nothing()
    for speaker in (*map(_part, dialects), Public(nothing, lambda: 0)):
        for route in speaker.router(nothing).routes:
            if isinstance(route, APIRoute):
                yield from ((method, route) for method in sorted(route.methods or ()))


class _Nothing:
    """Takes the place of desk and house: declaring a route looks up what the route will need and uses none of it."""

    def __getattr__(self, name: str) -> "_Nothing":
        return self

    def __iter__(self) -> Iterator[Any]:
        return iter(())


def _who(route: APIRoute) -> str:
    asks = asked_by(route.endpoint)
    if asks.scope is not None:
        return f"a key with the scope `{asks.scope.value}`"
    if {"signature", "sig"} & {each.name for each in route.dependant.query_params}:
        return "anyone with the signed link"
    return "anyone, `limits.public_requests_per_minute` per address" if asks.rated else "anyone"


_CODES: Final = """Every error carries its code in the shape of its API. *Retry* says whether the same request may
succeed later. A refusal by the policy is final."""


def codes() -> str:
    """Every error code with its status, whether to try again, its words and its remedy."""
    said: dict[str, tuple[str, str, str, list[str]]] = {}
    for each in documented():
        row = said.setdefault(each.code, (str(each.status), "no" if each.final else "yes", each.title, []))
        # A remedy that only the failure knows stands in the table as a placeholder.
        if each.remedy and each.remedy != "remedy" and each.remedy not in row[3]:
            row[3].append(each.remedy)
    rows = ((f"`{code}`", *row, " ".join(remedies)) for code, (*row, remedies) in sorted(said.items()))
    return _table(("code", "status", "retry", "meaning", "remedy"), rows)


_COMMANDS: Final = "`fluxgate COMMAND --help` prints the same."


def commands() -> str:
    """Every command with its help and its options."""
    return "\n\n".join(_commands(typer.main.get_command(app), "fluxgate"))


def _commands(command: Any, path: str) -> Iterator[str]:
    for name in command.list_commands(None):
        sub = command.get_command(None, name)
        if hasattr(sub, "list_commands"):
            yield from _commands(sub, f"{path} {name}")
            continue
        rows = [row for each in sub.params if (row := _option(each)) is not None]
        yield f"### `{path} {name}`\n\n{(sub.help or '').strip()}\n\n{_table(('option', 'default', 'meaning'), rows)}"


def _option(parameter: Any) -> tuple[str, str, str] | None:
    if parameter.name == "help":
        return None
    names = [parameter.name.upper()] if parameter.param_type_name == "argument" else parameter.opts
    shown = parameter.default
    if shown is None or shown is False or shown == "" or callable(shown) or parameter.required:
        shown = ""
    return ", ".join(f"`{name}`" for name in names), f"`{shown}`" if shown != "" else "", parameter.help or ""


_STANDINGS: Final = """`verdict` in the answer of `POST /v1/verify` and of `fluxgate verify --json`, with the exit code
of the command: 0 ours and intact, 1 not shown to be ours, 2 ours but altered, 3 not checked."""


def standings() -> str:
    """Every standing with its exit code and its sentence."""
    rows = ((f"`{each.value}`", str(each.exit_code), each.sentence) for each in Standing)
    return _table(("verdict", "exit code", "meaning"), rows)


_ENTRIES: Final = """An entry of the log is one line of canonical JSON. A field that does not apply is left out."""


def entries() -> str:
    """Every field of a log entry and every way one can end. Raises `KeyError` for one that nobody described."""
    rows = [("`schema`", described.SCHEMA)]
    rows += [(f"`{each.name}`", described.FIELDS[each.name]) for each in fields(Entry)]
    kinds = [(f"`{each.value}`", described.KINDS[each]) for each in EntryKind]
    return f"{_table(('field', 'meaning'), rows)}\n\n{_table(('`outcome`', 'meaning'), kinds)}"


_METRICS: Final = "`GET /metrics` answers in Prometheus' text format."


def metrics() -> str:
    """Every metric with its type, labels and meaning."""
    found = (each for each in vars(telemetry).values() if isinstance(each, MetricWrapperBase))
    rows = (
        (f"`{family.name}{'_total' * (family.type == 'counter')}`", family.type, labels, family.documentation)
        for each in found
        for labels in [", ".join(f"`{label}`" for label in each._labelnames)]
        for family in each.describe()
    )
    return _table(("metric", "type", "labels", "meaning"), sorted(rows))


_CATEGORIES: Final = """The categories of policies, findings and statements of reasons. `policies/data/taxonomy.toml`
also names what each leaves out and the clauses behind it."""


def categories() -> str:
    """The taxonomy."""
    rows = ((f"`{name}`", each.title, each.decision_ground, each.meant) for name, each in load_taxonomy().items())
    return _table(("category", "title", "ground", "what counts"), rows)


_PARTS: Final = "A package of yours adds a part with an entry point in the same group."


def parts() -> str:
    """Every kind of part with the names that ship."""
    rows = ((f"`{group}`", ", ".join(f"`{name}`" for name in sorted(of))) for group, of in sorted(_project().items()))
    return _table(("entry-point group", "shipped parts"), rows)


def _project() -> dict[str, dict[str, str]]:
    """Group → name → place. From the project file: what else is installed does not ship."""
    points: dict[str, dict[str, str]] = tomllib.loads(_PROJECT.read_text("utf-8"))["project"]["entry-points"]
    return points


def _part(place: str) -> Any:
    module, _, name = place.partition(":")
    kind = getattr(import_module(module), name)
    return kind(kind.Options())


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in rows]
    return "\n".join(lines)


if __name__ == "__main__":
    REFERENCE.write_text(reference(), "utf-8")
