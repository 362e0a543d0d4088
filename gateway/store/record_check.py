"""Holds the gateway's own rows, of jobs and images, against the log. Reports, never repairs; writes nothing.

1. Every job that has ended has an entry, and every entry of a job its row.
2. The row says what the entry says: outcome, stage, failure, image, time, dialect, and the rules it states.
3. The row's tenant and key are those that the entry commits to, where the entry's opening can be read.
4. Every image has an entry, and every entry of an image its row: digest, fingerprint, manifest, mark, model, state.

Texts of a statement of reasons, image files and rows of other tables are not in the log, and not checked here;
`fluxgate verify` checks files.
"""

import math
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

import orjson
from sqlalchemy import Connection, Row, Table, select
from sqlalchemy import Engine as Database
from sqlalchemy.exc import SQLAlchemyError

from gateway.store.schema import images, jobs
from policies.findings import UNANSWERED
from provenance.log.entries import EntryInvalid, EntryKind, opens, read_leaf
from provenance.log.fsck import Fault
from provenance.log.openings import Openings, OpeningUnreadable, is_sealed
from provenance.log.tables import log_entries, log_openings, read_transaction

_PAGE: Final = 512
_OF_JOBS: Final = ("pred_", "img_", "cli_")
"""How the ids of jobs begin; other entries, such as those of refused uploads, have no row."""
_ENDED: Final = {each.value for each in (EntryKind.DELIVERED, EntryKind.HELD, EntryKind.REFUSED, EntryKind.FAILED)}
_IMAGE_FIELDS: Final = {
    "content_id": "content_id",
    "sha256": "output_sha256",
    "pdq": "pdq",
    "manifest_id": "manifest_id",
    "manifest_sha256": "manifest_sha256",
    "model": "model_id",
}
"""Column → field of the entry; the mark, which may be empty in both, is compared besides."""

Entry = Mapping[str, Any]


def check_records(database: Database, openings: Openings | None) -> tuple[Fault, ...]:
    """What the rows and the log do not agree on. `openings`: reads commitments; without it step 3 is left out."""
    try:
        with read_transaction(database) as connection:
            return (*_entries(connection, openings), *_unrecorded(connection))
    except SQLAlchemyError as failure:
        return (Fault("unreadable", "rows of jobs and images", type(failure).__name__),)


def _entries(connection: Connection, openings: Openings | None) -> Iterator[Fault]:
    begin = 0
    while rows := connection.execute(
        select(log_entries.c.idx, log_entries.c.leaf, log_openings.c.salt)
        .outerjoin(log_openings, log_openings.c.request_id == log_entries.c.request_id)
        .where(log_entries.c.idx >= begin)
        .order_by(log_entries.c.idx)
        .limit(_PAGE)
    ).all():
        entries = {}
        for row in rows:
            try:
                entry = read_leaf(row.leaf)
            except (EntryInvalid, TypeError):
                continue  # fsck says it
            if entry.get("outcome") in _ENDED:
                entries[entry["request_id"]] = (entry, row.salt)
        their_jobs = _by_id(connection, jobs, "id", entries)
        their_images = _by_id(connection, images, "job_id", entries)
        for request_id, (entry, stored) in entries.items():
            job = their_jobs.get(request_id)
            if job is not None:
                yield from _job(entry, job, _salt(openings, request_id, stored))
            elif request_id.startswith(_OF_JOBS):
                yield Fault("job_missing", f"job {request_id}", "the log has an entry of it, the table has no row")
            yield from _image(entry, their_images.get(request_id))
        begin = rows[-1].idx + 1


def _by_id(connection: Connection, table: Table, column: str, wanted: Mapping[str, Any]) -> dict[str, Row[Any]]:
    found = connection.execute(select(table).where(table.c[column].in_(list(wanted))))
    return {getattr(row, column): row for row in found}


