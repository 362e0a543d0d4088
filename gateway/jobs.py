"""Accepted jobs: a row is the record, a lease says who works on it, the attempt number fences whoever lost it.

accept    one transaction: the rows, requests encrypted at rest, our lease, what they hold of the day's budget
work      the pipeline, in a task of this process, when its turn has come; leases are renewed meanwhile
complete  one transaction, the log's own: entry, checkpoint, final state, charge, picture
          (`gateway/stations/records.py`)
recover   a row whose lease ran out is taken over once, by whoever sees it first; the second time it is failed
          by name. `kill -9` therefore loses no job and doubles none: a job has one log entry, ever.
"""

import asyncio
import hmac
import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from threading import Event

import orjson

from gateway.auth.identity import Assurance, Principal
from gateway.errors import IdempotencyKeyReused, Interrupted, QueueIsFull, TenantQueueIsFull
from gateway.exchange import ImageRequest, Outcome
from gateway.house import House
from gateway.limits.budgets import budget_exhausted
from gateway.limits.turns import Turn, Turns, has_room
from gateway.notes import NOTHING_TOLD, Note
from gateway.pipeline import produce
from gateway.problems import retryable_codes
from gateway.retries.suspensions import Suspensions
from gateway.stations.progress import Progress
from gateway.stations.records import UNRECORDABLE
from gateway.store.batches import Batches
from gateway.store.budgets import BudgetSpent, day_of
from gateway.store.jobs import Acceptance, Accepted, IdempotencyKey, Job, JobState, JobTable, KeyReused
from gateway.store.vault import VaultError
from inference.drawing import KNOBS, Drawing, Finish

log = logging.getLogger("fluxgate.jobs")

LEASE_SECONDS = 15.0
RENEW_SECONDS = 3.0
MAX_ATTEMPTS = 2
KEY_SECONDS = 86_400.0
"""How long an idempotency key is remembered."""


@dataclass(slots=True)
class _Running:
    tenant: str
    attempt: int = 1
    task: asyncio.Task[Outcome] | None = None
    turn: Turn | None = None
    cancel: Event = field(default_factory=Event)
    steps_done: int = 0

    def call_off(self) -> None:
        """Ends it at its next step; at once if its turn has not come."""
        self.cancel.set()
        if self.turn is not None and not self.turn.done():
            self.turn.set_result(False)


