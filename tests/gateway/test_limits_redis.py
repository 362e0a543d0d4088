"""Limits in Redis: one count for several gateways, leases that lose nothing, and what happens when Redis goes.

The faults are made in a TCP proxy between the gateway and a real Redis; the server itself is left alone.
"""

import asyncio
import contextlib
import logging
import os
import socket
import time
import uuid
from collections.abc import AsyncIterator

import pytest

from gateway.auth.identity import Assurance, Principal
from gateway.limits import Limits, LimitSettings, Rate, RateLimited

HOST, PORT = os.environ.get("REDIS_HOST", "127.0.0.1"), int(os.environ.get("REDIS_PORT", "6379"))
PLENTY = 10**6
MINUTE_START = 29_000_000 * 60.0


def redis_answers() -> bool:
    try:
        with socket.create_connection((HOST, PORT), 0.5) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False


pytestmark = pytest.mark.skipif(not redis_answers(), reason=f"no Redis answers at {HOST}:{PORT}")


class Clock:
    """Time that stands still until told."""

    def __init__(self, seconds: float = MINUTE_START) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds


class Proxy:
    """A wire to Redis that can be cut, or go silent without being cut. Counts the scripts it carries."""

    def __init__(self) -> None:
        self.scripts = 0
        self.speaking = asyncio.Event()
        self.speaking.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def join(self) -> None:
        """Opens the wire, on the same port as before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Closes every connection and takes no new one."""
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.close()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(HOST, PORT)
        self._writers |= {writer, far_writer}
        await asyncio.gather(self._carry(reader, far_writer), self._carry(far_reader, writer))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                self.scripts += data.count(b"EVALSHA")
                await self.speaking.wait()
                writer.write(data)
                await writer.drain()
        writer.close()
        self._writers.discard(writer)


@contextlib.asynccontextmanager
async def proxied() -> AsyncIterator[Proxy]:
    proxy = Proxy()
    await proxy.join()
    try:
        yield proxy
    finally:
        proxy.speaking.set()
        await proxy.cut()


@contextlib.asynccontextmanager
async def limits_over(
    port: int, clock: Clock | None = None, *, key: int = PLENTY, tenant: int = PLENTY, budget: float = 1e6
) -> AsyncIterator[Limits]:
    settings = LimitSettings(key, tenant, budget, 30, f"redis://{HOST if port == PORT else '127.0.0.1'}:{port}/0")
    counting = Limits(settings, clock or time.time, retry_seconds=0.05)
    try:
        yield counting
    finally:
        await counting.aclose()


@pytest.fixture
def who() -> Principal:
    return Principal(f"k{uuid.uuid4().hex}", f"t{uuid.uuid4().hex}", frozenset(), Assurance.UNVERIFIED)


async def admitted(counting: Limits, who: Principal, times: int, rate: Rate = Rate.REQUESTS) -> int:
    let_in = 0
    for _ in range(times):
        with contextlib.suppress(RateLimited):
            await counting.admit(who, rate)
            let_in += 1
    return let_in


async def until(condition) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)


def test_two_gateways_share_one_limit_and_never_exceed_it(who):
    async def run() -> tuple[int, int]:
        clock = Clock()
        async with limits_over(PORT, clock, key=320) as one, limits_over(PORT, clock, key=320) as two:
            counts = await asyncio.gather(*(admitted(gateway, who, 100) for gateway in (one, two) * 4))
            return sum(counts), await admitted(one, who, 10) + await admitted(two, who, 10)

    together, afterwards = asyncio.run(run())
    assert (together, afterwards) == (320, 0)


def test_polls_have_a_rate_of_their_own_over_gateways(who):  # case R9
    settings = LimitSettings(4, PLENTY, 1e6, 30, f"redis://{HOST}:{PORT}/0", polls_per_minute=32)

    async def run() -> tuple[int, int, int]:
        one, two = (Limits(settings, Clock()) for _ in range(2))
        try:
            polls = sum([await admitted(gateway, who, 30, Rate.POLLS) for gateway in (one, two)])
            requests = sum([await admitted(gateway, who, 30) for gateway in (one, two)])
            return polls, requests, await admitted(one, who, 5, Rate.POLLS)
        finally:
            await asyncio.gather(one.aclose(), two.aclose())

    assert asyncio.run(run()) == (32, 4, 0)


def test_a_tenants_keys_share_its_limit_over_gateways(who):
    others = [Principal(f"{who.key_id}{number}", who.tenant, who.scopes, who.assurance) for number in range(5)]

    async def run() -> int:
        clock = Clock()
        async with limits_over(PORT, clock, tenant=200) as one, limits_over(PORT, clock, tenant=200) as two:
            return sum(await asyncio.gather(*(admitted(gateway, key, 60) for gateway in (one, two) for key in others)))

    assert asyncio.run(run()) == 200


def test_a_slow_caller_gets_the_whole_limit_although_every_lease_runs_out(who):
    async def run() -> tuple[int, int]:
        clock = Clock()
        async with limits_over(PORT, clock, key=64) as counting:
            let_in = 0
            for _ in range(16):  # bursts make leases grow, pauses let them run out
                let_in += await admitted(counting, who, 4)
                clock.seconds += 3
            return let_in, await admitted(counting, who, 5)

    assert asyncio.run(run()) == (64, 0)


