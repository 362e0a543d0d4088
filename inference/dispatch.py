"""Brings orders from the event loop to engines: one owner thread per device, a bounded queue, and a way to call off.

Parties that share a device take turns on it (`inference/fair_queue.py`). An order holds its place from acceptance until
the owner thread is through with it, also when its waiter has gone: a client who hangs up must not free a place while
the device still works. Orders called off while they wait are dropped when anyone's turn comes.
"""

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from inference.engines import Engine, ModelCard, Rendering, RenderOrder, check_order
from inference.errors import (
    PART_FAILURES,
    DispatcherClosed,
    EngineBroken,
    InferenceError,
    QueueFull,
    RenderCancelled,
    RenderTimeout,
    UnknownModel,
)
from inference.fair_queue import FairQueue

_FIRST_GUESS_SECONDS = 5.0  # for Retry-After before anything was rendered
_NOBODY = ""  # who all are that do not say for whom they ask
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


class Dispatcher:
    """The gateway's only way to an engine. Lives on one event loop; built anywhere."""

    def __init__(
        self,
        engines: Engine | Iterable[Engine] | Mapping[str, Engine],
        *,
        queue_size: int,
        render_timeout_seconds: float,
    ) -> None:
        """`engines`: one, several, or by name. `queue_size`: orders that may wait per device, beside the one being
        rendered. `render_timeout_seconds`: counted from the start of the render, not from acceptance.

        Raises `ValueError` for no engine and for two engines that claim one model id.
        """
        if queue_size < 0 or render_timeout_seconds <= 0:
            raise ValueError("queue_size must be at least 0 and render_timeout_seconds above 0")
        self._lanes: dict[str, _Lane] = {}
        self._served: dict[str, tuple[ModelCard, Engine, _Lane]] = {}
        for engine in _listed(engines):
            lane = self._lanes.setdefault(
                engine.device, _Lane(engine.device, queue_size=queue_size, timeout_seconds=render_timeout_seconds)
            )
            lane.engines.append(engine)
            for card in engine.models:
                if card.id in self._served:
                    raise ValueError(f"two engines serve the model {card.id}; give one of them another model_id")
                self._served[card.id] = (card, engine, lane)
        if not self._served:
            raise ValueError("a dispatcher needs at least one engine with a model")

    @property
    def models(self) -> tuple[ModelCard, ...]:
        """Cards of all models, in the engines' order."""
        return tuple(card for card, _, _ in self._served.values())

    @property
    def stats(self) -> tuple[LaneStats, ...]:
        """One per device."""
        return tuple(lane.stats() for lane in self._lanes.values())

    @property
    def depth(self) -> int:
        """Orders accepted and not finished, over all devices."""
        return sum(stats.waiting + stats.running for stats in self.stats)

    @property
    def mean_seconds(self) -> float:
        """How long one order takes on a device, from recent ones."""
        known = [stats.mean_seconds for stats in self.stats if stats.rendered]
        return sum(known) / len(known) if known else _FIRST_GUESS_SECONDS

    @property
    def ready(self) -> bool:
        """True once every engine has its weights on its device."""
        return all(stats.ready for stats in self.stats)

    def card(self, model: str) -> ModelCard:
        """The card of `model`. Raises `UnknownModel`."""
        if model not in self._served:
            raise UnknownModel(tuple(self._served))
        return self._served[model][0]

    def prompt_tokens(self, model: str, prompt: str) -> int | None:
        """Length of `prompt` for `model`; None if its engine does not count. Raises `UnknownModel`, `WeightsError`."""
        if model not in self._served:
            raise UnknownModel(tuple(self._served))
        count = getattr(self._served[model][1], "prompt_tokens", None)
        return None if count is None else int(count(prompt))

    async def start(self) -> None:
        """Loads every engine on its owner thread. Raises what loading raised; without this, first orders load."""
        await asyncio.gather(*(lane.load() for lane in self._lanes.values()))

    async def render(
        self,
        order: RenderOrder,
        *,
        progress: Callable[[int, int], None] | None = None,
        cancel: threading.Event | None = None,
        share: Sequence[str] = (_NOBODY, _NOBODY),
    ) -> Rendering:
        """Waits for a turn and for the picture, as drawn: whoever has it looked at finishes it (`finishing.finish`).

        `progress(steps done, steps in all)` is called on the event loop. `cancel`, once set, ends the order at its
        turn or at the next step; so does cancelling the awaiting task. `share`: who it is for, as two names: parties of
        the first kind share the device equally by megapixel-steps, those of the second what their party gets. Raises
        `UnknownModel`, `OrderRefused` and `QueueFull` at once; `RenderCancelled`, `RenderTimeout`, `EngineOutOfMemory`,
        `EngineBroken` and, for prompts longer than the model reads, `OrderRefused` later.
        """
        check_order(order, self.card(order.model))
        _, engine, lane = self._served[order.model]
        loop = asyncio.get_running_loop()
        ticket = _Ticket(order, engine, loop, loop.create_future(), progress, cancel or threading.Event())
        lane.accept(ticket, share)
        try:
            return await ticket.answer
        finally:
            ticket.abandoned.set()

    async def aclose(self, drain_seconds: float = 0.0) -> None:
        """Takes no more orders, lets accepted ones finish for `drain_seconds`, cancels the rest, closes the engines.

        Waits for the running render's next step, as no step can be broken off.
        """
        await asyncio.gather(*(lane.aclose(drain_seconds) for lane in self._lanes.values()))