class Jobs:
    """The jobs of this process. `clock`: Unix seconds."""

    def __init__(self, house: House, clock: Callable[[], float] = time.time) -> None:
        self._house = house
        self._clock = clock
        self.table = JobTable(house.database, LEASE_SECONDS, retryable_codes())
        self._accepting: Batches[Acceptance, Accepted] = Batches(self.table.accept, lambda each: each.tenant)
        self._running: dict[str, _Running] = {}
        # One drawn, one read before and one sealed after it, per device, and one to spare.
        self._turns = Turns(3 * len(house.dispatcher.stats) + 1)
        self._suspensions = Suspensions(house.database, clock)
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

    async def accept(
        self, who: Principal, requests: Sequence[ImageRequest], key: IdempotencyKey | None = None
    ) -> Accepted:
        """Makes the requests jobs, all or none, and starts on them; or finds those that `key` led to before.

        Raises `QueueIsFull`, `TenantQueueIsFull`, `BudgetExhausted` or `IdempotencyKeyReused`; nothing is written then.
        A caller who leaves meanwhile stops nothing.
        """
        self._take_places(who.tenant, requests)
        return await asyncio.shield(asyncio.create_task(self._accept(who, requests, key)))

    async def _accept(self, who: Principal, requests: Sequence[ImageRequest], key: IdempotencyKey | None) -> Accepted:
        accepted: Accepted | None = None
        day = day_of(requests[0].created_at.timestamp())
        cost, limit = sum(request.cost for request in requests), self._house.limit_settings.budget_milli
        try:
            rows = tuple(self._row(who, request) for request in requests)
            accepted = await self._accepting.add(Acceptance(who.tenant, day, cost, limit, rows, key))
        except BudgetSpent as refusal:
            raise budget_exhausted(limit, refusal.used, cost, self._clock()) from refusal
        except KeyReused as refusal:
            raise IdempotencyKeyReused from refusal
        finally:
            if accepted is None or accepted.again:
                for request in requests:
                    del self._running[request.id]
        if not accepted.again:
            for request in requests:
                self._work(who, request, attempt=1)
        return accepted

    async def known(self, key: IdempotencyKey) -> Accepted | None:
        """What the key led to, also where the queue is full: that is what whoever asks again waits for."""
        try:
            return await self._house.database_calls(self.table.led_to, key)
        except KeyReused as refusal:
            raise IdempotencyKeyReused from refusal

    def _take_places(self, tenant: str, requests: Sequence[ImageRequest]) -> None:
        places, held = self._house.settings.queue_size, self._held()
        if self._closing or held.total() + len(requests) > places:
            raise QueueIsFull
        if not has_room(places, held, tenant, len(requests)):
            seconds = math.ceil(self._house.dispatcher.mean_seconds * len(held))
            raise TenantQueueIsFull(max(1, seconds))
        for request in requests:
            self._running[request.id] = _Running(tenant)

    def _held(self) -> Counter[str]:
        return Counter(running.tenant for running in self._running.values())

    def works_on(self, job_id: str) -> bool:
        """Whether it is this process that works on the job."""
        running = self._running.get(job_id)
        return running is not None and running.task is not None

    async def finished(self, job_id: str) -> Outcome:
        """Waits for a job of this process. A waiter who leaves does not stop the work."""
        running = self._running.get(job_id)
        if running is None or running.task is None:
            raise KeyError(job_id)
        return await asyncio.shield(running.task)

    async def cancel(self, job_id: str, tenant: str) -> None:
        """Asks the worker to stop, in whichever process it is; the job then ends as failed: `cancelled`."""
        running = self._running.get(job_id)
        if running is not None and running.tenant == tenant:
            running.call_off()
        await self._house.database_calls(self.table.ask_to_cancel, job_id, tenant)

    def steps_done_here(self, job_id: str) -> int:
        """Denoising steps done by this process."""
        running = self._running.get(job_id)
        return running.steps_done if running else 0

    def steps_done(self, row: Job) -> int:
        """Denoising steps done, fresher than the row where the job runs here."""
        running = self._running.get(row.id)
        return running.steps_done if running else row.steps_done

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
                await asyncio.to_thread(self.table.release, job_id)

    # -- work ---------------------------------------------------------------------------------------------------

    def _work(self, who: Principal, request: ImageRequest, attempt: int) -> None:
        running = self._running.setdefault(request.id, _Running(who.tenant))
        running.attempt = attempt
        running.turn = asyncio.get_running_loop().create_future()
        turn = running.turn

        def on_step(done: int, _total: int) -> None:
            running.steps_done = done

        async def run() -> Outcome:
            try:
                async with self._turns.taken(who.tenant, who.key_id, request.cost, turn):
                    return await produce(
                        self._house, who, request, attempt=attempt, on_step=on_step, cancel=running.cancel
                    )
            finally:
                del self._running[request.id]

        running.task = asyncio.create_task(run(), name=request.id)
        running.task.add_done_callback(_note_unrecorded)

    def _row(self, who: Principal, request: ImageRequest) -> dict[str, object]:
        return {
            "id": request.id,
            "tenant": who.tenant,
            "key_id": who.key_id,
            "assurance": int(who.assurance),
            "dialect": request.dialect,
            "model": request.model,
            "request": self._house.vault.encrypt(pack(request), request.id),
            "told": None
            if request.told == NOTHING_TOLD
            else self._house.vault.encrypt(request.told.to_json(), request.id),
            "state": JobState.RUNNING,
            "created_at": request.created_at.timestamp(),
            "started_at": self._clock(),
            "steps": request.drawing.steps,
            "cost": request.cost,
            "attempt": 1,
        }

    # -- leases and recovery ------------------------------------------------------------------------------------

    async def _keep(self, take_over: bool) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            try:
                await self._renew()
                if take_over:
                    await self._recover()
                    await asyncio.to_thread(self._suspensions.close_ended, self._house.ledger)
                    await asyncio.to_thread(self.table.forget_keys)
            except Exception as failure:  # noqa: BLE001  a database away for a moment must not end the keeping
                log.warning("leases could not be kept: %s", type(failure).__name__)

    async def _renew(self) -> None:
        mine = {job_id: (each.attempt, each.steps_done) for job_id, each in self._running.items() if each.task}
        if not mine:
            return
        lost, asked = await asyncio.to_thread(self.table.renew, mine)
        for job_id in lost | asked:  # of the first somebody else has taken over: what is drawn here leads nowhere
            if job_id in self._running:
                self._running[job_id].call_off()

    async def _recover(self) -> None:
        places = self._house.settings.queue_size
        while (held := self._held()).total() < places:
            full = frozenset(tenant for tenant in held if not has_room(places, held, tenant))
            row = await asyncio.to_thread(self.table.claim_abandoned, held, tuple(self._running), full)
            if row is None:
                return
            who = Principal(row.key_id, row.tenant, frozenset(), Assurance(row.assurance))
            await self._house.pictures.sweep(row.id)
            try:
                request = unpack(self._house.vault.decrypt(row.request or b"", row.id))
            except VaultError as failure:
                await self._house.records.failed(self._progress(_remainder(row), who, row.attempt), failure)
                continue
            if row.attempt <= MAX_ATTEMPTS:
                log.info("job %s taken over, attempt %d", row.id, row.attempt)
                self._work(who, request, attempt=row.attempt)
                if row.cancel_requested:
                    self._running[row.id].call_off()
            else:
                await self._house.records.failed(self._progress(request, who, row.attempt), Interrupted())

    def _progress(self, request: ImageRequest, who: Principal, attempt: int) -> Progress:
        policy = self._house.rulebook.policy_for(who.tenant, request.tolerance, subject=request.id)
        return Progress(request, who, policy, attempt)


