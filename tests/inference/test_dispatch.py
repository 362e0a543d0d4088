"""The dispatcher, with engines that are parts: they draw flat colour and stop where the test says."""

import asyncio
import threading
from collections.abc import Callable

import numpy as np
import pytest

from inference.dispatch import Dispatcher
from inference.drawing import Drawing
from inference.engines import ModelCard, Rendering, RenderOrder
from inference.errors import (
    DispatcherClosed,
    EngineBroken,
    EngineOutOfMemory,
    OrderRefused,
    QueueFull,
    RenderCancelled,
    RenderTimeout,
    UnknownModel,
)
from inference.flux.engine import FluxEngine

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class PacedEngine:
    """Draws `steps` steps; before each it waits until `go` is set, then looks whether it is cancelled."""

    name = "paced"
    version = "1"

    def __init__(self, model: str = "paced/one", device: str = "cpu") -> None:
        self.device = device
        self.models = (
            ModelCard(
                model,
                "paced",
                "Apache-2.0",
                True,
                False,
                ("text",),
                2,
                50,
                (64, 64),
                64,
                256,
                65536,
                16,
                price_credits=1,
            ),
        )
        self.go = threading.Event()
        self.go.set()
        self.begun: list[int] = []
        self.threads: set[int] = set()
        self.fail_with: Exception | None = None
        self.loads = 0
        self.closed = False

    def load(self) -> None:
        self.threads.add(threading.get_ident())
        self.loads += 1

    def render(
        self, order: RenderOrder, *, progress: Callable[[int, int], None], cancelled: Callable[[], bool]
    ) -> Rendering:
        self.threads.add(threading.get_ident())
        self.begun.append(order.drawing.seed)
        for step in range(order.drawing.steps):
            while not self.go.wait(0.005):
                if cancelled():
                    raise RenderCancelled
            if self.fail_with is not None:
                raise self.fail_with
            if cancelled():
                raise RenderCancelled
            progress(step + 1, order.drawing.steps)
        pixels = np.full((order.drawing.height, order.drawing.width, 3), order.drawing.seed % 256, np.uint8)
        return Rendering(pixels, order.model, "sha256:0", False, "paced/1", "exact", 0.01)

    def close(self) -> None:
        self.threads.add(threading.get_ident())
        self.closed = True


def order(seed: int = 1, model: str = "paced/one", steps: int = 2) -> RenderOrder:
    return RenderOrder(Drawing("a red apple", seed, 64, 64, steps, 0.0), model)


def dispatcher(*engines: PacedEngine, queue_size: int = 2, seconds: float = 10.0) -> Dispatcher:
    return Dispatcher(engines, queue_size=queue_size, render_timeout_seconds=seconds)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - counters of a thread, which set no event
            await asyncio.sleep(0.002)


async def test_orders_are_rendered_in_turn_by_one_thread_that_is_not_the_loops() -> None:
    engine = PacedEngine()
    served = dispatcher(engine, queue_size=9)
    await served.start()
    renderings = await asyncio.gather(*(served.render(order(seed)) for seed in range(5)))
    assert [rendering.pixels[0, 0, 0] for rendering in renderings] == [0, 1, 2, 3, 4]
    assert engine.begun == [0, 1, 2, 3, 4]
    await served.aclose()
    assert len(engine.threads) == 1
    assert threading.get_ident() not in engine.threads
    assert engine.closed


async def test_pixels_come_back_read_only_even_from_a_careless_engine() -> None:
    served = dispatcher(PacedEngine())
    assert not (await served.render(order())).pixels.flags.writeable
    await served.aclose()


async def test_progress_is_told_on_the_event_loop() -> None:
    told: list[tuple[int, int, int]] = []
    served = dispatcher(PacedEngine())
    await served.render(order(steps=3), progress=lambda done, total: told.append((done, total, threading.get_ident())))
    assert told == [(step, 3, threading.get_ident()) for step in (1, 2, 3)]
    await served.aclose()


