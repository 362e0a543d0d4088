"""Signs a report on the screening, and checks one: the log records the digest of every file, the receipt lies beside.

A receipt is signed by the log's key, carries the time, and cannot be taken back or exchanged later without breaking the
log. So a report that was signed before an incident is shown to be from before it, and the same report afterwards.
"""

import hashlib
from datetime import datetime
from pathlib import Path

from gateway.errors import GatewayError
from provenance.log.entries import Entry, EntryKind, read_leaf
from provenance.log.ledger import Ledger
from provenance.log.receipts import Receipt, verify_receipt

RECEIPT = "receipt.json"


class ReportChanged(GatewayError):
    """A report is not the one that was signed. The message names the file and what is wrong with it."""


def sign_report(folder: Path, ledger: Ledger, now: datetime, system_version: str) -> Receipt:
    """Records what the files of `folder` are and writes the receipt beside them.

    `now`: aware. Raises `LedgerUnavailable`; `AlreadyRecorded` if this very report was signed before.
    """
    files = _digests(folder)
    whole = hashlib.sha256("".join(f"{digest}  {name}\n" for name, digest in files.items()).encode()).hexdigest()
    entry = Entry(
        request_id=f"report-{whole[:32]}",
        outcome=EntryKind.MEASURED,
        time=now,
        dialect="cli",
        stage="screening",
        system_version=system_version,
        files=files,
    )
    receipt = ledger.record(entry)
    (folder / RECEIPT).write_text(receipt.to_json() + "\n", encoding="utf-8")
    return receipt


def check_report(folder: Path, vkey: str) -> datetime:
    """When the report in `folder` was signed. `vkey`: of the log that has to have signed it.

    Raises `ReportChanged`, `ReceiptInvalid` or `LogKeyInvalid`.
    """
    try:
        receipt = Receipt.from_json((folder / RECEIPT).read_bytes())
    except OSError as cause:
        raise ReportChanged(f"{RECEIPT} is missing: this report was not signed, or not whole") from cause
    verify_receipt(receipt, vkey)
    said = read_leaf(receipt.leaf)
    signed = said.get("files")
    if said.get("outcome") != EntryKind.MEASURED or not isinstance(signed, dict):
        raise ReportChanged(f"{RECEIPT} is the receipt of something else, not of a report")
    found = _digests(folder)
    for name in sorted(signed.keys() | found.keys()):
        if name not in found:
            raise ReportChanged(f"{name} is missing")
        if name not in signed:
            raise ReportChanged(f"{name} was not there when the report was signed")
        if signed[name] != found[name]:
            raise ReportChanged(f"{name} was changed after the report was signed")
    return datetime.fromisoformat(said["time"])


def _digests(folder: Path) -> dict[str, str]:
    """Hex SHA-256 by path of every file of the report, those in folders too, paths rising."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: hashlib.sha256(files[name].read_bytes()).hexdigest() for name in sorted(files) if name != RECEIPT}
