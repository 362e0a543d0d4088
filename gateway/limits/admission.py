"""Who may go on: one request against the rates of its key and its tenant, or one poll against that of its key."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.auth.identity import Principal
from gateway.limits.headers import limit_headers
from gateway.limits.quotas import (
    FALLBACK_SHARE,
    KEY_LIMIT,
    POLL_LIMIT,
    TENANT_LIMIT,
    Counted,
    LimitSettings,
    Rate,
    RateState,
    SharedCountGone,
)
from gateway.limits.windows import SlidingWindows

if TYPE_CHECKING:
    from gateway.limits.shared import SharedCounts

log = logging.getLogger("fluxgate.limits")


class Limits:
    """Counts in memory, or in Redis if the settings name one; then all calls come from one event loop.

    While Redis does not answer, this process grants a quarter of every limit by its own count (`degraded`) and asks
    again every `retry_seconds`. `clock`: Unix seconds.
    """

    def __init__(
        self, settings: LimitSettings, clock: Callable[[], float] = time.time, *, retry_seconds: float = 1.0
    ) -> None:
        self._clock = clock
        self._retry_seconds = retry_seconds
        self._settings = settings
        self._shared = None if settings.redis_url is None else _shared_counts(settings.redis_url, clock)
        self._windows = SlidingWindows(degraded=self._shared is not None)
        self._recovery: asyncio.Task[None] | None = None
        self.outages = 0

    @property
    def degraded(self) -> bool:
        """True while Redis is gone and the small local count is in charge."""
        return self._shared is not None and not self._shared.available

    async def admit(self, who: Principal, rate: Rate = Rate.REQUESTS) -> RateState:
        """Counts one request for the key and for its tenant, or one poll for the key. Raises `RateLimited`; a refused
        one does not count."""
        if self._shared is not None and self._shared.available:
            try:
                return await self._shared.take(who.tenant, self._counted(who, rate))
            except SharedCountGone:
                self._watch_for_return(self._shared)
        share = 1 if self._shared is None else FALLBACK_SHARE
        return self._windows.take(self._counted(who, rate, share), self._clock())

    def _counted(self, who: Principal, rate: Rate, share: int = 1) -> tuple[Counted, ...]:
        settings = self._settings
        if rate is Rate.POLLS:
            return (Counted(POLL_LIMIT, who.key_id, max(1, settings.polls_per_minute // share)),)
        return (
            Counted(KEY_LIMIT, who.key_id, max(1, settings.key_requests_per_minute // share)),
            Counted(TENANT_LIMIT, who.tenant, max(1, settings.tenant_requests_per_minute // share)),
        )

    async def answers(self, seconds: float) -> bool:
        """Whether Redis answers in time; True if nothing is counted there."""
        if self._shared is None:
            return True
        try:
            await asyncio.wait_for(self._shared.ping(), seconds)
        except (SharedCountGone, TimeoutError):
            return False
        return True

    def headers(self, *states: RateState) -> dict[str, str]:
        """Response headers: see `gateway/limits/headers.py`."""
        return limit_headers(*states)

    async def aclose(self) -> None:
        """Stops asking for Redis and closes the connections."""
        if self._recovery is not None:
            self._recovery.cancel()
            await asyncio.wait([self._recovery])
        if self._shared is not None:
            await self._shared.aclose()

    def _watch_for_return(self, shared: "SharedCounts") -> None:
        if self._recovery is None or self._recovery.done():
            self.outages += 1
            log.warning("Redis is gone: this process grants 1/%d of every limit by its own count", FALLBACK_SHARE)
            self._recovery = asyncio.create_task(self._recover(shared))

    async def _recover(self, shared: "SharedCounts") -> None:
        while True:
            await asyncio.sleep(self._retry_seconds)
            try:
                await shared.ping()
            except SharedCountGone:
                continue
            shared.available = True
            log.warning("Redis is back: limits are counted there again")
            return


def _shared_counts(url: str, clock: Callable[[], float]) -> "SharedCounts":
    try:
        from gateway.limits.shared import SharedCounts
    except ModuleNotFoundError as failure:
        raise ValueError("redis_url is set, but the client is missing: pip install 'fluxgate[redis]'") from failure
    return SharedCounts(url, clock)
