"""Around every request, as plain ASGI: an id and a count. No `BaseHTTPMiddleware`: it costs 8-12x. What is let in, and
how much of a body is read, stands in `gateway/intake/admission.py`."""

import logging
import re
import secrets
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway import telemetry

log = logging.getLogger("fluxgate.http")

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_POLLED = frozenset({"/health", "/health/live", "/health/ready", "/metrics"})
"""Asked every few seconds: only their failures are written."""

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
        request_id = b"req_" + secrets.token_hex(8).encode()
        echoed = [(b"x-client-request-id", sent)] if _REQUEST_ID.fullmatch(sent) else []

        made: list[str] = []
        telemetry.REQUEST_IDS.set(made)
        status = 0

        async def counted(message: Message) -> None:
            nonlocal request_id, status
            if message["type"] == "http.response.start":
                if made:  # whoever is told this id finds the entry and the lines about it
                    request_id = made[0].encode()
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id), *echoed]
                telemetry.ANSWERS.labels(scope["method"], status).inc()
            await send(message)

        try:
            await self._app(scope, receive, counted)
        finally:
            seconds = time.perf_counter() - began
            telemetry.ANSWER_SECONDS.observe(seconds)
            route = getattr(scope.get("route"), "path", None)
            if status >= 400 or status == 0 or route not in _POLLED:
                fields = {
                    "request_id": request_id.decode(),  # a caller's own may say anything, and is only given back
                    "request_ids": made,
                    "method": scope["method"] if scope["method"] in _METHODS else "other",
                    "route": route,  # as declared: an address may hold what a caller typed
                    "status": status or None,
                    "seconds": round(seconds, 4),
                }
                log.info("answered", extra={"fields": fields})
