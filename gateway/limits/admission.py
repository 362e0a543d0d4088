"""Who may go on: one request against the rates of its key and its tenant."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.auth.identity import Principal
from gateway.limits.headers import limit_headers
from gateway.limits.quotas import FALLBACK_SHARE, LimitSettings, RateState, SharedCountGone
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
        self._shared = None if settings.redis_url is None else _shared_counts(settings, settings.redis_url, clock)
        small = self._shared is not None
        share = FALLBACK_SHARE if small else 1
        self._windows = SlidingWindows(
            max(1, settings.key_requests_per_minute // share),
            max(1, settings.tenant_requests_per_minute // share),
            degraded=small,
        )
        self._recovery: asyncio.Task[None] | None = None
        self.outages = 0

    @property
    def degraded(self) -> bool:
        """True while Redis is gone and the small local count is in charge."""
        return self._shared is not None and not self._shared.available

    async def admit(self, who: Principal) -> RateState:
        """Counts one request of the key and of its tenant. Raises `RateLimited`; a refused request does not count."""
        if self._shared is not None and self._shared.available:
            try:
                return await self._shared.take(who.key_id, who.tenant)
            except SharedCountGone:
                self._watch_for_return(self._shared)
        return self._windows.take(who.key_id, who.tenant, self._clock())

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


def _shared_counts(settings: LimitSettings, url: str, clock: Callable[[], float]) -> "SharedCounts":
    try:
        from gateway.limits.shared import SharedCounts
    except ModuleNotFoundError as failure:
        raise ValueError("redis_url is set, but the client is missing: pip install 'fluxgate[redis]'") from failure
    return SharedCounts(url, settings.key_requests_per_minute, settings.tenant_requests_per_minute, clock)
