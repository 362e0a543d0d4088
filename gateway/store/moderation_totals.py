"""Counts of subjects in moderation calls that nothing stops, by key and hour, until the log has them. All blocks."""

import contextlib
import secrets
from base64 import b32encode
from collections.abc import Callable
from dataclasses import dataclass, fields

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy import Engine as Database
from sqlalchemy.exc import IntegrityError

from gateway.store.database import reading
from gateway.store.schema import moderation_totals


@dataclass(frozen=True, slots=True)
class ModerationTotal:
    """`id`: of the log entry it becomes. `hour`: since the beginning of 1970."""

    id: str
    tenant: str
    key_id: str
    hour: int
    passed: int


_COLUMNS = tuple(moderation_totals.c[each.name] for each in fields(ModerationTotal))


class ModerationTotals:
    """The table of totals."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, tenant: str, key_id: str, hour: int, number: int) -> None:
        """Adds to the total of a key and an hour."""
        table = moderation_totals.c
        more = update(moderation_totals).where(table.key_id == key_id, table.hour == hour)
        row = {"id": f"mod_{b32encode(secrets.token_bytes(15)).decode().lower()}", "tenant": tenant, "key_id": key_id}
        while True:
            # Another gateway may be faster.
            with contextlib.suppress(IntegrityError), self._database.begin() as connection:
                if connection.execute(more.values(passed=table.passed + number)).rowcount == 0:
                    connection.execute(insert(moderation_totals).values(row | {"hour": hour, "passed": number}))
                return

    def up_to(self, last_hour: int) -> list[ModerationTotal]:
        """Totals of this hour and those before it."""
        query = select(*_COLUMNS).where(moderation_totals.c.hour <= last_hour)
        with reading(self._database).connect() as connection:
            return [ModerationTotal(*row) for row in connection.execute(query)]


def forget_total(total_id: str) -> Callable[[Connection], None]:
    """Deletes a total, in the transaction that records it."""

    def forget(connection: Connection) -> None:
        connection.execute(delete(moderation_totals).where(moderation_totals.c.id == total_id))

    return forget