def _salt(openings: Openings | None, request_id: str, stored: Any) -> bytes | None:
    if openings is None or stored is None:
        return None
    try:
        return openings.open(request_id, bytes(stored)) if is_sealed(stored) else bytes(stored)
    except (OpeningUnreadable, TypeError):
        return None  # fsck says it


def _job(entry: Entry, job: Row[Any], salt: bytes | None) -> Iterator[Fault]:
    wrong = [
        name
        for name, stored, logged in (
            ("state", job.state, entry["outcome"]),
            ("stage", job.stage, entry["stage"]),
            ("code", job.code, entry.get("failure")),
            ("content_id", job.content_id, entry.get("content_id")),
            ("dialect", job.dialect, entry["dialect"]),
        )
        if stored != logged
    ]
    if not _same_time(job.completed_at, entry["time"]):
        wrong.append("completed_at")
    if _stated(job.reasons) != _logged(entry):
        wrong.append("reasons")
    principal = entry.get("commitments", {}).get("principal")
    if principal and salt and not opens(principal, salt, "principal", f"{job.tenant}/{job.key_id}".encode()):
        wrong.append("tenant or key_id")
    if wrong:
        yield Fault("job_altered", f"job {job.id}", f"the row does not say what the log says: {', '.join(wrong)}")


def _image(entry: Entry, image: Row[Any] | None) -> Iterator[Fault]:
    place = f"image {entry.get('content_id')}"
    if image is None:
        if "content_id" in entry:
            yield Fault("image_missing", place, "the log has an entry of it, the table has no row")
        return
    wrong = [column for column, name in _IMAGE_FIELDS.items() if getattr(image, column) != entry.get(name)]
    if (image.mark or "") != entry.get("mark_id", ""):
        wrong.append("mark")
    if image.held != (entry["outcome"] == EntryKind.HELD):
        wrong.append("held")
    if not _same_time(image.created_at, entry["time"]):
        wrong.append("created_at")
    if wrong:
        place = f"image {image.content_id}"
        yield Fault("image_altered", place, f"the row does not say what the log says: {', '.join(wrong)}")


def _unrecorded(connection: Connection) -> Iterator[Fault]:
    for table, column, code, what in (
        (jobs, jobs.c.id, "job_unrecorded", "job"),
        (images, images.c.job_id, "image_unrecorded", "image of job"),
    ):
        query = (
            select(column).outerjoin(log_entries, log_entries.c.request_id == column).where(log_entries.c.idx.is_(None))
        )
        if table is jobs:
            query = query.where(jobs.c.state.in_(_ENDED))
        for request_id in connection.execute(query).scalars():
            yield Fault(code, f"{what} {request_id}", "the log has no entry of it")


def _same_time(stored: Any, logged: str) -> bool:
    """The log keeps milliseconds."""
    return isinstance(stored, float) and math.isclose(stored, datetime.fromisoformat(logged).timestamp(), abs_tol=2e-3)


def _stated(text: Any) -> tuple[Any, ...] | None:
    """What a stored statement of reasons says that the log says, too."""
    if text is None:
        return None
    try:
        said = orjson.loads(text)
        reasons = sorted((r["rule"], r["category"], r["stage"], r["classifier"], r["floor"]) for r in said["reasons"])
        return said["verdict"], said["policy"], said["policy_digest"], tuple(reasons)
    except (ValueError, KeyError, TypeError):
        return ("unreadable",)


def _logged(entry: Entry) -> tuple[Any, ...] | None:
    if entry["outcome"] not in (EntryKind.HELD, EntryKind.REFUSED):
        return None
    reasons = sorted(
        (r["rule"], r["category"], r["stage"], r["classifier"], r["floor"])
        for r in entry.get("reasons", ())
        if r["verdict"] == entry["verdict"] and r["category"] != UNANSWERED
    )
    return entry["verdict"], entry["policy"], entry["policy_digest"], tuple(reasons)
