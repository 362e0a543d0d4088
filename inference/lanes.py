"""One device: its owner thread, its places, and whose turn it is.

Parties that share the device take turns (`inference/fair_queue.py`). An order holds its place from acceptance until the
owner thread is through with it, also when its waiter has gone: a client who hangs up must not free a place while the
device still works. Orders called off while they wait are dropped when anyone's turn comes.
"""

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from inference.engines import Engine, Rendering, RenderOrder
from inference.errors import (
    PART_FAILURES,
    DispatcherClosed,
    EngineBroken,
    InferenceError,
    QueueFull,
    RenderCancelled,
    RenderTimeout,
)
from inference.fair_queue import FairQueue

FIRST_GUESS_SECONDS = 5.0
"""How long an order takes, before anything was rendered."""
_NEWEST_WEIGHT = 0.2  # of the newest render in the running mean


@dataclass(frozen=True, slots=True)
class LaneStats:
    """One device's queue, for metrics and health. Counts are since start; times in seconds.

    `running_seconds`: how long the present render has been going on, 0 if idle; far above the time limit means an
    engine that does not come back. `timed_out` and `cancelled` are not counted in `failed`.
    """

    device: str
    models: tuple[str, ...]
    ready: bool
    waiting: int
    running: int
    running_seconds: float
    rendered: int
    failed: int
    cancelled: int
    timed_out: int
    turned_away: int
    mean_seconds: float


@dataclass(slots=True, eq=False)
class Ticket:
    """One accepted order on its way. `answer`, and `expire`'s timer, belong to the event loop."""

    order: RenderOrder
    engine: Engine
    loop: asyncio.AbstractEventLoop
    answer: "asyncio.Future[Rendering]"
    progress: Callable[[int, int], None] | None
    cancel: threading.Event
    abandoned: threading.Event = field(default_factory=threading.Event)
    expired: bool = False

    def tell(self, call: Callable[..., object], *arguments: object) -> None:
        """Runs `call` on the event loop; not at all if that has ended, with nobody left to tell."""
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(call, *arguments)

    def report(self, done: int, total: int) -> None:
        if self.progress is not None:
            self.tell(self.progress, done, total)

    def start_clock(self, seconds: float) -> None:
        timer = self.loop.call_later(seconds, self.expire, seconds)
        self.answer.add_done_callback(lambda _: timer.cancel())

    def expire(self, seconds: float) -> None:
        if not self.answer.done():
            self.expired = True
            self.abandoned.set()
            self.answer.set_exception(RenderTimeout(seconds))

    def settle(self, outcome: Rendering | InferenceError) -> None:
        if self.answer.done():  # expired, or its waiter has gone
            return
        if isinstance(outcome, InferenceError):
            self.answer.set_exception(outcome)
        else:
            self.answer.set_result(outcome)


