"""`fluxgate registers`: what stands in registers of people and rights, before a policy reads them."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.table import Table

from gateway.commands.options import AsJson, stop, wide_console

registers_app = typer.Typer(
    add_completion=False, no_args_is_help=True, rich_markup_mode="rich", help="Registers of people and rights."
)


@registers_app.callback()
def registers() -> None:
    """Registers of people and rights."""


@registers_app.command(epilog="Example: fluxgate registers check people.toml rights.toml")
def check(
    files: Annotated[list[Path], typer.Argument(help="Register files, which are read together.")],
    as_json: AsJson = False,
) -> None:
    """Check registers: entries, the days they hold, and what is likely a slip. No name is printed.

    Exit codes: 0 a policy could read them, perhaps with notes; 2 it could not, and why.
    """
    from moderation.errors import PartUnusable
    from moderation.registers.reading import today
    from moderation.registers.report import report
    from policies.reading import MAX_DATA_BYTES, parse_toml, read_limited

    tables = [parse_toml(file, read_limited(file, MAX_DATA_BYTES)) for file in files]
    try:
        found = report(tables, today())
    except PartUnusable as failure:
        stop(str(failure))
    if as_json:
        rows = [{"file": str(file), **asdict(register)} for file, register in zip(files, found, strict=True)]
        typer.echo(orjson.dumps({"registers": rows}, option=orjson.OPT_INDENT_2).decode())
        return
    for register in found:
        table = Table("entry", "kind", "state", "from", "until", "names", "pictures", "notes")
        table.title = f"{register.id}/{register.version}, for {register.part}"
        for entry in register.entries:
            days = (str(each or "") for each in (entry.begins, entry.until))
            counts = (str(entry.words), str(entry.pictures))
            table.add_row(entry.id, entry.kind, entry.state, *days, *counts, "; ".join(entry.notes))
        wide_console().print(table)