def idempotency_key(secret: bytes, who: Principal, key: str, body: bytes, now: float) -> IdempotencyKey:
    """The caller's key for what is asked for. `secret`: 32 bytes; without it nobody finds a prompt by its hash."""
    name = "\x00".join(("key", who.tenant, who.key_id, key)).encode()
    digest = hmac.new(secret, b"body\x00" + body, "sha256").hexdigest()
    return IdempotencyKey(hmac.new(secret, name, "sha256").hexdigest(), digest, now + KEY_SECONDS)


def pack(request: ImageRequest) -> bytes:
    """A request as the job table stores it, before it is encrypted."""
    return orjson.dumps(asdict(request))


def unpack(data: bytes) -> ImageRequest:
    """The request again. Raises `VaultError` for what no version stored."""
    try:
        values = orjson.loads(data)
        values["created_at"] = datetime.fromisoformat(values["created_at"]).astimezone(UTC)
        values["references"] = tuple(values["references"])
        # Version 0.1 stored the fields of a drawing among those of the request.
        drawing = values.pop("drawing", None) or {name: values.pop(name) for name in KNOBS & values.keys()}
        finish, size = drawing["finish"], drawing["finish"]["size"]
        palette = tuple(tuple(colour) for colour in finish["palette"])
        finish = Finish(**finish | {"palette": palette, "size": tuple(size) if size else None})
        values["drawing"] = Drawing(**drawing | {"finish": finish})
        values["not_drawn"] = tuple(values["not_drawn"])
        values["notes"] = tuple(Note(**note) for note in values["notes"])
        return ImageRequest(**values)
    except (KeyError, TypeError, ValueError) as failure:
        raise VaultError("a stored request is not of this version's form") from failure


def _remainder(row: Job) -> ImageRequest:
    """What is left of a request that does not open any more: enough to close it by name."""
    created_at = datetime.fromtimestamp(row.created_at, UTC)
    return ImageRequest(row.id, row.dialect, row.model, Drawing("", 0, 0, 0, row.steps, 0.0), created_at)


def _note_unrecorded(task: asyncio.Task[Outcome]) -> None:
    if not task.cancelled() and (failure := task.exception()):
        expected = isinstance(failure, UNRECORDABLE)
        log.error(
            "job %s has no log entry yet (%s)%s", task.get_name(), type(failure).__name__, "" if expected else ": bug"
        )
