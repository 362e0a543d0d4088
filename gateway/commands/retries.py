"""`fluxgate retries`: who is suspended for asking again and again, and the end of it after an appeal."""

import time
from datetime import UTC, datetime
from typing import Annotated

import orjson
import typer
from rich.table import Table

from gateway.commands.options import DEFAULT_DATA_DIR, AsJson, DataDir, existing, stop, wide_console
from gateway.retries.suspensions import Suspensions
from gateway.signing.provisioning import open_ledger
from gateway.store.data_folder import open_data_folder

retries_app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Suspensions of those who asked again and again for what was refused. Running gateways follow at once.",
)


@retries_app.command(name="list", epilog="Example: fluxgate retries list --json")
def list_suspensions(data_dir: DataDir = DEFAULT_DATA_DIR, as_json: AsJson = False) -> None:
    """Show suspensions: the decision that led to each, its tenant, its end, how many calls it blocked."""
    rows = [
        {
            "decision": each.decision,
            "tenant": each.tenant,
            "until": datetime.fromtimestamp(each.until, UTC).isoformat(timespec="seconds"),
            "turned_away": str(each.turned_away),
        }
        for each in Suspensions(open_data_folder(existing(data_dir)).database, time.time).running()
    ]
    if as_json:
        typer.echo(orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode())
        return
    table = Table("decision", "tenant", "until", "calls blocked")
    for row in rows:
        table.add_row(*row.values())
    wide_console().print(table if rows else "Nobody is suspended.")


@retries_app.command(epilog="Example: fluxgate retries lift dec_2kq3…")
def lift(
    decision: Annotated[str, typer.Argument(help="The decision that the suspended person was told.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """End a suspension, and forget what was counted of this person. It goes into the log."""
    folder = open_data_folder(existing(data_dir))
    if not Suspensions(folder.database, time.time).lift(decision, open_ledger(folder)):
        stop("this decision has led to no suspension that runs: see `fluxgate retries list`")
    typer.echo("Lifted.")
