"""The table of jobs: rows that are accepted, leased, taken over and looked up. Everything here blocks.

Leases are written and judged by the database's clock. A lease longer than any that is given out was written by a clock
that was wrong, and counts as run out; the attempt number keeps a job whose worker still lives from ending twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, or_, select, update
from sqlalchemy import Engine as Database

from gateway.errors import GatewayError
from gateway.store.budgets import BudgetSpent, spend
from gateway.store.clock import database_now
from gateway.store.database import reading
from gateway.store.schema import idempotency_keys, jobs


class JobState(StrEnum):
    """Where a job stands. The last four are final: the log has its entry then."""

    ACCEPTED = "accepted"
    RUNNING = "running"
    DELIVERED = "delivered"
    HELD = "held"
    REFUSED = "refused"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        """Whether the job has ended."""
        return self not in (JobState.ACCEPTED, JobState.RUNNING)


@dataclass(frozen=True, slots=True)
class Job:
    """A row of the table. `request`, `told`: encrypted. `reasons`: a statement of reasons, JSON. Unix seconds."""

    id: str
    tenant: str
    key_id: str
    assurance: int
    model: str
    state: JobState
    created_at: float
    completed_at: float | None
    steps_done: int
    steps: int
    attempt: int
    cancel_requested: bool
    request: bytes | None
    told: bytes | None
    dialect: str
    code: str | None
    content_id: str | None
    reasons: str | None


_COLUMNS = tuple(jobs.c[each.name] for each in fields(Job))


def _job(row: Row[Any]) -> Job:
    values = dict(zip((each.name for each in fields(Job)), row, strict=True))
    return Job(**values | {"state": JobState(values["state"])})


class KeyReused(GatewayError):
    """The idempotency key came with another body before."""


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """`id`: keyed hash of caller and key; `body`: keyed hash of what was asked for. Both hex. Unix seconds."""

    id: str
    body: str
    expires_at: float


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Jobs to accept, all or none. `cost`, `limit`: thousandths of megapixel-steps, of all rows and of the day."""

    tenant: str
    day: int
    cost: int
    limit: int
    rows: tuple[Mapping[str, Any], ...]
    key: IdempotencyKey | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """`ids`: of the jobs, in the order of the images. `again`: they were accepted before, under the same key."""

    ids: tuple[str, ...]
    again: bool = False


