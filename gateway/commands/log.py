"""`fluxgate log`: reads, exports and checks the transparency log. Nothing here writes to it or repairs it."""

from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.table import Column, Table

from gateway.commands.log_verify import verify
from gateway.commands.options import DEFAULT_DATA_DIR, AsJson, DataDir, existing, stop, wide_console

log_app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Read, export and check the tamper-evident log.",
)

log_app.command(epilog='Example: fluxgate log verify --folder exported-log --vkey "$(cat exported-log/vkey)"')(verify)


@log_app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="Folder to bring up to date: C2SP tiles, checkpoint, vkey.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Write the log as files (C2SP tlog-tiles) that anyone can check and any web server can serve."""
    from gateway.store.data_folder import open_data_folder
    from provenance.log import export as exporting

    opened = open_data_folder(existing(data_dir))
    head = exporting.export(opened.engine_for_log, folder, (opened.keys / "log.vkey").read_text("utf-8").strip())
    typer.echo(f"{folder}: {head.size} entries. Check it with: fluxgate log verify --folder {folder}")


@log_app.command(name="list")
def list_entries(
    since: Annotated[int, typer.Option(min=0, help="First index.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 50,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Show entries: what was decided and why, by ids and categories."""
    from provenance.log.entries import read_leaf

    ledger = _ledger(data_dir)
    rows = [{"index": each.index, **read_leaf(each.leaf)} for each in ledger.entries(since, limit)]
    if as_json:
        typer.echo(orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode())
        return
    whole = ("index", "time", "outcome", "request", "picture")  # of no use if cut short
    table = Table(*(Column(name, no_wrap=True) for name in whole), "stage", "categories")
    for row in rows:
        categories = sorted({reason["category"] for reason in row.get("reasons", ())}) or [row.get("failure", "")]
        table.add_row(
            str(row["index"]),
            row["time"],
            row["outcome"],
            row["request_id"],
            row.get("content_id", ""),
            row["stage"],
            ", ".join(categories),
        )
    wide_console().print(table)


@log_app.command()
def receipt(
    request_id: Annotated[str, typer.Argument(help="The request's id, as answers and `fluxgate log list` show it.")],
    proof: Annotated[bool, typer.Option("--tlog-proof", help="As c2sp.org/tlog-proof@v1 instead of JSON.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Print a request's receipt: its entry, and the proof that the log holds it."""
    found = _ledger(data_dir).receipt_for(request_id)
    if found is None:
        stop(f"the log has no entry for request {request_id}")
    if proof:
        typer.echo(found.tlog_proof(), nl=False)  # the format ends with the checkpoint's own line end
    else:
        typer.echo(found.to_json())


def _ledger(data_dir: Path) -> Any:
    from gateway.signing.provisioning import open_ledger
    from gateway.store.data_folder import open_data_folder

    return open_ledger(open_data_folder(existing(data_dir)))
