"""Limits in memory: requests in a sliding minute, and what callers are told, also about their budgets."""

import asyncio
import re
import threading
from types import SimpleNamespace
from unittest.mock import patch

import limits.storage.memory
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from limits import RateLimitItemPerMinute
from limits.strategies import SlidingWindowCounterRateLimiter

from gateway.auth.identity import Assurance, Principal
from gateway.limits import LimitReached, Limits, LimitSettings, Rate, RateLimited
from gateway.limits.budgets import budget_exhausted, budget_state
from gateway.limits.quotas import Counted
from gateway.limits.windows import SlidingWindows

MIDNIGHT = 20_000 * 86_400.0
PLENTY = 10**9


class Clock:
    """Time that stands still until told."""

    def __init__(self, seconds: float = MIDNIGHT) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds


def limits_of(clock: Clock, *, key: int = PLENTY, tenant: int = PLENTY) -> Limits:
    return Limits(LimitSettings(key, tenant, 1e9, 30), clock)


def caller(key_id: str = "k", tenant: str = "t") -> Principal:
    return Principal(key_id, tenant, frozenset(), Assurance.UNVERIFIED)


def both(key: str = "k", tenant: str = "t", *, key_limit: int = PLENTY, tenant_limit: int = PLENTY):
    """Whom a request counts for."""
    return Counted("key", key, key_limit), Counted("tenant", tenant, tenant_limit)


def admitted(counting: Limits, who: Principal, times: int, rate: Rate = Rate.REQUESTS) -> int:
    """How many of so many requests were let in."""

    async def count() -> int:
        let_in = 0
        for _ in range(times):
            try:
                await counting.admit(who, rate)
            except RateLimited:
                continue
            let_in += 1
        return let_in

    return asyncio.run(count())


def refusal(counting: Limits, who: Principal) -> LimitReached:
    with pytest.raises(LimitReached) as refused:
        asyncio.run(counting.admit(who))
    return refused.value


def test_a_key_is_held_to_its_rate_and_another_key_is_not():
    counting = limits_of(Clock(), key=3)
    assert admitted(counting, caller("a"), 5) == 3
    assert admitted(counting, caller("b"), 5) == 3
    assert refusal(counting, caller("a")).limit_name == "key"


def test_polls_have_a_rate_of_their_own():  # case R9
    counting = Limits(LimitSettings(2, 3, 1e9, 30, polls_per_minute=5), Clock())
    assert admitted(counting, caller("a"), 9, Rate.POLLS) == 5
    assert [admitted(counting, caller(key), 9) for key in "ab"] == [2, 1], "polls count for no request"
    assert admitted(counting, caller("b"), 9, Rate.POLLS) == 5, "and requests for no poll, nor another key's polls"
    with pytest.raises(RateLimited) as refused:
        asyncio.run(counting.admit(caller("a"), Rate.POLLS))
    assert refused.value.limit_name == "polls"
    assert counting.headers(refused.value.state)["RateLimit-Policy"] == '"polls";q=5;w=60'


def test_a_tenant_is_held_to_its_rate_over_all_its_keys():
    counting = limits_of(Clock(), key=3, tenant=4)
    assert [admitted(counting, caller(key), 5) for key in "abc"] == [3, 1, 0]
    assert refusal(counting, caller("c")).limit_name == "tenant"
    assert admitted(counting, caller("a", "other"), 1) == 0
    assert admitted(counting, caller("d", "other"), 5) == 3


def test_a_refused_request_counts_for_nobody():
    counting = limits_of(Clock(), key=1, tenant=2)
    assert admitted(counting, caller("a"), 100) == 1
    assert admitted(counting, caller("b"), 1) == 1


@given(limit=st.integers(1, 40), waits=st.lists(st.integers(0, 96), min_size=1, max_size=120))
@settings(max_examples=150, deadline=None)
def test_every_decision_is_that_of_the_limits_librarys_sliding_window(limit, waits):
    ours = SlidingWindows()
    now = MIDNIGHT
    with patch.object(limits.storage.memory, "time", SimpleNamespace(time=lambda: now)):
        storage = limits.storage.memory.MemoryStorage()
        theirs = SlidingWindowCounterRateLimiter(storage)
        for wait in waits:
            now += wait * 60 / 64
            try:
                ours.take(both(key_limit=limit), now)
                let_in = True
            except RateLimited:
                let_in = False
            assert let_in is theirs.hit(RateLimitItemPerMinute(limit), "k")
        storage.timer.cancel()


