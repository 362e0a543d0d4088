"""RFC 3161 time-stamps (`sigTst2` of C2PA 2.4, 10.3.2.5): asks the authority, within bounds, and keeps count.

Without a time-stamp a credential stops being valid when its certificate expires, and the EU Code of Practice (1.1.1)
asks for one.

c2pa-rs asks an authority itself while it signs, follows redirects, waits 30 seconds and offers no hook. So it is given
the address of a relay in this process, on loopback under a path nobody can guess; the relay asks the real authority
with our bounds. c2pa checks the token's imprint and nonce, and the sealed file is read back.
"""

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from provenance.errors import SigningFailed
from provenance.signing.posting import Post, Unanswered, web_host

_QUERY: Final = "application/timestamp-query"  # RFC 3161, 3.4
_REPLY: Final = "application/timestamp-reply"
_MAX_QUERY_BYTES: Final = 4096
_MAX_REPLY_BYTES: Final = 65_536  # a token with its chain has about 6,000
_REST: Final = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class TimestampHealth:
    """`made`, `failed`: signatures of this process with a time-stamp, and without one that was asked for."""

    made: int = 0
    failed: int = 0
    last_made: datetime | None = None
    last_failed: datetime | None = None


class TimestampAuthority:
    """An authority, and whether pictures may do without it. Safe to use from many threads. Close it.

    `url`: http or https; plain http is usual and enough, for the token is signed. `post`: reaches it. `required`: what
    it does not stamp is not signed. `timeout_seconds`: of one question, as a whole. `clock`: aware UTC time.
    Raises `SigningFailed` for any other address.
    """

    def __init__(
        self,
        url: str,
        post: Post,
        *,
        required: bool = True,
        timeout_seconds: float = 5.0,
        clock: Callable[[], datetime],
    ) -> None:
        try:
            self.host = web_host(url)
        except ValueError as cause:
            raise SigningFailed("The time-stamp authority must be given as an http or https URL.") from cause
        self.required = required
        self._url = url
        self._post = post
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._health = TimestampHealth()
        self._lock = threading.Lock()
        path = f"/{secrets.token_urlsafe(16)}"
        self._relay = ThreadingHTTPServer(("127.0.0.1", 0), _relay_handler(path, self._ask))
        self._relay.daemon_threads = True
        self.relay_url = f"http://127.0.0.1:{self._relay.server_port}{path}"
        threading.Thread(target=self._relay.serve_forever, name="timestamps", daemon=True).start()

    @property
    def health(self) -> TimestampHealth:
        """The count so far."""
        return self._health

    @property
    def is_asked(self) -> bool:
        """False while an authority that is not required rests after a failure, so that it does not slow every seal."""
        failed = self._health.last_failed
        return self.required or failed is None or self._clock() - failed > _REST

    def count(self, *, made: bool) -> None:
        """A signature got its time-stamp, or did not."""
        with self._lock:
            health, now = self._health, self._clock()
            if made:
                self._health = replace(health, made=health.made + 1, last_made=now)
            else:
                self._health = replace(health, failed=health.failed + 1, last_failed=now)

    def close(self) -> None:
        """Ends the relay."""
        self._relay.shutdown()
        self._relay.server_close()

    def _ask(self, query: bytes) -> bytes:
        headers = {"Content-Type": _QUERY, "Accept": _REPLY}
        answer = self._post(self._url, query, headers, seconds=self._timeout_seconds, max_bytes=_MAX_REPLY_BYTES)
        if answer.media_type != _REPLY:
            raise Unanswered("the authority's answer is no time-stamp")
        return answer.body


def _relay_handler(path: str, ask: Callable[[bytes], bytes]) -> type[BaseHTTPRequestHandler]:
    class Relay(BaseHTTPRequestHandler):
        timeout = 5  # of reading c2pa's question, which is there at once

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            if not secrets.compare_digest(self.path.encode(), path.encode()):
                return self._answer(404)
            if not (length.isascii() and length.isdigit()) or int(length) > _MAX_QUERY_BYTES:
                return self._answer(413)
            try:
                return self._answer(200, ask(self.rfile.read(int(length))))
            except Unanswered:
                return self._answer(502)

        def _answer(self, status: int, body: bytes = b"") -> None:
            self.send_response(status)
            self.send_header("Content-Type", _REPLY)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing: addresses and paths are nobody's business."""

    return Relay


def statement(*, timestamped: bool, trusted: bool) -> str:
    """For people: what the time-stamp, or its absence, means."""
    if trusted:
        return "The signature carries an RFC 3161 time-stamp, so it outlives its certificate."
    if timestamped:
        return (
            "The signature carries an RFC 3161 time-stamp of an authority this verifier does not know; it counts for "
            "nothing here, and the signature is valid only until its certificate expires."
        )
    return "There is no time-stamp: the signature is valid only until its certificate expires."