async def test_a_full_queue_turns_away_at_once_with_a_time_to_come_back() -> None:
    engine = PacedEngine()
    engine.go.clear()
    served = dispatcher(engine, queue_size=2)
    waiting = [asyncio.create_task(served.render(order(seed))) for seed in range(3)]
    await until(lambda: served.depth == 3)
    with pytest.raises(QueueFull) as full:
        await served.render(order(9))
    assert full.value.retry_after_seconds >= 1
    assert served.stats[0].turned_away == 1
    engine.go.set()
    await asyncio.gather(*waiting)
    assert served.depth == 0
    await served.render(order(10))
    await served.aclose()


async def test_a_waiter_who_goes_away_does_not_free_the_place_while_the_device_works() -> None:
    engine = PacedEngine()
    engine.go.clear()
    engine.render = _deaf(engine)  # type: ignore[method-assign]
    served = dispatcher(engine, queue_size=0)
    waiter = asyncio.create_task(served.render(order(1)))
    await until(lambda: engine.begun == [1])
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert served.depth == 1
    with pytest.raises(QueueFull):
        await served.render(order(2))
    engine.go.set()
    await until(lambda: served.depth == 0)
    await served.aclose()


def _deaf(engine: PacedEngine) -> Callable[..., Rendering]:
    """The engine's render in the middle of one long step: it hears of no cancellation until `go`."""
    whole = engine.render

    def render(given: RenderOrder, **calls: Callable[..., bool]) -> Rendering:
        engine.begun.append(given.drawing.seed)
        engine.go.wait()
        return whole(given, **calls)  # type: ignore[arg-type]

    return render


async def test_orders_called_off_while_waiting_are_dropped_at_their_turn() -> None:
    engine = PacedEngine()
    engine.go.clear()
    served = dispatcher(engine, queue_size=5)
    first = asyncio.create_task(served.render(order(1)))
    await until(lambda: engine.begun == [1])
    called_off = threading.Event()
    by_event = asyncio.create_task(served.render(order(2), cancel=called_off))
    by_leaving = asyncio.create_task(served.render(order(3)))
    last = asyncio.create_task(served.render(order(4)))
    await until(lambda: served.depth == 4)
    called_off.set()
    by_leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await by_leaving
    engine.go.set()
    await first
    await last
    with pytest.raises(RenderCancelled):
        await by_event
    assert engine.begun == [1, 4]
    assert served.stats[0].cancelled == 2
    await served.aclose()


async def test_a_running_render_is_cancelled_at_its_next_step() -> None:
    engine = PacedEngine()
    engine.go.clear()
    served = dispatcher(engine)
    called_off = threading.Event()
    waiter = asyncio.create_task(served.render(order(1), cancel=called_off))
    await until(lambda: engine.begun == [1])
    called_off.set()
    with pytest.raises(RenderCancelled):
        await waiter
    await served.aclose()


async def test_a_render_that_takes_too_long_is_given_up_and_stopped() -> None:
    engine = PacedEngine()
    engine.go.clear()
    served = dispatcher(engine, seconds=0.05)
    with pytest.raises(RenderTimeout):
        await served.render(order(1))
    await until(lambda: served.depth == 0)
    assert (served.stats[0].timed_out, served.stats[0].failed, served.stats[0].cancelled) == (1, 0, 0)
    engine.go.set()
    await served.render(order(2))
    await served.aclose()