def test_the_window_slides_over_the_minute_in_redis_too(who):
    async def run() -> list[int]:
        clock = Clock()
        async with limits_over(PORT, clock, key=10) as counting:
            first = await admitted(counting, who, 20)
            clock.seconds += 90  # half of the first minute still counts
            second = await admitted(counting, who, 20)
            clock.seconds += 120
            return [first, second, await admitted(counting, who, 20)]

    assert asyncio.run(run()) == [10, 5, 10]


def test_a_thousand_requests_cost_redis_a_handful_of_calls(who):
    async def run() -> int:
        async with proxied() as proxy, limits_over(proxy.port) as counting:
            assert await admitted(counting, who, 1000) == 1000
            return proxy.scripts

    assert asyncio.run(run()) < 40


def test_a_flood_of_refused_requests_does_not_reach_redis(who):
    async def run() -> int:
        clock = Clock()
        async with proxied() as proxy, limits_over(proxy.port, clock, key=1) as counting:
            assert await admitted(counting, who, 2000) == 1
            return proxy.scripts

    assert asyncio.run(run()) < 10


def test_a_refusal_names_its_limit_and_an_honest_wait(who):
    async def run() -> None:
        clock = Clock(MINUTE_START + 20)
        async with limits_over(PORT, clock, key=2) as counting:
            assert await admitted(counting, who, 2) == 2
            with pytest.raises(RateLimited) as refused:
                await counting.admit(who)
            assert refused.value.limit_name == "key"
            assert counting.headers(refused.value.state)["RateLimit"].startswith('"key";r=0;t=41,')
            assert refused.value.retry_after_seconds is not None
            clock.seconds += refused.value.retry_after_seconds
            await counting.admit(who)

    asyncio.run(run())


def test_when_redis_goes_a_quarter_is_granted_and_said_so_and_all_of_it_when_it_is_back(who, caplog):
    async def run() -> None:
        clock = Clock()
        async with proxied() as proxy, limits_over(proxy.port, clock, key=40) as counting:
            assert not counting.degraded
            assert counting.headers(await counting.admit(who)).get("X-Fluxgate-Limits") is None
            await proxy.cut()
            clock.seconds += 60
            assert await admitted(counting, who, 100) == 10
            assert counting.degraded
            assert counting.outages == 1
            with pytest.raises(RateLimited) as refused:
                await counting.admit(who)
            assert refused.value.state.degraded
            assert counting.headers(refused.value.state)["X-Fluxgate-Limits"] == "degraded"
            await proxy.join()
            await until(lambda: not counting.degraded)
            clock.seconds += 120
            assert await admitted(counting, who, 100) == 40

    asyncio.run(run())
    said = [record.message for record in caplog.records if record.name == "fluxgate.limits"]
    assert len(said) == 2
    assert "gone" in said[0]
    assert "back" in said[1]


def test_a_silent_redis_blocks_neither_the_loop_nor_a_line_of_callers(who):
    async def run() -> None:
        async with proxied() as proxy, limits_over(proxy.port) as counting:
            await counting.admit(who)
            proxy.speaking.clear()
            await asyncio.sleep(1.1)  # the lease runs out
            pauses: list[float] = []

            async def watch() -> None:
                while True:
                    began = time.monotonic()
                    await asyncio.sleep(0.005)
                    pauses.append(time.monotonic() - began)

            watcher = asyncio.create_task(watch())
            began = time.monotonic()
            await asyncio.gather(*(counting.admit(who) for _ in range(50)))
            seconds = time.monotonic() - began
            watcher.cancel()
            assert counting.degraded
            assert seconds < 0.6
            assert max(pauses) < 0.2
            proxy.speaking.set()
            await until(lambda: not counting.degraded)

    asyncio.run(run())


def test_a_gateway_that_starts_without_redis_is_degraded_and_recovers(who):
    async def run() -> None:
        proxy = Proxy()
        await proxy.join()
        await proxy.cut()
        async with limits_over(proxy.port, key=40) as counting:
            assert await admitted(counting, who, 100) == 10
            assert counting.degraded
            await proxy.join()
            await until(lambda: not counting.degraded)
            assert await admitted(counting, who, 100) == 40
            await proxy.cut()

    asyncio.run(run())


def test_a_redis_that_answers_nonsense_is_treated_as_gone(who):
    async def run() -> None:
        async def refuse(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"-LOADING Redis is loading the dataset in memory\r\n" * 50)
            await writer.drain()

        server = await asyncio.start_server(refuse, "127.0.0.1", 0)
        async with limits_over(server.sockets[0].getsockname()[1], key=40) as counting:
            assert await admitted(counting, who, 100) == 10
            assert counting.degraded
        server.close()

    asyncio.run(run())


def test_the_password_of_redis_is_never_logged(who, caplog):
    caplog.set_level(logging.DEBUG)

    async def run() -> None:
        settings = LimitSettings(40, 40, 100, 30, "redis://:hunter2@127.0.0.1:1/0")
        counting = Limits(settings)
        assert await admitted(counting, who, 100) == 10
        await counting.aclose()

    asyncio.run(run())
    assert "hunter2" not in caplog.text


def test_a_url_that_is_none_is_refused_at_start():
    with pytest.raises(ValueError, match="scheme"):
        Limits(LimitSettings(40, 40, 100, 30, "localhost:6379"))
