"""Brings orders from the event loop to engines: one owner thread per device (`inference/lanes.py`), a bounded queue in
which parties take turns, and a way to call off."""

import asyncio
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence

from inference.engines import Engine, ModelCard, Rendering, RenderOrder, check_order
from inference.errors import UnknownModel
from inference.lanes import FIRST_GUESS_SECONDS, Lane, LaneStats, Ticket

__all__ = ["Dispatcher", "LaneStats"]

_NOBODY = ""  # who all are that do not say for whom they ask


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
        self._lanes: dict[str, Lane] = {}
        self._served: dict[str, tuple[ModelCard, Engine, Lane]] = {}
        for engine in _listed(engines):
            lane = self._lanes.setdefault(
                engine.device, Lane(engine.device, queue_size=queue_size, timeout_seconds=render_timeout_seconds)
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
        return sum(known) / len(known) if known else FIRST_GUESS_SECONDS

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
        ticket = Ticket(order, engine, loop, loop.create_future(), progress, cancel or threading.Event())
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
