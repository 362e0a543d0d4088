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
from gateway.limits import LimitReached, Limits, LimitSettings, RateLimited
from gateway.limits.budgets import budget_exhausted, budget_state
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


def admitted(counting: Limits, who: Principal, times: int) -> int:
    """How many of so many requests were let in."""

    async def count() -> int:
        let_in = 0
        for _ in range(times):
            try:
                await counting.admit(who)
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
    ours = SlidingWindows(limit, PLENTY)
    now = MIDNIGHT
    with patch.object(limits.storage.memory, "time", SimpleNamespace(time=lambda: now)):
        storage = limits.storage.memory.MemoryStorage()
        theirs = SlidingWindowCounterRateLimiter(storage)
        for wait in waits:
            now += wait * 60 / 64
            try:
                ours.take("k", "t", now)
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
    windows = SlidingWindows(limit, PLENTY)
    now = MIDNIGHT
    told: list[int] = []
    for wait in waits:
        now += wait
        try:
            windows.take("k", "t", now)
        except RateLimited as refused:
            told.append(refused.retry_after_seconds)
            now += told[-1]
            windows.take("k", "t", now)
    assert all(1 <= seconds <= 120 for seconds in told)


def test_many_threads_together_get_exactly_the_limit():
    windows = SlidingWindows(PLENTY, 1000)
    let_in: list[str] = []

    def hammer(key: str) -> None:
        for _ in range(400):
            try:
                windows.take(key, "t", MIDNIGHT)
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
    windows = SlidingWindows(5, 5)
    for number in range(1000):
        windows.take(f"k{number}", f"t{number}", MIDNIGHT)
    windows.take("new", "new", MIDNIGHT + 121)
    assert len(windows._keys) == len(windows._tenants) == 1


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
    ],
)
def test_there_is_no_unlimited_setting(field, values):
    with pytest.raises(ValueError, match=field):
        LimitSettings(*values)
