"""Who may go on: one request against key and tenant, megapixel-steps against the tenant's day."""

import asyncio
import logging
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.auth.identity import Principal
from gateway.limits.headers import limit_headers
from gateway.limits.quotas import DAY_SECONDS, FALLBACK_SHARE, MILLI, LimitSettings, RateState, SharedCountGone
from gateway.limits.windows import DayBudgets, SlidingWindows

if TYPE_CHECKING:
    from gateway.limits.shared import SharedCounts

log = logging.getLogger("fluxgate.limits")


class Limits:
    """Counts in memory, or in Redis if the settings name one; then all calls come from one event loop.

    While Redis does not answer, this process grants a quarter of every limit by its own count (`degraded`), asks again
    every `retry_seconds`, and tells Redis afterwards what was spent meanwhile. `clock`: Unix seconds.
    """

    def __init__(
        self, settings: LimitSettings, clock: Callable[[], float] = time.time, *, retry_seconds: float = 1.0
    ) -> None:
        self._settings = settings
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
        self._budgets = DayBudgets(max(1, settings.budget_milli // share), degraded=small)
        self._seen: dict[str, tuple[int, int]] = {}  # tenant: day, and what Redis last said was spent on it
        self._owed: dict[tuple[str, int], int] = {}  # tenant and day: what Redis has not been told yet
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

    async def spend(self, who: Principal, cost: float) -> RateState:
        """Spends megapixel-steps of the tenant's day, all or nothing. Raises `BudgetExhausted`.

        `cost` is rounded up to a thousandth; raises `ValueError` unless it is a number above zero.
        """
        milli = _milli(cost)
        if self._shared is not None and self._shared.available:
            try:
                state, used = await self._shared.spend(who.tenant, milli)
            except SharedCountGone:
                self._watch_for_return(self._shared)
            else:
                self._seen[who.tenant] = (_day(self._clock()), used)
                return state
        now = self._clock()
        state = self._budgets.spend(who.tenant, milli, now, self._left_by_redis(who.tenant, now))
        self._owe(who.tenant, now, milli)
        return state

    async def refund(self, who: Principal, cost: float, spent_at: float | None = None) -> None:
        """Gives back what a request cost that failed by our fault.

        `spent_at`: Unix seconds of the spending, today if None; what was spent on an earlier day is gone with it.
        """
        milli, now = _milli(cost), self._clock()
        if spent_at is not None and _day(spent_at) < _day(now):
            return
        if self._shared is not None and self._shared.available:
            try:
                used = await self._shared.settle(who.tenant, _day(now), -milli)
            except SharedCountGone:
                self._watch_for_return(self._shared)
            else:
                self._seen[who.tenant] = (_day(now), used)
                return
        self._budgets.refund(who.tenant, milli, now)
        self._owe(who.tenant, now, -milli)

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

    def _left_by_redis(self, tenant: str, now: float) -> int | None:
        """What Redis last left of the day: an exhausted tenant stays exhausted when Redis goes."""
        day, used = self._seen.get(tenant, (-1, 0))
        return max(0, self._settings.budget_milli - used) if day == _day(now) else None

    def _owe(self, tenant: str, now: float, milli: int) -> None:
        if self._shared is not None:
            self._owed[tenant, _day(now)] = self._owed.get((tenant, _day(now)), 0) + milli

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
                while self._owed:
                    (tenant, day), milli = next(iter(self._owed.items()))
                    used = await shared.settle(tenant, day, milli)
                    self._owed[tenant, day] -= milli  # more may have been spent while we told Redis
                    if self._owed[tenant, day] == 0:
                        del self._owed[tenant, day]
                        self._seen[tenant] = (day, used)
            except SharedCountGone:
                continue
            self._budgets.clear()
            shared.available = True
            log.warning("Redis is back: limits are counted there again")
            return


def _shared_counts(settings: LimitSettings, url: str, clock: Callable[[], float]) -> "SharedCounts":
    try:
        from gateway.limits.shared import SharedCounts
    except ModuleNotFoundError as failure:
        raise ValueError("redis_url is set, but the client is missing: pip install 'fluxgate[redis]'") from failure
    return SharedCounts(
        url, settings.key_requests_per_minute, settings.tenant_requests_per_minute, settings.budget_milli, clock
    )


def _day(now: float) -> int:
    return int(now // DAY_SECONDS)


def _milli(cost: float) -> int:
    if not (cost > 0 and math.isfinite(cost)):
        raise ValueError("cost must be a number above zero")
    return math.ceil(cost * MILLI)