async def test_the_time_limit_counts_from_the_turn_not_from_acceptance() -> None:
    engine = PacedEngine()
    engine.go.clear()
    served = dispatcher(engine, seconds=0.4)
    first, second = (asyncio.create_task(served.render(order(seed))) for seed in (1, 2))
    await asyncio.sleep(0.25)
    engine.go.set()
    await first
    engine.go.clear()
    await asyncio.sleep(0.25)
    engine.go.set()
    assert (await second).pixels[0, 0, 0] == 2
    await served.aclose()


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (EngineOutOfMemory("not enough memory"), EngineOutOfMemory),
        (OrderRefused("prompt", "shorten it"), OrderRefused),
        (ZeroDivisionError("a red apple"), EngineBroken),
    ],
)
async def test_what_an_engine_raises_reaches_the_waiter_and_the_next_order_is_served(
    raised: Exception, expected: type[Exception]
) -> None:
    engine = PacedEngine()
    served = dispatcher(engine)
    engine.fail_with = raised
    with pytest.raises(expected) as caught:
        await served.render(order(1))
    assert "apple" not in str(caught.value)
    if expected is EngineBroken:
        assert caught.value.__cause__ is raised
    engine.fail_with = None
    await served.render(order(2))
    stats = served.stats[0]
    assert (stats.failed, stats.rendered, stats.waiting, stats.running) == (1, 1, 0, 0)
    await served.aclose()


async def test_pixels_of_another_size_than_ordered_are_a_broken_engine() -> None:
    engine = PacedEngine()
    small = Rendering(np.zeros((16, 16, 3), np.uint8), "paced/one", "sha256:0", False, "paced/1", "exact", 0.0)
    engine.render = lambda order, **calls: small  # type: ignore[method-assign, assignment]
    served = dispatcher(engine)
    with pytest.raises(EngineBroken):
        await served.render(order())
    await served.aclose()


async def test_an_order_out_of_bounds_or_for_an_unknown_model_takes_no_place() -> None:
    engine = PacedEngine()
    served = dispatcher(engine)
    with pytest.raises(UnknownModel):
        await served.render(order(model="paced/two"))
    with pytest.raises(OrderRefused):
        await served.render(order(steps=51))
    assert engine.begun == []
    await served.aclose()


async def test_engines_of_one_device_share_a_thread_and_others_do_not() -> None:
    engines = PacedEngine("m/a", "cuda:0"), PacedEngine("m/b", "cuda:0"), PacedEngine("m/c", "cuda:1")
    served = dispatcher(*engines)
    assert not served.ready
    await served.start()
    assert served.ready
    assert [card.id for card in served.models] == ["m/a", "m/b", "m/c"]
    await asyncio.gather(*(served.render(order(model=engine.models[0].id)) for engine in engines))
    assert engines[0].threads == engines[1].threads != engines[2].threads
    await served.aclose()


async def test_closing_finishes_accepted_orders_if_given_the_time() -> None:
    engine = PacedEngine()
    engine.go.clear()
    served = dispatcher(engine)
    waiting = [asyncio.create_task(served.render(order(seed))) for seed in (1, 2)]
    await until(lambda: served.depth == 2)
    closing = asyncio.create_task(served.aclose(drain_seconds=5))
    await asyncio.sleep(0.02)
    with pytest.raises(DispatcherClosed):
        await served.render(order(3))
    engine.go.set()
    assert [rendering.pixels[0, 0, 0] for rendering in await asyncio.gather(*waiting)] == [1, 2]
    await closing


async def test_closing_without_time_cancels_what_runs_and_what_waits() -> None:
    engine = PacedEngine()
    engine.go.clear()
    served = dispatcher(engine)
    waiting = [asyncio.create_task(served.render(order(seed))) for seed in (1, 2)]
    await until(lambda: served.depth == 2)
    await served.aclose()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [RenderCancelled, RenderCancelled]
    assert engine.closed


async def test_the_flux_engine_renders_equal_pixels_through_the_dispatcher(
    flux: FluxEngine, order_for: Callable[..., RenderOrder]
) -> None:
    served = Dispatcher(flux, queue_size=4, render_timeout_seconds=60)
    await served.start()
    first, second = await asyncio.gather(served.render(order_for(flux)), served.render(order_for(flux)))
    assert np.array_equal(first.pixels, second.pixels)
    await served.aclose()


def test_two_engines_that_claim_one_model_do_not_start() -> None:
    with pytest.raises(ValueError, match="two engines"):
        dispatcher(PacedEngine(), PacedEngine())


def test_a_dispatcher_without_engines_does_not_start() -> None:
    with pytest.raises(ValueError, match="at least one"):
        dispatcher()