class Lane:
    """One device: its engines, its owner thread, its places."""

    def __init__(self, device: str, *, queue_size: int, timeout_seconds: float) -> None:
        self.engines: list[Engine] = []
        self._device = device
        self._places = queue_size + 1  # one is being rendered
        self._timeout_seconds = timeout_seconds
        self._owner = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"engine-{device}")
        self._lock = threading.Lock()
        self._waiting: FairQueue[Ticket] = FairQueue()
        self._closing = False
        self._stop = threading.Event()
        self._loaded: set[int] = set()
        self._taken = 0
        self._running_since: float | None = None
        self._mean_seconds: float | None = None
        self._rendered = self._failed = self._cancelled = self._timed_out = self._turned_away = 0

    def stats(self) -> LaneStats:
        with self._lock:
            since = self._running_since
            return LaneStats(
                device=self._device,
                models=tuple(card.id for engine in self.engines for card in engine.models),
                ready=len(self._loaded) == len(self.engines),
                waiting=self._taken - (since is not None),
                running=int(since is not None),
                running_seconds=0.0 if since is None else time.monotonic() - since,
                rendered=self._rendered,
                failed=self._failed,
                cancelled=self._cancelled,
                timed_out=self._timed_out,
                turned_away=self._turned_away,
                mean_seconds=self._mean_seconds or 0.0,
            )

    async def load(self) -> None:
        for engine in self.engines:
            await asyncio.get_running_loop().run_in_executor(self._owner, self._load, engine)

    def _load(self, engine: Engine) -> None:
        engine.load()
        with self._lock:
            self._loaded.add(id(engine))

    def accept(self, ticket: Ticket, share: Sequence[str]) -> None:
        with self._lock:
            if self._closing:
                raise DispatcherClosed
            if self._taken >= self._places:
                self._turned_away += 1
                seconds = self._taken * (self._mean_seconds or FIRST_GUESS_SECONDS)
                raise QueueFull(max(1, math.ceil(seconds)))
            self._taken += 1
            order = ticket.order
            self._waiting.put(ticket, share, order.drawing.width * order.drawing.height * order.drawing.steps)
            self._owner.submit(self._serve_next)

    def _serve_next(self) -> None:
        """On the owner thread: whose turn it is, and everything that was called off meanwhile. Called once an order."""
        with self._lock:
            off = self._waiting.drop(_called_off)
            ticket = self._waiting.take() if len(self._waiting) else None
        for each in off:
            self._count(each, RenderCancelled())
            each.tell(each.settle, RenderCancelled())
        if ticket is not None:
            self._serve(ticket)

    def _serve(self, ticket: Ticket) -> None:
        """One order from its turn to its outcome."""
        outcome: Rendering | InferenceError
        try:
            self._load(ticket.engine)
            outcome = self._rendering(ticket)
        except InferenceError as error:
            outcome = error
        except PART_FAILURES as error:  # a stranger's part may raise anything, and its waiter must hear of it
            outcome = EngineBroken(f"engine {ticket.engine.name} failed ({type(error).__name__})")
            outcome.__cause__ = error
        self._count(ticket, outcome)
        ticket.tell(ticket.settle, outcome)

    def _rendering(self, ticket: Ticket) -> Rendering:
        def cancelled() -> bool:
            return _called_off(ticket) or self._stop.is_set()

        if cancelled():
            raise RenderCancelled
        with self._lock:
            self._running_since = time.monotonic()
        ticket.tell(ticket.start_clock, self._timeout_seconds)
        rendering = ticket.engine.render(ticket.order, progress=ticket.report, cancelled=cancelled)
        return _checked(rendering, ticket)

    def _count(self, ticket: Ticket, outcome: Rendering | InferenceError) -> None:
        with self._lock:
            since, self._running_since = self._running_since, None
            self._taken -= 1
            if not self._taken:
                self._waiting.rest()
            if ticket.expired:
                self._timed_out += 1
            elif isinstance(outcome, RenderCancelled):
                self._cancelled += 1
            elif isinstance(outcome, InferenceError):
                self._failed += 1
            else:
                self._rendered += 1
                seconds = time.monotonic() - since if since is not None else 0.0
                mean = seconds if self._mean_seconds is None else self._mean_seconds
                self._mean_seconds = mean + _NEWEST_WEIGHT * (seconds - mean)

    async def aclose(self, drain_seconds: float) -> None:
        with self._lock:
            if self._closing:
                return
            self._closing = True
        loop = asyncio.get_running_loop()
        # The owner thread takes things in order: once it gets to this, everything accepted before is done.
        drained = loop.run_in_executor(self._owner, int)
        await asyncio.wait((drained,), timeout=drain_seconds)
        self._stop.set()
        for engine in self.engines:
            await loop.run_in_executor(self._owner, engine.close)
        self._owner.shutdown(wait=False)


def _called_off(ticket: Ticket) -> bool:
    return ticket.abandoned.is_set() or ticket.cancel.is_set()


def _checked(rendering: Rendering, ticket: Ticket) -> Rendering:
    """The rendering, if it is what was ordered: pixels of the right shape, from here on read-only."""
    pixels, drawing = rendering.pixels, ticket.order.drawing
    if pixels.shape != (drawing.height, drawing.width, 3) or pixels.dtype != np.uint8 or not pixels.flags.c_contiguous:
        raise EngineBroken(f"engine {ticket.engine.name} answered with pixels of another kind than ordered")
    pixels.flags.writeable = False
    return rendering
