"""Runs calls in somebody's pool so that one hung part can hold only a few of its threads, and says so from then on.

Each owner (a classifier) has a lane of `CALLS_AT_ONCE` places. A call that finds the lane full waits in the lane, not
in the pool. A call whose caller has given up keeps its place until it really returns; once every place is held by such
overdue calls, new calls are refused as busy at once.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future
from typing import Generic, TypeVar

from moderation.errors import ClassifierFailed, ModerationError

Answer = TypeVar("Answer")

CALLS_AT_ONCE = 4
"""Places per owner. A pool of 4 threads per classifier cannot be exhausted by hung ones."""


class LaneBusy(ModerationError):
    """Every place of this owner is held by a call that has outlived its deadline."""


class _Lane:
    __slots__ = ("overdue", "running", "waiting")

    def __init__(self) -> None:
        self.running = 0
        self.overdue = 0
        self.waiting: dict[Call[object], None] = {}  # a dict: first in, first out, and removable in one step


_lock = threading.Lock()
_lanes: dict[int, _Lane] = {}  # by id(owner); an entry lives only while a call of its holds the owner


class Call(Generic[Answer]):
    """One question under way. `answer` is asked once, by the thread that started the call."""

    __slots__ = ("_overdue", "_owner", "_pool", "_question", "_result")

    def __init__(self, owner: object, question: Callable[[], Answer], pool: Executor) -> None:
        self._owner = owner
        self._question = question
        self._pool = pool
        self._result: Future[Answer] = Future()
        self._overdue = False

    def answer(self, deadline: float) -> Answer:
        """The answer, or whatever the question raised. `deadline`: `time.monotonic()` seconds.

        Raises `TimeoutError` at the deadline; the call then counts as overdue until it returns.
        """
        try:
            return self._result.result(timeout=max(0.0, deadline - time.monotonic()))
        except CancelledError:
            raise RuntimeError("the pool was shut down") from None
        except TimeoutError:
            if self._result.done():  # the question itself raised TimeoutError, or it just made it
                return self._result.result()
            self._give_up()
            raise

    def _give_up(self) -> None:
        with _lock:
            lane = _lanes.get(id(self._owner))
            if lane is None:
                return
            if self in lane.waiting:
                del lane.waiting[self]  # type: ignore[arg-type]
            elif not self._result.done():
                self._overdue = True
                lane.overdue += 1
        self._result.cancel()  # a call still queued in the pool is skipped when its turn comes

    def _launch(self) -> None:
        try:
            self._pool.submit(self._run).add_done_callback(self._leave)
        except RuntimeError as error:  # the pool is shut down
            self._result.set_exception(error)
            self._leave(None)

    def _run(self) -> None:
        if not self._result.set_running_or_notify_cancel():
            return
        try:
            answer = self._question()
        except Exception as error:  # noqa: BLE001  handed on to the caller
            self._result.set_exception(error)
        except BaseException as error:  # noqa: BLE001  a part that calls sys.exit() has not answered; the caller lives
            self._result.set_exception(ClassifierFailed(type(error).__name__))
        else:
            self._result.set_result(answer)

    def _leave(self, ran: Future[None] | None) -> None:
        if ran is not None and ran.cancelled():
            self._result.cancel()
        following: Call[object] | None = None
        with _lock:
            lane = _lanes[id(self._owner)]
            lane.overdue -= self._overdue
            if lane.waiting:
                following = next(iter(lane.waiting))
                del lane.waiting[following]
            else:
                lane.running -= 1
                if not lane.running:
                    del _lanes[id(self._owner)]
        if following is not None:
            following._launch()


def ask(owner: object, question: Callable[[], Answer], pool: Executor) -> Call[Answer]:
    """Starts `question` in `pool` (threads), or queues it behind this owner's other calls.

    Raises `LaneBusy` if every place of `owner` is held by an overdue call.
    """
    call = Call(owner, question, pool)
    with _lock:
        lane = _lanes.setdefault(id(owner), _Lane())
        if lane.overdue >= CALLS_AT_ONCE:
            raise LaneBusy
        if lane.running >= CALLS_AT_ONCE:
            lane.waiting[call] = None  # type: ignore[index]
            return call
        lane.running += 1
    call._launch()
    return call
