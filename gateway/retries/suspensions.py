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

from sqlalchemy import Engine as Database

from gateway.statements import decision_id
from gateway.store.refusals import Refusals, close_refusal, forget_subject
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
        self._refusals = Refusals(database)
        self._clock = clock

    def running(self) -> tuple[Suspension, ...]:
        """Those that run now, the one that ends first in front."""
        return tuple(
            Suspension(decision_id(each.request_id), each.tenant, each.suspended_until or 0.0, each.turned_away)
            for each in self._refusals.suspending(self._clock())
        )

    def lift(self, decision: str, ledger: Ledger) -> bool:
        """Ends the suspension that this decision led to and forgets what was counted; False if there is none.

        The log says that a person did so: with its entry it happens, or not at all. Raises `LedgerUnavailable`.
        """
        running = self._refusals.suspending(self._clock())
        subject = next((each.subject for each in running if decision_id(each.request_id) == decision), None)
        if subject is None:
            return False
        entry = self._entry("lifted", EntryKind.LIFTED, decision, self._refusals.turned_away(subject))
        ledger.record(entry, forget_subject(subject))
        return True

    def close_ended(self, ledger: Ledger) -> None:
        """Logs what is over: a suspension, or a refusal's time if something was turned away because of it.

        Blocks. Raises `LedgerUnavailable`; what is not logged stays for the next time.
        """
        now = self._clock()
        for name, over in (("ended", self._refusals.suspended_until), ("forgotten", self._refusals.slowed_until)):
            for each in over(now):
                entry = self._entry(name, EntryKind.ENDED, decision_id(each.request_id), each.turned_away)
                with contextlib.suppress(AlreadyRecorded):  # another gateway was faster
                    ledger.record(entry, close_refusal(each.request_id))

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
