"""What moderation calls leave in the log: an entry for each subject that would be stopped, and totals of the others.

Whoever probes for words that pass is seen there. A total is one entry for a key and an hour, made once the hour is
over; until then the database counts, a few seconds late, and a process that is killed takes the count of these seconds
with it. A subject that would be stopped is answered only once its entry is in the log.
"""

import asyncio
import contextlib
import hashlib
import logging
import math
import secrets
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import Engine as Database

from gateway.auth.end_users import commitment_bytes
from gateway.auth.identity import Principal
from gateway.store.moderation_totals import ModerationTotals, forget_total
from gateway.version import SYSTEM_VERSION
from policies.policy import Policy
from policies.verdicts import Decision
from provenance.errors import AlreadyRecorded
from provenance.log import entries
from provenance.log.ledger import Ledger

log = logging.getLogger("fluxgate.moderation")

HOUR_SECONDS = 3600
FLUSH_SECONDS = 3.0
_LATE_SECONDS = 60.0  # other gateways have written their counts of an hour by then


class ModerationLog:
    """`clock`: Unix seconds."""

    def __init__(self, database: Database, ledger: Ledger, clock: Callable[[], float]) -> None:
        self._totals = ModerationTotals(database)
        self._ledger = ledger
        self._clock = clock
        self._passed: Counter[tuple[str, str, int]] = Counter()

    def passed(self, who: Principal) -> None:
        """Counts a subject that nothing stops."""
        self._passed[who.tenant, who.key_id, int(self._clock() // HOUR_SECONDS)] += 1

    async def stopped(
        self, who: Principal, end_user: str | None, call_id: str, policy: Policy, decision: Decision, subject: bytes
    ) -> None:
        """Records one that would be stopped. `subject`: what the caller sent, for a commitment to its hash.

        Raises `LedgerUnavailable`: then nothing is answered.
        """
        salt = secrets.token_bytes(entries.SALT_BYTES)
        said = {"principal": _principal(who.tenant, who.key_id), "subject": hashlib.sha256(subject).digest()}
        if end_user is not None:
            said["end_user"] = commitment_bytes(who.tenant, end_user)
        entry = entries.Entry(
            request_id=call_id,
            outcome=entries.EntryKind.MODERATED,
            time=datetime.fromtimestamp(self._clock(), UTC),
            dialect="openai",
            stage=decision.reasons[-1].stage.value,
            policy=policy.name,
            policy_digest=policy.digest,
            verdict=decision.verdict,
            reasons=decision.reasons,
            shadows=decision.shadows,
            system_version=SYSTEM_VERSION,
            commitments={name: entries.commit(salt, name, value) for name, value in said.items()},
        )
        await asyncio.to_thread(self._ledger.record, entry, salt=salt)

    async def keep(self) -> None:
        """Writes counts and closes hours, until it is cancelled; then it writes what is left."""
        try:
            while True:
                await asyncio.sleep(FLUSH_SECONDS)
                try:
                    await asyncio.to_thread(self.write)
                    await asyncio.to_thread(self.close_ended)
                except Exception as failure:  # noqa: BLE001  a database away for a moment must not end the keeping
                    log.warning("moderation totals could not be kept: %s", type(failure).__name__)
        finally:
            await asyncio.shield(asyncio.to_thread(self.write))

    def write(self) -> None:
        """Adds what was counted here to the database. Blocks."""
        for counted, number in tuple(self._passed.items()):
            self._totals.add(*counted, number)
            self._passed[counted] -= number  # more may have come meanwhile
            if not self._passed[counted]:
                del self._passed[counted]

    def close_ended(self) -> None:
        """Makes an entry of each total whose hour is over. Blocks. Raises `LedgerUnavailable`."""
        now = self._clock()
        for row in self._totals.up_to(math.floor((now - _LATE_SECONDS) / HOUR_SECONDS) - 1):
            salt = secrets.token_bytes(entries.SALT_BYTES)
            began, ended = (
                datetime.fromtimestamp((row.hour + number) * HOUR_SECONDS, UTC).isoformat() for number in (0, 1)
            )
            entry = entries.Entry(
                request_id=row.id,
                outcome=entries.EntryKind.MODERATED,
                time=datetime.fromtimestamp(now, UTC),
                dialect="openai",
                stage="prompt",
                system_version=SYSTEM_VERSION,
                passed={"subjects": row.passed, "from": began, "to": ended},
                commitments={"principal": entries.commit(salt, "principal", _principal(row.tenant, row.key_id))},
            )
            with contextlib.suppress(AlreadyRecorded):  # another gateway was faster
                self._ledger.record(entry, forget_total(row.id), salt=salt)


def _principal(tenant: str, key_id: str) -> bytes:
    return f"{tenant}/{key_id}".encode()
