"""Accepted jobs: a row is the record, a lease says who works on it, the attempt number fences whoever lost it.

accept    one transaction: the row, its request sealed at rest, our lease
work      the pipeline, in a task of this process; leases are renewed while it runs
complete  one transaction, the log's own: entry, checkpoint, final state, picture (`gateway/records.py`)
recover   a row whose lease ran out is taken over once, by whoever sees it first; the second time it is failed
          by name. `kill -9` therefore loses no job and doubles none: a job has one log entry, ever.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from threading import Event
from typing import Any

import orjson
from sqlalchemy import Row, or_, select, update

from gateway.auth.identity import Assurance, Principal
from gateway.errors import Interrupted, QueueIsFull
from gateway.exchange import ImageRequest, Outcome
from gateway.notes import NOTHING_TOLD, Note
from gateway.pipeline import produce
from gateway.records import UNRECORDABLE, Case
from gateway.store.batches import Batches
from gateway.store.database import reading
from gateway.store.schema import jobs
from gateway.store.vault import VaultError
from gateway.suspensions import Suspensions
from gateway.wiring import Parts
from inference.engines import Finish

log = logging.getLogger("fluxgate.jobs")

LEASE_SECONDS = 15.0
RENEW_SECONDS = 3.0
MAX_ATTEMPTS = 2
FINAL_STATES = frozenset({"delivered", "held", "refused", "failed"})


@dataclass(slots=True)
class _Running:
    attempt: int = 1
    task: asyncio.Task[Outcome] | None = None
    cancel: Event = field(default_factory=Event)
    steps_done: int = 0


class Jobs:
    """The jobs of this process. `clock`: Unix seconds."""

    def __init__(self, parts: Parts, clock: Callable[[], float] = time.time) -> None:
        self._parts = parts
        self._clock = clock
        self._rows = Batches(parts.engine, jobs)
        self._running: dict[str, _Running] = {}
        self._suspensions = Suspensions(parts.engine, clock)
        self._keeper: asyncio.Task[None] | None = None
        self._closing = False

    @property
    def in_work(self) -> int:
        """Jobs this process is working on."""
        return len(self._running)

    async def start(self, *, take_over: bool = True) -> None:
        """Renews leases from now on; also takes over what a dead process left, and keeps doing so."""
        if take_over:
            await self._recover()
        self._keeper = asyncio.create_task(self._keep(take_over))

    async def accept(self, who: Principal, request: ImageRequest) -> "asyncio.Task[Outcome]":
        """Makes the request a job and starts on it. Raises `QueueIsFull`; nothing is written then.

        Returns the work. Whoever waits for it shields it: a waiter who leaves does not stop the work.
        """
        if self._closing or len(self._running) >= self._parts.settings.queue_size:
            raise QueueIsFull
        self._running[request.id] = _Running()
        try:
            await self._rows.insert(self._row(who, request))
        except BaseException:
            del self._running[request.id]
            raise
        return self._work(who, request, attempt=1)

    async def finished(self, job_id: str) -> Outcome:
        """Waits for a job of this process. A waiter who leaves does not stop the work."""
        running = self._running.get(job_id)
        if running is None or running.task is None:
            raise KeyError(job_id)
        return await asyncio.shield(running.task)

    def cancel(self, job_id: str) -> None:
        """Asks the worker to stop, in whichever process it is; the job then ends as failed: `cancelled`."""
        if job_id in self._running:
            self._running[job_id].cancel.set()
        with self._parts.engine.begin() as connection:
            connection.execute(update(jobs).where(jobs.c.id == job_id).values(cancel_requested=True))

    def steps_done_here(self, job_id: str) -> int:
        """Denoising steps done by this process."""
        running = self._running.get(job_id)
        return running.steps_done if running else 0

    def steps_done(self, row: Row[tuple[object, ...]]) -> int:
        """Denoising steps done, fresher than the row where the job runs here."""
        running = self._running.get(row.id)
        return running.steps_done if running else int(row.steps_done)

    async def close(self, grace_seconds: float = 20.0) -> None:
        """Finishes what is running within the grace; what is not finished is left for the next start."""
        self._closing = True
        tasks = [running.task for running in self._running.values() if running.task]
        if tasks:
            await asyncio.wait(tasks, timeout=grace_seconds)
        if self._keeper:
            self._keeper.cancel()
        for job_id, running in tuple(self._running.items()):
            if running.task and not running.task.done():
                running.task.cancel()
                await asyncio.to_thread(self._release, job_id)

    # -- work ---------------------------------------------------------------------------------------------------

    def _work(self, who: Principal, request: ImageRequest, attempt: int) -> "asyncio.Task[Outcome]":
        running = self._running.setdefault(request.id, _Running())
        running.attempt = attempt

        def progress(done: int, _total: int) -> None:
            running.steps_done = done

        async def run() -> Outcome:
            try:
                return await produce(
                    self._parts, who, request, attempt=attempt, progress=progress, cancel=running.cancel
                )
            finally:
                del self._running[request.id]

        running.task = asyncio.create_task(run(), name=request.id)
        running.task.add_done_callback(_note_unrecorded)
        return running.task

    def _row(self, who: Principal, request: ImageRequest) -> dict[str, object]:
        sealed = self._parts.vault.seal(_pack(request), request.id)
        now = self._clock()
        return {
            "id": request.id,
            "tenant": who.tenant,
            "key_id": who.key_id,
            "assurance": int(who.assurance),
            "dialect": request.dialect,
            "model": request.model,
            "order": sealed,
            "told": None
            if request.told == NOTHING_TOLD
            else self._parts.vault.seal(request.told.to_json(), request.id),
            "state": "running",
            "created_at": request.created_at.timestamp(),
            "started_at": now,
            "steps": request.steps,
            "lease_until": now + LEASE_SECONDS,
            "attempt": 1,
        }

    def _release(self, job_id: str) -> None:
        with self._parts.engine.begin() as connection:
            connection.execute(
                update(jobs)
                .where(jobs.c.id == job_id, jobs.c.state == "running")
                .values(state="accepted", lease_until=None, attempt=jobs.c.attempt - 1)
            )

    # -- leases and recovery ------------------------------------------------------------------------------------

    async def _keep(self, take_over: bool) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            try:
                await asyncio.to_thread(self._renew)
                if take_over:
                    await self._recover()
                    await asyncio.to_thread(self._suspensions.close_ended, self._parts.ledger)
            except Exception as failure:  # noqa: BLE001  a database away for a moment must not end the keeping
                log.warning("leases could not be kept: %s", type(failure).__name__)

    def _renew(self) -> None:
        mine = tuple((job_id, running) for job_id, running in self._running.items() if running.task)
        if not mine:
            return
        until = self._clock() + LEASE_SECONDS
        with self._parts.engine.begin() as connection:
            for job_id, running in mine:
                fence = (jobs.c.id == job_id) & (jobs.c.state == "running") & (jobs.c.attempt == running.attempt)
                renewed = update(jobs).where(fence).values(lease_until=until, steps_done=running.steps_done)
                if connection.execute(renewed).rowcount != 1:
                    running.cancel.set()  # somebody else has taken it over: what is drawn here leads nowhere
            asked = select(jobs.c.id).where(jobs.c.id.in_([i for i, _ in mine]), jobs.c.cancel_requested)
            for job_id in connection.execute(asked).scalars():
                if job_id in self._running:
                    self._running[job_id].cancel.set()

    async def _recover(self) -> None:
        while len(self._running) < self._parts.settings.queue_size:
            row = await asyncio.to_thread(self._claim_abandoned)
            if row is None:
                return
            who = Principal(row.key_id, row.tenant, frozenset(), Assurance(row.assurance))
            await self._parts.pictures.sweep(row.id)
            try:
                request = _unpack(self._parts.vault.open(row.order, row.id))
            except VaultError as failure:
                await self._parts.records.failed(self._case(_remainder(row), who, row.attempt), failure)
                continue
            if row.attempt <= MAX_ATTEMPTS:
                log.info("job %s taken over, attempt %d", row.id, row.attempt)
                self._work(who, request, attempt=row.attempt)
                if row.cancel_requested:
                    self._running[row.id].cancel.set()
            else:
                await self._parts.records.failed(self._case(request, who, row.attempt), Interrupted())

    def _case(self, request: ImageRequest, who: Principal, attempt: int) -> Case:
        policy = self._parts.rulebook.policy_for(who.tenant, request.tolerance, subject=request.id)
        return Case(request, who, policy, attempt)

    def _claim_abandoned(self) -> Row[tuple[object, ...]] | None:
        now = self._clock()
        mine = tuple(self._running)
        with self._parts.engine.begin() as connection:
            found = connection.execute(
                select(jobs)
                .where(
                    or_(jobs.c.state == "accepted", (jobs.c.state == "running") & (jobs.c.lease_until < now)),
                    jobs.c.id.not_in(mine),
                )
                .order_by(jobs.c.created_at)
                .limit(1)
                .with_for_update(skip_locked=True)
            ).one_or_none()
            if found is None:
                return None
            connection.execute(
                update(jobs)
                .where(jobs.c.id == found.id)
                .values(state="running", attempt=found.attempt + 1, lease_until=now + LEASE_SECONDS)
            )
            return connection.execute(select(jobs).where(jobs.c.id == found.id)).one()

    # -- views --------------------------------------------------------------------------------------------------

    def find(self, job_id: str, tenant: str) -> Row[tuple[object, ...]] | None:
        """The tenant's own job, or None: another tenant's job does not exist for it."""
        if not job_id.isprintable():  # PostgreSQL takes no NUL, not even to look for it
            return None
        with reading(self._parts.engine).connect() as connection:
            return connection.execute(select(jobs).where(jobs.c.id == job_id, jobs.c.tenant == tenant)).one_or_none()

    def history(self, tenant: str, limit: int, before: float | None) -> list[Row[tuple[object, ...]]]:
        """The tenant's jobs, newest first."""
        query = select(jobs).where(jobs.c.tenant == tenant)
        if before is not None:
            query = query.where(jobs.c.created_at < before)
        with reading(self._parts.engine).connect() as connection:
            return list(connection.execute(query.order_by(jobs.c.created_at.desc()).limit(limit)))


