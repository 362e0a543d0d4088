"""What a connection may cost whoever is at its other end: seconds, header bytes, chunks, pipelined requests, and how
many of them one address may hold open. uvicorn's protocol bounds none of these.

Time runs against a client only while we read: a body that waits because we work on something else is not late.
"""

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from gateway.errors import GatewayError
from gateway.limits import counted_address
from gateway.settings import IntakeOptions

_GRACE_SECONDS: Final = 5.0  # the answer to a slow body is given within the application, a little earlier
_MOST_PIPELINED: Final = 8
_FREE_CHUNKS: Final = 256
_LEAST_CHUNK_BYTES: Final = 512  # of a chunked body, on average, beyond the first chunks: each one costs a callback
_PIECE_BYTES: Final = 128 * 1024
_PAUSE_SECONDS: Final = 0.02

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class _Refused(GatewayError):
    """Raised in a callback of the parser: the connection is answered with `status`, and ends."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class OpenConnections:
    """The connections of one server, by address. `exempt`: networks whose addresses may hold any number."""

    def __init__(self, options: IntakeOptions, exempt: Sequence[Network] = ()) -> None:
        self._options = options
        self._exempt = exempt
        self._by_address: Counter[str] = Counter()

    def open(self, host: str) -> bool:
        """Counts one; False if it is one too many. Either way it is to be closed."""
        self._by_address[counted_address(host)] += 1
        if self._by_address.total() > self._options.connections:
            return False
        held = self._by_address[counted_address(host)]
        return held <= self._options.connections_per_address or self._is_exempt(host)

    def close(self, host: str) -> None:
        """One less."""
        address = counted_address(host)
        self._by_address[address] -= 1
        if self._by_address[address] <= 0:
            del self._by_address[address]

    def _is_exempt(self, host: str) -> bool:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        return any(address in network for network in self._exempt)


def proxy_networks(proxies: Sequence[str]) -> list[Network]:
    """The networks named, IPv4 ones also as they look on a socket that takes both kinds."""
    networks: list[Network] = [ipaddress.ip_network(proxy) for proxy in proxies]
    mapped = [
        ipaddress.ip_network(f"::ffff:{network.network_address}/{96 + network.prefixlen}")
        for network in networks
        if network.version == 4
    ]
    return [*networks, *mapped]


def bounded_protocol(
    options: IntakeOptions, open_connections: OpenConnections, max_body_bytes: int
) -> type["BoundedProtocol"]:
    """The protocol class for uvicorn. `max_body_bytes`: of any route; no more is read to be thrown away."""
    attributes = {"options": options, "open_connections": open_connections, "max_body_bytes": max_body_bytes}
    return type("Bounded", (BoundedProtocol,), attributes)


class BoundedProtocol(HttpToolsProtocol):
    """One connection. Made by `bounded_protocol`."""

    options: ClassVar[IntakeOptions]
    open_connections: ClassVar[OpenConnections]
    max_body_bytes: ClassVar[int]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._host = ""
        self._ended = False
        self._status = 400
        self._in_body = False
        self._waiting_bytes = 0  # received since the last complete head or message
        self._head_bytes = 0
        self._chunks = self._body_bytes = self._thrown = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None

    # -- a connection begins and ends ------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._host = self.client[0] if self.client else ""
        if self.open_connections.open(self._host):
            self._arm(self.options.header_timeout_seconds)
        else:
            self._answer(503)

    def connection_lost(self, exc: Exception | None) -> None:
        self.open_connections.close(self._host)
        self._arm(None)
        self._cancel_stall()
        super().connection_lost(exc)

    # -- bytes arrive ------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._ended:
            return
        if self._deadline is None and (self.cycle is None or self.cycle.response_complete):
            self._arm(self.options.header_timeout_seconds)
        if not self._in_body:
            self._waiting_bytes += len(data)
        super().data_received(data)
        if not self._ended and not self._in_body and self._waiting_bytes > self.options.max_header_bytes:
            self._answer(431)

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= _MOST_PIPELINED:
            self._refuse(429)
        self._head_bytes = self._chunks = self._body_bytes = 0
        self._arm(self.options.header_timeout_seconds)
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count_head(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count_head(len(name) + len(value) + 4)
        if not self._in_body:  # what comes behind a chunked body is no header any more
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_body, self._waiting_bytes = True, 0
        self._arm(self.options.body_timeout_seconds + _GRACE_SECONDS)
        super().on_headers_complete()

    def on_chunk_header(self) -> None:
        """Called by the parser for each chunk."""
        self._chunks += 1
        if self._chunks > _FREE_CHUNKS + self._body_bytes // _LEAST_CHUNK_BYTES:
            self._refuse(400)

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self.cycle.response_complete:
            self._throw_away(len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_body, self._waiting_bytes = False, 0
        self._arm(self.options.idle_timeout_seconds if self.cycle.response_complete else None)
        super().on_message_complete()

    def _throw_away(self, count: int) -> None:
        """What is left of an answered request, with a pause after each piece: read as fast as it comes, fifty such
        bodies keep the event loop from everybody else for a second."""
        if self._body_bytes > self.max_body_bytes:
            self._refuse(413)
        self._thrown += count
        if self._thrown >= _PIECE_BYTES and not self.flow.read_paused:
            self._thrown = 0
            self.flow.pause_reading()
            self.loop.call_later(_PAUSE_SECONDS, self._go_on)

    def _go_on(self) -> None:
        if not self.transport.is_closing():
            self.flow.resume_reading()

    def send_400_response(self, msg: str) -> None:
        """What the parser raised, also our own refusals within it, as an answer."""
        self._answer(self._status)

    def _unsupported_upgrade_warning(self) -> None:
        """There are no WebSockets here; the request is answered as if it had not asked for one."""

    def _count_head(self, count: int) -> None:
        self._head_bytes += count
        if self._head_bytes > self.options.max_header_bytes:
            self._refuse(431)

    def _refuse(self, status: int) -> None:
        self._status = status
        raise _Refused(status)

    # -- time passes -------------------------------------------------------------------------------------------------

    def _arm(self, seconds: float | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self._late, seconds)

    def _late(self, seconds: float) -> None:
        self._deadline = None
        if self.flow.read_paused:
            self._arm(seconds)
        elif self._in_body or self._waiting_bytes:
            self._answer(408)
        else:
            self._end()

    def timeout_keep_alive_handler(self) -> None:
        """No request came on an idle connection."""
        self._end()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_writing(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        super().resume_writing()
        self._cancel_stall()

    def _watch_writing(self, left: int) -> None:
        self._stall = self.loop.call_later(self.options.body_timeout_seconds, self._check_writing, left)

    def _check_writing(self, left: int) -> None:
        """Ends a connection whose client has read nothing for as long as a body may take."""
        now = self.transport.get_write_buffer_size()
        if now >= left:
            self.transport.abort()
        else:
            self._watch_writing(now)

    def _cancel_stall(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    # -- it is over --------------------------------------------------------------------------------------------------

    def _answer(self, status: int) -> None:
        """Says why, unless an answer has begun already, and ends."""
        answering = self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete
        if not answering and not self.transport.is_closing():
            retry = b"retry-after: 5\r\n" if status in (408, 429, 503) else b""
            self.transport.write(STATUS_LINE[status] + retry + b"content-length: 0\r\nconnection: close\r\n\r\n")
        self._end()

    def _end(self) -> None:
        self._ended = True
        self._arm(None)
        if not self.transport.is_closing():
            self.transport.close()
            self.loop.call_later(_GRACE_SECONDS, self.transport.abort)  # also if nobody reads what is left to send
