"""`fluxgate log verify`: derives the log again, and holds openings, rows and receipts against it. Changes nothing."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from gateway.commands.options import DEFAULT_DATA_DIR, AsJson, DataDir, existing, stop
from gateway.folder import holds_gateway

if TYPE_CHECKING:
    from gateway.store.data_folder import DataFolder
    from provenance.log.openings import Openings
    from provenance.log.receipts import Receipt

_FAULTS_FOUND = 1
_NOT_A_RECEIPT = 3
_MOST_BYTES = 1 << 20  # of a receipt: an entry has at most 64 KiB


def verify(
    data_dir: DataDir = DEFAULT_DATA_DIR,
    folder: Annotated[Path | None, typer.Option(help="Check an exported log instead; needs no database.")] = None,
    vkey: Annotated[str | None, typer.Option(help="The log's public key; default: the one stored with it.")] = None,
    receipt: Annotated[
        list[Path] | None, typer.Option(help="A receipt (JSON or .tlog-proof) to hold against the log; repeatable.")
    ] = None,
    checkpoint: Annotated[
        list[Path] | None, typer.Option(help="A signed checkpoint kept from before; repeatable.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check the log: entries, tree, every checkpoint, and receipts and checkpoints that were kept elsewhere.

    In a data folder the openings of commitments and the rows of jobs and images are checked against the log too.
    Nothing is changed or repaired. Where no gateway is, a receipt and the log's public key are enough to check that
    receipt by itself. A key stored with the log proves only that the log is consistent; keep the key and receipts
    elsewhere to hold the log against its operator.

    Exit codes: 0 intact, 1 faults found, 2 could not be checked, 3 a file named with --receipt is not a receipt.
    """
    from provenance.log.fsck import fsck
    from provenance.log.receipts import ReceiptInvalid, verify_receipt

    receipts = {path: _receipt(path) for path in receipt or ()}
    kept = {f"checkpoint {path}": _text(path, "checkpoint") for path in checkpoint or ()}
    if folder is None and receipts and vkey and not kept and not holds_gateway(data_dir):
        _alone(receipts, vkey, as_json)
    opened = None if folder is not None else _opened(data_dir)
    beside = folder / "vkey" if opened is None and folder is not None else existing(data_dir) / "keys" / "log.vkey"
    if vkey is None:
        if not beside.is_file():
            stop(f"there is no {beside}: name the log's public key with --vkey")
        vkey = beside.read_text("utf-8").strip()
    faults: list[dict[str, str]] = []
    for path, each in receipts.items():
        try:
            verify_receipt(each, vkey)
            kept[f"receipt {path}"] = each.checkpoint
        except ReceiptInvalid as failure:
            faults.append({"code": "receipt", "place": str(path), "detail": str(failure)})
    openings = _openings(opened)
    source: Any = folder if opened is None else opened.engine_for_log
    report = fsck(source, vkey, list(kept.values()), openings)
    places = {f"kept checkpoint {number}": place for number, place in enumerate(kept)}
    found = list(report.faults)
    if opened is not None:
        from gateway.store.record_check import check_records

        found += check_records(opened.engine_for_log, openings)
        opened.database.dispose()
    faults = [{"code": f.code, "place": places.get(f.place, f.place), "detail": f.detail} for f in found] + faults
    if as_json:
        said = {"intact": not faults, "entries": report.size, "root": report.root, "checkpoints": report.checkpoints}
        typer.echo(orjson.dumps(said | {"faults": faults}, option=orjson.OPT_INDENT_2).decode())
    elif not faults:
        held = f", {len(receipts)} receipts held against it" if receipts else ""
        typer.echo(f"Intact: {report.size} entries, {report.checkpoints} checkpoints{held}, {report.seconds:.2f} s.")
        typer.echo(f"Root {report.root}")
    else:
        typer.echo(f"NOT intact: {len(faults)} faults in a log of {report.size} entries.")
        for fault in faults:
            typer.echo(f"  {fault['code']} at {fault['place']}: {fault['detail']}")
    raise typer.Exit(_FAULTS_FOUND if faults else 0)


def _alone(receipts: "dict[Path, Receipt]", vkey: str, as_json: bool) -> None:
    """Checks receipts against the log's key, without a log: that each entry is in a log which that key signed."""
    from provenance.log.entries import read_leaf
    from provenance.log.receipts import ReceiptInvalid, verify_receipt

    rows = []
    for path, each in receipts.items():
        try:
            verify_receipt(each, vkey)
            entry = read_leaf(each.leaf)
            said = {key: entry[key] for key in ("request_id", "outcome", "time")}
            rows.append({"receipt": str(path), "holds": True, "index": each.index, **said})
        except ReceiptInvalid as failure:
            rows.append({"receipt": str(path), "holds": False, "detail": str(failure)})
    if as_json:
        typer.echo(orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode())
    for row in () if as_json else rows:
        if row["holds"]:
            typer.echo(
                f"{row['receipt']} holds: entry {row['index']}, request {row['request_id']}, {row['outcome']}, "
                f"{row['time']}. No log was compared."
            )
        else:
            typer.echo(f"{row['receipt']} does NOT hold: {row['detail']}")
    raise typer.Exit(0 if all(row["holds"] for row in rows) else _FAULTS_FOUND)


def _opened(data_dir: Path) -> "DataFolder":
    from sqlalchemy.exc import SQLAlchemyError

    from gateway.store.data_folder import open_unchanged_folder
    from gateway.store.database import is_migrated

    opened = open_unchanged_folder(existing(data_dir))
    try:
        current = is_migrated(opened.database)
    except SQLAlchemyError:
        stop("the database cannot be read: is it there, and does it answer?")
    if not current:
        stop(
            "the database has the tables of another version: start this version's gateway once, or check with that one"
        )
    return opened


def _openings(opened: "DataFolder | None") -> "Openings | None":
    from gateway.signing.provisioning import OPENINGS
    from provenance.log.openings import Openings

    key = None if opened is None else opened.kept_secret(OPENINGS)
    return None if key is None else Openings(key)


def _receipt(path: Path) -> "Receipt":
    """Ends the command unless the file is a receipt."""
    from provenance.log.receipts import Receipt, ReceiptInvalid

    text = _text(path, "receipt")
    try:
        return Receipt.from_json(text) if text.startswith("{") else Receipt.from_tlog_proof(text)
    except ReceiptInvalid as failure:
        bare = len(lines := text.split("\n")) > 4 and lines[1].isdecimal() and lines[4].startswith("— ")
        hint = " It looks like a signed checkpoint: name it with --checkpoint." if bare else ""
        stop(f"{path} is not a receipt: {failure}.{hint}", _NOT_A_RECEIPT)


def _text(path: Path, what: str) -> str:
    """The file's text with one line end, as `log receipt` prints it or an editor leaves it."""
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            stop(f"{path} is not a {what}: it has more than {_MOST_BYTES} bytes", _NOT_A_RECEIPT)
        return data.decode("utf-8-sig").replace("\r\n", "\n").strip() + "\n"
    except UnicodeDecodeError:
        stop(f"{path} is not a {what}: it is not text", _NOT_A_RECEIPT)
    except OSError as failure:
        stop(f"the {what} {path} cannot be read: {failure.strerror}")