def _listed(engines: Engine | Iterable[Engine] | Mapping[str, Engine]) -> tuple[Engine, ...]:
    if isinstance(engines, Mapping):
        return tuple(engines.values())
    if isinstance(engines, Iterable):
        return tuple(engines)
    return (engines,)


@dataclass(slots=True, eq=False)
class _Ticket:
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


class _Lane:
    """One device: its engines, its owner thread, its places."""

    def __init__(self, device: str, *, queue_size: int, timeout_seconds: float) -> None:
        self.engines: list[Engine] = []
        self._device = device
        self._places = queue_size + 1  # one is being rendered
        self._timeout_seconds = timeout_seconds
        self._owner = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"engine-{device}")
        self._lock = threading.Lock()
        self._waiting: FairQueue[_Ticket] = FairQueue()
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

    def accept(self, ticket: _Ticket, share: Sequence[str]) -> None:
        with self._lock:
            if self._closing:
                raise DispatcherClosed
            if self._taken >= self._places:
                self._turned_away += 1
                seconds = self._taken * (self._mean_seconds or _FIRST_GUESS_SECONDS)
                raise QueueFull(max(1, math.ceil(seconds)))
            self._taken += 1
            order = ticket.order
            self._waiting.put(ticket, share, order.width * order.height * order.steps)
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

    def _serve(self, ticket: _Ticket) -> None:
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

    def _rendering(self, ticket: _Ticket) -> Rendering:
        def cancelled() -> bool:
            return _called_off(ticket) or self._stop.is_set()

        if cancelled():
            raise RenderCancelled
        with self._lock:
            self._running_since = time.monotonic()
        ticket.tell(ticket.start_clock, self._timeout_seconds)
        rendering = ticket.engine.render(ticket.order, progress=ticket.report, cancelled=cancelled)
        return _checked(rendering, ticket)

    def _count(self, ticket: _Ticket, outcome: Rendering | InferenceError) -> None:
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


def _called_off(ticket: _Ticket) -> bool:
    return ticket.abandoned.is_set() or ticket.cancel.is_set()


def _checked(rendering: Rendering, ticket: _Ticket) -> Rendering:
    """The rendering, if it is what was ordered: pixels of the right shape, from here on read-only."""
    pixels, order = rendering.pixels, ticket.order
    if pixels.shape != (order.height, order.width, 3) or pixels.dtype != np.uint8 or not pixels.flags.c_contiguous:
        raise EngineBroken(f"engine {ticket.engine.name} answered with pixels of another kind than ordered")
    pixels.flags.writeable = False
    return rendering
