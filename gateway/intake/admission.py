"""Decides from the headers alone whether a request comes in: its key or its address, the rate, the body's encoding and
declared length. Only after that is its body read, within the route's bounds, when the route asks for it.

A route asks for a key with the scope `generate` and reads 1 MB at most, unless it declares something else:

    @router.post("/moderations")
    @keyed(Scope.MODERATE, DATA_URLS)
    async def moderations(request: Request, body: ModerationBody) -> Response: ...
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from fastapi import Request

from gateway.addresses import Call, public_base
from gateway.auth.identity import Principal, Scope
from gateway.desk import Desk
from gateway.errors import BodyTooLarge, UnsupportedEncoding
from gateway.intake.bodies import BodyBounds, BodyMemory, BoundedRequest
from gateway.limits import LimitReached, LimitSettings, Rate, public_limiter, public_rate
from gateway.settings import Settings

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Size:
    """The largest body of a route: `files` times `max_upload_bytes`, and `beside` bytes."""

    beside: int
    files: float = 0


JSON: Final = Size(1_000_000)
SMALL_JSON: Final = Size(64 * 1024)
"""For public routes, which take a binding or a receipt."""
DATA_URLS: Final = Size(1_000_000, 4 / 3)
"""JSON with files in base64."""
FILES: Final = Size(64 * 1024, 1)
"""A form or a bare file; all files of one request together are at most `max_upload_bytes`."""

_MEMORY: Final = Size(4_000_000, 8)
_PUBLIC_MEMORY: Final = Size(4_000_000, 1)
"""Bodies of all requests at once, with a key and without: one of the largest without, or several usual images."""


@dataclass(frozen=True, slots=True)
class Asks:
    """What a route asks for. `scope`: of the key; None on a public route. `rated`: whether the public rate counts, per
    address. `rate`: which one counts, per key, on a route for keys."""

    scope: Scope | None = Scope.GENERATE
    size: Size = JSON
    rated: bool = False
    rate: Rate = Rate.REQUESTS


def keyed(scope: Scope, size: Size = JSON, *, rate: Rate = Rate.REQUESTS) -> Callable[[Endpoint], Endpoint]:
    """Declares a route for keys with this scope, whose requests count for this rate."""
    return _declared(Asks(scope, size, rate=rate))


def public(size: Size = SMALL_JSON, *, rated: bool = False) -> Callable[[Endpoint], Endpoint]:
    """Declares a route for everybody."""
    return _declared(Asks(None, size, rated))


def _declared(asks: Asks) -> Callable[[Endpoint], Endpoint]:
    def declare(endpoint: Endpoint) -> Endpoint:
        endpoint.__dict__["asks"] = asks
        return endpoint

    return declare


def asked_by(endpoint: Callable[..., Any]) -> Asks:
    """What the route with this endpoint asks for."""
    declared: Asks = getattr(endpoint, "asks", Asks())
    return declared


def caller(request: Request) -> Principal:
    """Who calls: admitted with the route's scope before a byte of its body was read."""
    who: Principal = request.state.caller
    return who


def called(request: Request) -> Call:
    """The call as the house may know it."""
    intake: Intake = request.app.state.intake
    return intake.call(request)


class Intake:
    """The one way in; every route of every dialect uses it (`gateway/dialects/dialect.py`)."""

    def __init__(self, desk: Desk, settings: Settings, limits: LimitSettings) -> None:
        self._desk = desk
        self._settings = settings
        self._file_bytes = settings.max_upload_bytes
        self._seconds = settings.intake.body_timeout_seconds
        self._memory = BodyMemory(self._bytes(_MEMORY))
        self._public_memory = BodyMemory(self._bytes(_PUBLIC_MEMORY))
        self._limiter = public_limiter(limits)
        self._rate = public_rate(limits)
        self._in_redis = limits.redis_url is not None
        self._rates: dict[str, Callable[[Request], None]] = {}

    @asynccontextmanager
    async def admitted(self, request: Request, asks: Asks, route: str) -> AsyncIterator[BoundedRequest]:
        """The request with a body that can be read within bounds.

        Raises what `Desk.identify` raises, slowapi's `RateLimitExceeded`, `UnsupportedEncoding`, `BodyTooLarge`; not a
        byte of the body has been asked for then. `route`: under which name a public rate counts.
        """
        # 1. Who asks, and how often.
        if asks.scope is not None:
            try:
                admission = await self._desk.identify(request.headers, asks.scope, asks.rate)
            except LimitReached as refusal:
                request.state.headers = refusal.headers
                raise
            request.state.headers, request.state.caller = admission.headers, admission.who
        elif asks.rated:
            await self._count(request, route)
        # 2. What is coming.
        most = self._bytes(asks.size)
        if request.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
            raise UnsupportedEncoding
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared[:20]) > most:
            raise BodyTooLarge(most)
        # 3. Only now the body, as far as the route reads it.
        memory = self._public_memory if asks.scope is None else self._memory
        bounded = BoundedRequest(request.scope, request.receive, BodyBounds(most, self._seconds, memory))
        try:
            yield bounded
        finally:
            await bounded.close()

    def call(self, request: Request) -> Call:
        """`called`."""
        url, server = request.url, request.scope.get("server")
        base = public_base(self._settings, url.scheme, request.headers.get("host", ""), server)
        return Call(url.path, request.headers, base)

    def _bytes(self, size: Size) -> int:
        return size.beside + int(size.files * self._file_bytes)

    async def _count(self, request: Request, route: str) -> None:
        count = self._rates.get(route)
        if count is None:
            count = self._rates[route] = self._counting(route)
        if self._in_redis:  # slowapi asks Redis synchronously
            await asyncio.to_thread(count, request)
        else:
            count(request)

    def _counting(self, route: str) -> Callable[[Request], None]:
        """slowapi counts calls of a function, by the function's name."""

        def nothing(request: Request) -> None:
            return None

        nothing.__name__ = route
        counting: Callable[[Request], None] = self._limiter.shared_limit(self._rate, scope=route)(nothing)
        return counting
