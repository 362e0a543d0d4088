"""Around every request, as plain ASGI: an id and a count. No `BaseHTTPMiddleware`: it costs 8-12x. What is let in, and
how much of a body is read, stands in `gateway/intake.py`."""

import re
import secrets
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway import telemetry

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class Envelope:
    """Gives every answer an id, and counts it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        sent = dict(scope["headers"]).get(b"x-request-id", b"")
        request_id = sent if _REQUEST_ID.fullmatch(sent) else secrets.token_hex(8).encode()

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-request-id", request_id)]
                telemetry.ANSWERS.labels(scope["method"], message["status"]).inc()
            await send(message)

        try:
            await self._app(scope, receive, counted)
        finally:
            telemetry.ANSWER_SECONDS.observe(time.perf_counter() - began)