@given(
    limit=st.integers(1, 40),
    waits=st.lists(st.floats(0, 90) | st.integers(0, 128).map(lambda part: part * 60 / 64), min_size=1, max_size=80),
)
@settings(max_examples=300, deadline=None)
def test_who_waits_as_long_as_told_is_let_in(limit, waits):
    windows = SlidingWindows()
    now = MIDNIGHT
    told: list[int] = []
    for wait in waits:
        now += wait
        try:
            windows.take(both(key_limit=limit), now)
        except RateLimited as refused:
            told.append(refused.retry_after_seconds)
            now += told[-1]
            windows.take(both(key_limit=limit), now)
    assert all(1 <= seconds <= 120 for seconds in told)


def test_many_threads_together_get_exactly_the_limit():
    windows = SlidingWindows()
    let_in: list[str] = []

    def hammer(key: str) -> None:
        for _ in range(400):
            try:
                windows.take(both(key, tenant_limit=1000), MIDNIGHT)
            except RateLimited:
                continue
            let_in.append(key)

    threads = [threading.Thread(target=hammer, args=(f"k{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(let_in) == 1000


def test_callers_who_went_away_are_forgotten():
    windows = SlidingWindows()
    for number in range(1000):
        windows.take(both(f"k{number}", f"t{number}"), MIDNIGHT)
    windows.take(both("new", "new"), MIDNIGHT + 121)
    assert set(windows._buckets) == {("key", "new"), ("tenant", "new")}


def test_a_clock_that_steps_back_grants_nothing_twice():
    clock = Clock(MIDNIGHT + 61)
    counting = limits_of(clock, key=3)
    assert admitted(counting, caller(), 5) == 3
    clock.seconds -= 30
    assert admitted(counting, caller(), 5) == 0


def test_a_request_above_a_whole_days_budget_is_not_told_to_wait():
    refused = budget_exhausted(10_000, 0, 10_001, MIDNIGHT)
    assert refused.retry_after_seconds is None
    assert "Retry-After" not in limits_of(Clock()).headers(refused.state)


def test_whoever_has_spent_the_day_is_told_to_wait_for_midnight_utc():
    assert budget_exhausted(10_000, 10_000, 1, MIDNIGHT + 86_399).retry_after_seconds == 1


ITEM = r'"[a-z-]+";%s=\d+;%s=\d+'


def test_headers_say_what_is_left_in_the_form_of_the_ietf_draft():
    counting = limits_of(Clock(MIDNIGHT + 15), key=60, tenant=300)
    states = [asyncio.run(counting.admit(caller())), budget_state(100_000, 4_200, MIDNIGHT + 15)]
    headers = counting.headers(*states)
    assert headers == {
        "RateLimit-Policy": '"key";q=60;w=60, "tenant";q=300;w=60, "image-budget";q=100;w=86400',
        "RateLimit": '"key";r=59;t=46, "tenant";r=299;t=46, "image-budget";r=95;t=86385',
    }
    assert all(re.fullmatch(ITEM % ("q", "w"), item) for item in headers["RateLimit-Policy"].split(", "))
    assert all(re.fullmatch(ITEM % ("r", "t"), item) for item in headers["RateLimit"].split(", "))


def test_the_headers_of_a_refusal_point_to_one_moment():
    counting = limits_of(Clock(MIDNIGHT + 20), key=2)
    assert admitted(counting, caller(), 2) == 2
    headers = counting.headers(refusal(counting, caller()).state)
    # Until the minute ends, and a moment: then the two requests weigh less than two.
    assert headers["Retry-After"] == "41"
    assert headers["RateLimit"].startswith('"key";r=0;t=41,')


def test_memory_is_never_degraded():
    counting = limits_of(Clock())
    assert counting.degraded is False
    assert "X-Fluxgate-Limits" not in counting.headers(asyncio.run(counting.admit(caller())))


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("key_requests_per_minute", (0, 1, 1, 1)),
        ("tenant_requests_per_minute", (1, 0, 1, 1)),
        ("image_budget_per_day", (1, 1, 0, 1)),
        ("image_budget_per_day", (1, 1, float("inf"), 1)),
        ("image_budget_per_day", (1, 1, float("nan"), 1)),
        ("public_requests_per_minute", (1, 1, 1, 0)),
        ("polls_per_minute", (1, 1, 1, 1, None, 0)),
    ],
)
def test_there_is_no_unlimited_setting(field, values):
    with pytest.raises(ValueError, match=field):
        LimitSettings(*values)
