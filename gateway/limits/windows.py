"""Counting in memory: requests in a sliding minute. Thread-safe, microseconds."""

from dataclasses import dataclass
from threading import Lock

from gateway.limits.quotas import (
    KEY_LIMIT,
    TENANT_LIMIT,
    WINDOW_SECONDS,
    Quota,
    RateLimited,
    RateState,
)


@dataclass(slots=True)
class _Bucket:
    segment: float = -1.0
    previous: int = 0
    current: int = 0


class SlidingWindows:
    """Requests of keys and tenants in the last minute: the sliding window counter of the `limits` library.

    The count of the minute before weighs in by the part of it that the last 60 seconds still cover. A request counts
    for both or for neither; a refused one does not count.
    """

    def __init__(self, key_limit: int, tenant_limit: int, *, degraded: bool = False) -> None:
        self._key_limit = key_limit
        self._tenant_limit = tenant_limit
        self._degraded = degraded
        self._lock = Lock()
        self._keys: dict[str, _Bucket] = {}
        self._tenants: dict[str, _Bucket] = {}
        self._segment = -1.0

    def take(self, key_id: str, tenant: str, now: float) -> RateState:
        """Counts one request. `now`: Unix seconds. Raises `RateLimited`."""
        segment = now // WINDOW_SECONDS
        into = now - segment * WINDOW_SECONDS
        weight = 1 - into / WINDOW_SECONDS
        with self._lock:
            if segment > self._segment:
                self._forget_before(segment - 1)
                self._segment = segment
            key = _bucket(self._keys, key_id, segment)
            both = _bucket(self._tenants, tenant, segment)
            key_left = self._key_limit - int(key.previous * weight) - key.current
            tenant_left = self._tenant_limit - int(both.previous * weight) - both.current
            admitted = key_left > 0 and tenant_left > 0
            if admitted:
                key.current += 1
                both.current += 1
                key_left -= 1
                tenant_left -= 1
            quotas = (
                Quota(KEY_LIMIT, self._key_limit, WINDOW_SECONDS, key_left, key.previous, key.current, into),
                Quota(TENANT_LIMIT, self._tenant_limit, WINDOW_SECONDS, tenant_left, both.previous, both.current, into),
            )
        if not admitted:
            raise rate_limited(quotas, self._degraded)
        return RateState(quotas, self._degraded)

    def _forget_before(self, segment: float) -> None:
        for buckets in (self._keys, self._tenants):
            for name in [name for name, bucket in buckets.items() if bucket.segment < segment]:
                del buckets[name]


def rate_limited(quotas: tuple[Quota, ...], degraded: bool) -> RateLimited:
    """The refusal by the first quota that is used up; the wait is the longest of all that are, in whole seconds."""
    used_up = [quota for quota in quotas if quota.left == 0]
    seconds = max(1, *(quota.reset_seconds for quota in used_up))
    return RateLimited(seconds, used_up[0].name, RateState(quotas, degraded, seconds))


def _bucket(buckets: dict[str, _Bucket], name: str, segment: float) -> _Bucket:
    bucket = buckets.get(name)
    if bucket is None:
        bucket = buckets[name] = _Bucket(segment)
    elif bucket.segment < segment:  # a clock that steps back keeps counting in the later minute
        bucket.previous = bucket.current if bucket.segment == segment - 1 else 0
        bucket.current = 0
        bucket.segment = segment
    return bucket
