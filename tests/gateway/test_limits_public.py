"""The limit on public routes: per address, without middleware, and still there when Redis is not."""

import asyncio
import logging
import socket
import time

import httpx
import pytest
from fastapi import FastAPI
from slowapi.errors import RateLimitExceeded
from starlette.requests import Request
from starlette.responses import JSONResponse

from gateway.limits import PUBLIC_RETRY_AFTER_SECONDS, LimitSettings, caller_address, public_limiter, public_rate


def app_with(settings: LimitSettings) -> FastAPI:
    limiter = public_limiter(settings)
    app = FastAPI()
    app.state.limiter = limiter

    @app.exception_handler(RateLimitExceeded)
    async def refuse(_request: Request, _failure: RateLimitExceeded) -> JSONResponse:
        return JSONResponse({}, 429, {"Retry-After": str(PUBLIC_RETRY_AFTER_SECONDS)})

    @app.post("/v1/verify")
    @limiter.limit(public_rate(settings))
    def verify(request: Request) -> dict[str, str]:
        return {}

    return app


def statuses(app: FastAPI, times: int, address: str = "192.0.2.1") -> list[int]:
    async def call() -> list[int]:
        transport = httpx.ASGITransport(app, client=(address, 1234))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return [(await client.post("/v1/verify")).status_code for _ in range(times)]

    return asyncio.run(call())


def settings_with(rate: int, redis_url: str | None = None) -> LimitSettings:
    return LimitSettings(1, 1, 1, rate, redis_url)


def test_an_address_is_held_to_its_rate_and_another_is_not():
    app = app_with(settings_with(3))
    assert app.user_middleware == []
    assert statuses(app, 5) == [200, 200, 200, 429, 429]
    assert statuses(app, 1, "192.0.2.2") == [200]


@pytest.mark.parametrize(
    ("host", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::ffff", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("testclient", "testclient"),
    ],
)
def test_ipv6_callers_are_counted_by_network(host, counted):
    assert caller_address(Request({"type": "http", "client": (host, 1), "headers": []})) == counted


def test_a_caller_without_an_address_is_counted_too():
    assert caller_address(Request({"type": "http", "client": None, "headers": []})) == "local"


def test_the_limit_cannot_be_switched_off_by_slowapis_own_environment(monkeypatch):
    monkeypatch.setenv("RATELIMIT_ENABLED", "false")
    assert statuses(app_with(settings_with(1)), 2) == [200, 429]


def test_no_address_reaches_the_log(caplog):
    caplog.set_level(logging.DEBUG)
    assert statuses(app_with(settings_with(1)), 2, "192.0.2.77") == [200, 429]
    assert "192.0.2.77" not in caplog.text


def test_without_redis_a_quarter_is_counted_in_memory():
    assert statuses(app_with(settings_with(8, "redis://127.0.0.1:1/0")), 4) == [200, 200, 429, 429]


def test_a_silent_redis_does_not_block_the_event_loop():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        app = app_with(settings_with(8, f"redis://127.0.0.1:{silent.getsockname()[1]}/0"))

        async def longest_pause() -> float:
            transport = httpx.ASGITransport(app, client=("192.0.2.1", 1))
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                call = asyncio.create_task(client.post("/v1/verify"))
                longest = 0.0
                while not call.done():
                    began = time.monotonic()
                    await asyncio.sleep(0.005)
                    longest = max(longest, time.monotonic() - began)
                assert call.result().status_code == 200
                return longest

        assert asyncio.run(longest_pause()) < 0.15