class JobTable:
    """`lease_seconds`: how long a lease lasts without being renewed. `retryable`: codes of failures on our side."""

    def __init__(self, database: Database, lease_seconds: float, retryable: frozenset[str]) -> None:
        self._database = database
        self._lease_seconds = lease_seconds
        self._retryable = retryable

    # -- accepting ----------------------------------------------------------------------------------------------

    def accept(self, group: Sequence[Acceptance]) -> list[Accepted | Exception]:
        """One tenant's acceptances in one transaction: holds of the budget, keys and rows. `BudgetSpent` and
        `KeyReused` are answers; whatever else goes wrong is raised, and nothing is written then."""
        with self._database.begin() as connection:
            answers: list[Accepted | Exception] = []
            for each in group:
                try:
                    answers.append(self._accept(connection, each))
                except (BudgetSpent, KeyReused) as refusal:
                    answers.append(refusal)
            return answers

    def _accept(self, connection: Connection, wanted: Acceptance) -> Accepted:
        ids = tuple(str(row["id"]) for row in wanted.rows)
        if wanted.key is not None and (known := self._led_to(connection, wanted.key)):
            return known
        # On PostgreSQL the budget's row is also the lock under which one tenant's requests take turns.
        spend(connection, wanted.tenant, wanted.day, wanted.cost, wanted.limit)
        if wanted.key is not None:
            if known := self._led_to(connection, wanted.key):  # another gateway was faster
                spend(connection, wanted.tenant, wanted.day, -wanted.cost, wanted.limit)
                return known
            row = {"id": wanted.key.id, "body": wanted.key.body, "jobs": " ".join(ids)}
            connection.execute(delete(idempotency_keys).where(idempotency_keys.c.id == wanted.key.id))
            connection.execute(insert(idempotency_keys), row | {"expires_at": wanted.key.expires_at})
        connection.execute(insert(jobs), [dict(row) | {"lease_until": None} for row in wanted.rows])
        lease = database_now() + self._lease_seconds
        connection.execute(update(jobs).where(jobs.c.id.in_(ids)).values(lease_until=lease))
        return Accepted(ids)

    def led_to(self, key: IdempotencyKey) -> Accepted | None:
        """The jobs that the key led to before, if it did. Raises `KeyReused`."""
        with reading(self._database).connect() as connection:
            return self._led_to(connection, key)

    def _led_to(self, connection: Connection, key: IdempotencyKey) -> Accepted | None:
        """None also for a key that is past its time, or led to nothing but failures on our side: it is free again."""
        found = connection.execute(select(idempotency_keys).where(idempotency_keys.c.id == key.id)).one_or_none()
        if found is None or connection.execute(select(database_now() > found.expires_at)).scalar():
            return None
        ids = tuple(found.jobs.split())
        ends = connection.execute(select(jobs.c.state, jobs.c.code).where(jobs.c.id.in_(ids))).all()
        if all(each.state == JobState.FAILED and each.code in self._retryable for each in ends):
            return None
        if found.body != key.body:
            raise KeyReused
        return Accepted(ids, again=True)

    def forget_keys(self) -> None:
        """Deletes idempotency keys that are past their time."""
        with self._database.begin() as connection:
            connection.execute(delete(idempotency_keys).where(idempotency_keys.c.expires_at < database_now()))

    # -- leases -------------------------------------------------------------------------------------------------

    def renew(self, mine: Mapping[str, tuple[int, int]]) -> tuple[set[str], set[str]]:
        """Renews leases: job → (attempt, steps done). Returns whose lease was lost, and who is to be cancelled."""
        lost: set[str] = set()
        with self._database.begin() as connection:
            for job_id, (attempt, steps_done) in mine.items():
                fence = (jobs.c.id == job_id) & (jobs.c.state == JobState.RUNNING) & (jobs.c.attempt == attempt)
                until = database_now() + self._lease_seconds
                renewed = update(jobs).where(fence).values(lease_until=until, steps_done=steps_done)
                if connection.execute(renewed).rowcount != 1:
                    lost.add(job_id)
            asked = select(jobs.c.id).where(jobs.c.id.in_(mine), jobs.c.cancel_requested)
            return lost, set(connection.execute(asked).scalars())

    def release(self, job_id: str) -> None:
        """Leaves a job that is not finished to whoever looks next."""
        with self._database.begin() as connection:
            connection.execute(
                update(jobs)
                .where(jobs.c.id == job_id, jobs.c.state == JobState.RUNNING)
                .values(state=JobState.ACCEPTED, lease_until=None, attempt=jobs.c.attempt - 1)
            )

    def claim_abandoned(self, held: Mapping[str, int], mine: Sequence[str], full: frozenset[str]) -> Job | None:
        """Takes over a job whose lease has run out: the oldest one of the tenant with the fewest jobs here.

        `held`: tenant → number of its jobs here. `mine`: ids of jobs here. `full`: tenants that get no further place.
        """
        ends = jobs.c.lease_until
        over = or_(ends < database_now(), ends > database_now() + 2 * self._lease_seconds)
        abandoned = or_(
            jobs.c.state == JobState.ACCEPTED, (jobs.c.state == JobState.RUNNING) & over
        ) & jobs.c.id.not_in(mine)
        with self._database.begin() as connection:
            waiting = select(jobs.c.tenant, func.min(jobs.c.created_at)).where(abandoned).group_by(jobs.c.tenant)
            tenants = [(held.get(name, 0), since, name) for name, since in connection.execute(waiting)]
            for _, _, tenant in sorted(each for each in tenants if each[2] not in full):
                oldest = (
                    select(jobs.c.id, jobs.c.attempt)
                    .where(abandoned, jobs.c.tenant == tenant)
                    .order_by(jobs.c.created_at)
                    .limit(1)
                )
                found = connection.execute(oldest.with_for_update(skip_locked=True)).one_or_none()
                if found is not None:
                    lease = database_now() + self._lease_seconds
                    taken = update(jobs).where(jobs.c.id == found.id)
                    connection.execute(
                        taken.values(state=JobState.RUNNING, attempt=found.attempt + 1, lease_until=lease)
                    )
                    return _job(connection.execute(select(*_COLUMNS).where(jobs.c.id == found.id)).one())
        return None

    # -- looking up ---------------------------------------------------------------------------------------------

    def ask_to_cancel(self, job_id: str, tenant: str) -> None:
        """Marks a job of this tenant: its worker, in whichever process, stops."""
        own = (jobs.c.id == job_id) & (jobs.c.tenant == tenant)
        with self._database.begin() as connection:
            connection.execute(update(jobs).where(own).values(cancel_requested=True))

    def find(self, job_id: str, tenant: str) -> Job | None:
        """The tenant's own job, or None: another tenant's job does not exist for it."""
        if not job_id.isprintable():  # PostgreSQL takes no NUL, not even to look for it
            return None
        with reading(self._database).connect() as connection:
            found = connection.execute(
                select(*_COLUMNS).where(jobs.c.id == job_id, jobs.c.tenant == tenant)
            ).one_or_none()
        return None if found is None else _job(found)

    def history(self, tenant: str, limit: int, before: float | None) -> list[Job]:
        """The tenant's jobs, newest first."""
        query = select(*_COLUMNS).where(jobs.c.tenant == tenant)
        if before is not None:
            query = query.where(jobs.c.created_at < before)
        with reading(self._database).connect() as connection:
            return [_job(row) for row in connection.execute(query.order_by(jobs.c.created_at.desc()).limit(limit))]
