"""Counting in Redis, for several gateways at once: requests by leased chunks. Never waits long.

One script call leases a handful of requests, which are then admitted from memory; what a lease did not use goes back
with the next one. Keys carry the tenant as a hash tag, so that every script stays within one slot of a cluster. The
gateways' clocks must agree to about a second.
"""

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gateway.limits.quotas import WINDOW_SECONDS, Counted, Quota, RateState, SharedCountGone
from gateway.limits.windows import rate_limited

TIMEOUT_SECONDS = 0.25
_LEASE_SECONDS = 1.0
_LEASE_SHARE = 16  # at most this part of a limit is out in one lease
_MAX_LEASE = 256
_REFUSAL_SECONDS = 0.1  # a refused caller is refused from memory this long: a flood does not reach Redis

_LEASE = """
local ttl, weight = ARGV[1], tonumber(ARGV[2])
local answer = {}
for bucket = 0, #KEYS / 2 - 1 do
  local current_key, previous_key = KEYS[2 * bucket + 1], KEYS[2 * bucket + 2]
  local at = 4 * bucket + 3
  local limit, want = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  local unused, unused_key = tonumber(ARGV[at + 2]), ARGV[at + 3] == 'current' and current_key or previous_key
  if unused > 0 and tonumber(redis.call('GET', unused_key) or '0') >= unused then
    redis.call('DECRBY', unused_key, unused)
  end
  local previous = tonumber(redis.call('GET', previous_key) or '0')
  local current = tonumber(redis.call('GET', current_key) or '0')
  local granted = math.max(0, math.min(want, limit - current - math.floor(previous * weight)))
  if granted > 0 then
    current = redis.call('INCRBY', current_key, granted)
    redis.call('EXPIRE', current_key, ttl)
  end
  answer[#answer + 1], answer[#answer + 2], answer[#answer + 3] = granted, previous, current
end
return answer
"""


@dataclass(slots=True)
class _Lease:
    name: str
    id: str
    limit: int
    chunk: int = 1
    tokens: int = 0
    segment: int = -1
    leased_at: float = -math.inf
    refused_at: float = -math.inf
    previous: int = 0
    current: int = 0

    # Both are also false after a clock stepped back.

    def usable(self, now: float) -> bool:
        return self.tokens > 0 and 0 <= now - self.leased_at < _LEASE_SECONDS

    def refused(self, now: float) -> bool:
        return 0 <= now - self.refused_at < _REFUSAL_SECONDS


class SharedCounts:
    """One Redis, used from one event loop. `available` turns False on the first failure; its owner turns it back after
    a `ping`.

    `clock`: Unix seconds. Raises `ValueError` for a URL that is none.
    """

    def __init__(self, url: str, clock: Callable[[], float] = time.time) -> None:
        self._redis: Any = Redis.from_url(  # its type hints differ from one release to the next
            url,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._lease_script = self._redis.register_script(_LEASE)
        self._clock = clock
        self._leases: dict[tuple[str, str], _Lease] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.available = True

    async def take(self, tenant: str, counted: Sequence[Counted]) -> RateState:
        """Counts one request of the tenant's; from memory while a lease lasts. Raises `RateLimited` or
        `SharedCountGone`."""
        leases = [self._lease(each) for each in counted]
        now = self._clock()
        if all(lease.usable(now) for lease in leases):
            return _use(leases, now)
        async with self._locks[tenant]:  # one call for all that wait; other tenants are not held up
            while True:
                now = self._clock()
                lacking = [lease for lease in leases if not lease.usable(now)]
                if not lacking:
                    return _use(leases, now)
                for lease in lacking:
                    if lease.refused(now):
                        raise rate_limited(_quotas(leases, now), False)
                if not self.available:  # who waited behind a call that failed does not wait for another
                    raise SharedCountGone
                await self._renew(tenant, lacking, now)

    async def ping(self) -> None:
        """Raises `SharedCountGone` if Redis does not answer. Leases from before are dropped."""
        await self._ask(self._redis.ping)
        self._leases.clear()

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._redis.aclose()

    def _lease(self, counted: Counted) -> _Lease:
        whose = (counted.name, counted.id)
        lease = self._leases.get(whose)
        if lease is None:
            lease = self._leases[whose] = _Lease(*counted)
        return lease

    async def _renew(self, tenant: str, lacking: list[_Lease], now: float) -> None:
        segment, into = divmod(now, WINDOW_SECONDS)
        segment = int(segment)
        names: list[str] = []
        arguments: list[str | int | float] = [2 * WINDOW_SECONDS, 1 - into / WINDOW_SECONDS]
        for lease in lacking:
            stem = f"fluxgate:{{{tenant}}}:{lease.name}:{lease.id}:"
            names += [f"{stem}{segment}", f"{stem}{segment - 1}"]
            # Used up before its time: ask for more at once. Left over: ask for less.
            largest = min(_MAX_LEASE, max(1, lease.limit // _LEASE_SHARE))
            lease.chunk = min(largest, lease.chunk * 4) if lease.tokens == 0 else max(1, lease.chunk // 4)
            unused = lease.tokens if segment - lease.segment <= 1 else 0
            lease.tokens = 0
            arguments += [lease.limit, lease.chunk, unused, "current" if lease.segment == segment else "previous"]
        answer = await self._ask(lambda: self._lease_script(keys=names, args=arguments))
        for index, lease in enumerate(lacking):
            lease.tokens, lease.previous, lease.current = (int(number) for number in answer[3 * index : 3 * index + 3])
            lease.segment = segment
            lease.leased_at = now
            if lease.tokens == 0:
                lease.refused_at = self._clock()
                lease.chunk = 1

    async def _ask(self, question: Callable[[], Awaitable[Any]]) -> Any:
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return await question()
        except (RedisError, OSError, TimeoutError) as failure:
            self.available = False
            raise SharedCountGone(type(failure).__name__) from failure


def _use(leases: Sequence[_Lease], now: float) -> RateState:
    for lease in leases:
        lease.tokens -= 1
    return RateState(_quotas(leases, now), False)


def _quotas(leases: Sequence[_Lease], now: float) -> tuple[Quota, ...]:
    segment, into = divmod(now, WINDOW_SECONDS)
    return tuple(_quota(lease, int(segment), into, now) for lease in leases)


def _quota(lease: _Lease, segment: int, into: float, now: float) -> Quota:
    """As Redis counted at the last lease, less what this process has not used of it."""
    previous, current = lease.previous, lease.current
    if lease.segment < segment:
        previous, current = current, 0
    left = lease.limit - int(previous * (1 - into / WINDOW_SECONDS)) - current + lease.tokens
    # Never below zero, and zero for a refused lease, whatever a moment between two looks at the clock makes of the sum.
    left = 0 if lease.refused(now) else max(0, left)
    return Quota(lease.name, lease.limit, WINDOW_SECONDS, left, previous, current, into)