def _pack(request: ImageRequest) -> bytes:
    return orjson.dumps(asdict(request))


def _unpack(data: bytes) -> ImageRequest:
    """Raises `VaultError` also for a request that another version stored in another form."""
    try:
        values = orjson.loads(data)
        values["created_at"] = datetime.fromisoformat(values["created_at"]).astimezone(UTC)
        values["references"] = tuple(values["references"])
        palette = tuple(tuple(colour) for colour in values["finish"]["palette"])
        size = values["finish"]["size"]
        values["finish"] = Finish(**values["finish"] | {"palette": palette, "size": tuple(size) if size else None})
        values["not_drawn"] = tuple(values["not_drawn"])
        values["notes"] = tuple(Note(**note) for note in values["notes"])
        return ImageRequest(**values)
    except (KeyError, TypeError, ValueError) as failure:
        raise VaultError("a stored request is not of this version's form") from failure


def _remainder(row: Row[Any]) -> ImageRequest:
    """What is left of a request that does not open any more: enough to close it by name."""
    created_at = datetime.fromtimestamp(row.created_at, UTC)
    return ImageRequest(row.id, row.dialect, row.model, "", 0, 0, row.steps, 0.0, 0, created_at)


def _note_unrecorded(task: asyncio.Task[Outcome]) -> None:
    if not task.cancelled() and (failure := task.exception()):
        expected = isinstance(failure, UNRECORDABLE)
        log.error(
            "job %s has no log entry yet (%s)%s", task.get_name(), type(failure).__name__, "" if expected else ": bug"
        )
