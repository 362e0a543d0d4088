"""Suspensions that run, their end, and what the log says of it.

A request that is turned away while its sender is suspended or slowed has no entry of its own: a caller could fill the
log with them. It is counted at the refusal because of which it was turned away, and the number goes into the entry that
says that the suspension ran out (`ended`), was ended by a person (`lifted`), or that the refusal counts no longer. So
there is at most one such entry a refusal, and the refusal's own entry is what it is about.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, delete, select, update
from sqlalchemy import Engine as Database

from gateway.statements import decision_id
from gateway.store.database import reading
from gateway.store.schema import refused_prompts
from gateway.version import SYSTEM_VERSION
from provenance.errors import AlreadyRecorded
from provenance.log.entries import Entry, EntryKind
from provenance.log.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Suspension:
    """A running suspension. `decision`: the refusal that led to it. `until`: Unix seconds. `turned_away`: requests."""

    decision: str
    tenant: str
    until: float
    turned_away: int


class Suspensions:
    """`clock`: Unix seconds."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    def running(self) -> tuple[Suspension, ...]:
        """Those that run now, the one that ends first in front."""
        table = refused_prompts.c
        query = select(refused_prompts).where(table.suspended_until > self._clock())
        with reading(self._database).connect() as connection:
            rows = connection.execute(query.order_by(table.suspended_until, table.request_id)).all()
        return tuple(
            Suspension(decision_id(row.request_id), row.tenant, row.suspended_until, row.turned_away) for row in rows
        )

    def lift(self, decision: str, ledger: Ledger) -> bool:
        """Ends the suspension that this decision led to and forgets what was counted; False if there is none.

        The log says that a person did so: with its entry it happens, or not at all. Raises `LedgerUnavailable`.
        """
        table = refused_prompts.c
        with reading(self._database).connect() as connection:
            rows = connection.execute(select(refused_prompts).where(table.suspended_until > self._clock())).all()
            subject = next((row.subject for row in rows if decision_id(row.request_id) == decision), None)
            if subject is None:
                return False
            counts = connection.execute(select(table.turned_away).where(table.subject == subject)).scalars()
            entry = self._entry("lifted", EntryKind.LIFTED, decision, sum(counts))

        def forget(connection: Connection) -> None:
            connection.execute(delete(refused_prompts).where(table.subject == subject))

        ledger.record(entry, forget)
        return True

    def close_ended(self, ledger: Ledger) -> None:
        """Logs what is over: a suspension, or a refusal's time if something was turned away because of it.

        Blocks. Raises `LedgerUnavailable`; what is not logged stays for the next time.
        """
        now, table = self._clock(), refused_prompts.c
        suspended = table.suspended_until <= now
        slowed = (table.expires_at <= now) & table.suspended_until.is_(None) & (table.turned_away > 0)
        for name, over in (("ended", suspended), ("forgotten", slowed)):
            with reading(self._database).connect() as connection:
                rows = connection.execute(select(table.request_id, table.turned_away).where(over)).all()
            for row in rows:
                entry = self._entry(name, EntryKind.ENDED, decision_id(row.request_id), row.turned_away)
                with contextlib.suppress(AlreadyRecorded):  # another gateway was faster
                    ledger.record(entry, _closing(row.request_id))

    def _entry(self, name: str, outcome: EntryKind, decision: str, turned_away: int) -> Entry:
        by_a_person = outcome is EntryKind.LIFTED
        return Entry(
            request_id=f"{name}-{decision}",
            outcome=outcome,
            time=datetime.fromtimestamp(self._clock(), UTC),
            dialect="cli" if by_a_person else "none",
            stage="retries",
            automated=not by_a_person,
            system_version=SYSTEM_VERSION,
            about=decision,
            turned_away=turned_away,
        )


def _closing(request_id: str) -> Callable[[Connection], None]:
    closed = update(refused_prompts).where(refused_prompts.c.request_id == request_id)

    def close(connection: Connection) -> None:
        connection.execute(closed.values(suspended_until=None, turned_away=0))

    return close
