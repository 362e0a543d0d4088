"""Counting in memory: requests in a sliding minute. Thread-safe, microseconds."""

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

from gateway.limits.quotas import WINDOW_SECONDS, Counted, Quota, RateLimited, RateState


@dataclass(slots=True)
class _Bucket:
    segment: float = -1.0
    previous: int = 0
    current: int = 0


class SlidingWindows:
    """Requests in the last minute, of keys and of tenants: the sliding window counter of the `limits` library.

    The count of the minute before weighs in by the part of it that the last 60 seconds still cover. A request counts
    for all it is counted for or for none; a refused one does not count.
    """

    def __init__(self, *, degraded: bool = False) -> None:
        self._degraded = degraded
        self._lock = Lock()
        self._buckets: dict[tuple[str, str], _Bucket] = {}
        self._segment = -1.0

    def take(self, counted: Sequence[Counted], now: float) -> RateState:
        """Counts one request. `now`: Unix seconds. Raises `RateLimited`."""
        segment = now // WINDOW_SECONDS
        into = now - segment * WINDOW_SECONDS
        weight = 1 - into / WINDOW_SECONDS
        with self._lock:
            if segment > self._segment:
                self._forget_before(segment - 1)
                self._segment = segment
            buckets = [_bucket(self._buckets, (each.name, each.id), segment) for each in counted]
            left = [
                each.limit - int(bucket.previous * weight) - bucket.current
                for each, bucket in zip(counted, buckets, strict=True)
            ]
            admitted = min(left) > 0
            if admitted:
                left = [each - 1 for each in left]
                for bucket in buckets:
                    bucket.current += 1
            quotas = tuple(
                Quota(each.name, each.limit, WINDOW_SECONDS, rest, bucket.previous, bucket.current, into)
                for each, bucket, rest in zip(counted, buckets, left, strict=True)
            )
        if not admitted:
            raise rate_limited(quotas, self._degraded)
        return RateState(quotas, self._degraded)

    def _forget_before(self, segment: float) -> None:
        for whose in [whose for whose, bucket in self._buckets.items() if bucket.segment < segment]:
            del self._buckets[whose]


def rate_limited(quotas: tuple[Quota, ...], degraded: bool) -> RateLimited:
    """The refusal by the first quota that is used up; the wait is the longest of all that are, in whole seconds."""
    used_up = [quota for quota in quotas if quota.left == 0]
    seconds = max(1, *(quota.reset_seconds for quota in used_up))
    return RateLimited(seconds, used_up[0].name, RateState(quotas, degraded, seconds))


def _bucket(buckets: dict[tuple[str, str], _Bucket], whose: tuple[str, str], segment: float) -> _Bucket:
    bucket = buckets.get(whose)
    if bucket is None:
        bucket = buckets[whose] = _Bucket(segment)
    elif bucket.segment < segment:  # a clock that steps back keeps counting in the later minute
        bucket.previous = bucket.current if bucket.segment == segment - 1 else 0
        bucket.current = 0
        bucket.segment = segment
    return bucket
