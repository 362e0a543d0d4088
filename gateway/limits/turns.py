"""How many jobs of one tenant may be in work at once here, and how many it may have waiting beside others'."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from inference.fair_queue import FairQueue

Turn = asyncio.Future[bool]
"""True once it has come, False if the job was called off before."""


class Turns:
    """Lets `at_once` jobs of each tenant into the pipeline; its others wait, and its keys take turns.

    Screening and sealing have few threads, so nobody's line may stand before them. Tenants do not wait for each other
    here: on the engine they take turns. Lives on one event loop.
    """

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._inside: Counter[str] = Counter()
        self._waiting: dict[str, FairQueue[Turn]] = {}

    @asynccontextmanager
    async def taken(self, tenant: str, key_id: str, cost: int, turn: Turn) -> AsyncIterator[None]:
        """Waits for `turn`, or until somebody sets it to False; the block then runs without a place."""
        if self._inside[tenant] < self._at_once and not turn.done():
            self._inside[tenant] += 1
            turn.set_result(True)
        elif not turn.done():
            self._waiting.setdefault(tenant, FairQueue()).put(turn, (key_id,), cost)
        try:
            await turn
            yield
        finally:
            if turn.done() and not turn.cancelled() and turn.result():
                self._pass_on(tenant)

    def _pass_on(self, tenant: str) -> None:
        queue = self._waiting.get(tenant)
        if queue is not None:
            queue.drop(lambda each: each.done())
            if len(queue):
                queue.take().set_result(True)
                return
            del self._waiting[tenant]
        self._inside[tenant] -= 1
        if not self._inside[tenant]:
            del self._inside[tenant]


def has_room(places: int, held: Mapping[str, int], tenant: str, wanted: int = 1) -> bool:
    """Whether `tenant` may take `wanted` more places, of `places` in all. `held`: tenant → places it has.

    A tenant may have fewer than are free (dynamic thresholds: Choudhury and Hahne 1998): one alone gets half of them,
    the next half of what is left; as places become free the shares even out.
    """
    free = places - sum(held.values()) - (wanted - 1)
    return held.get(tenant, 0) + wanted - 1 < free


def most_at_once(places: int) -> int:
    """How many places one tenant gets when nobody else has any."""
    return (places + 1) // 2
