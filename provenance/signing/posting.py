"""One bounded HTTP POST to a service the operator named: a time-stamp authority, a signing service.

Bounded in time as a whole (a server that drips bytes is left behind like one that says nothing) and in size; redirects
are not followed, and the environment's proxies are used.
"""

import http.client
import queue
import ssl
import threading
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from provenance.errors import ProvenanceError

_HANDLERS: Final = (
    urllib.request.HTTPHandler,
    urllib.request.HTTPErrorProcessor,
    urllib.request.HTTPDefaultErrorHandler,
)


class Unanswered(ProvenanceError):
    """The service did not answer as it must. The message holds no address and nothing of what was sent."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer, of a status that says success."""

    media_type: str
    body: bytes


def web_host(url: str) -> str:
    """The host of an http or https URL. Raises `ValueError` for any other."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("this must be an http or https URL")
    return parts.hostname


def is_loopback(host: str) -> bool:
    """True for `localhost` and loopback addresses: what never leaves this machine."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    seconds: float,
    max_bytes: int,
    context: ssl.SSLContext | None = None,
) -> Answer:
    """The answer to `body`. Raises `Unanswered` after `seconds`, or for anything but one answer of at most `max_bytes`.

    `context`: TLS with a private CA or a client certificate; the system's trust store unless given.
    """
    request = urllib.request.Request(url, body, dict(headers), method="POST")  # noqa: S310 - the opener knows only http and https
    opener = urllib.request.OpenerDirector()
    for handler in _HANDLERS:
        opener.add_handler(handler())
    # What is for this machine, a token perhaps, is not shown to a proxy.
    opener.add_handler(urllib.request.ProxyHandler({} if is_loopback(web_host(url)) else None))
    opener.add_handler(urllib.request.HTTPSHandler(context=context))
    # Socket timeouts bound each read, not their sum: so the exchange has a thread of its own, which may be left behind.
    outcome: queue.SimpleQueue[Answer | Unanswered] = queue.SimpleQueue()

    def exchange() -> None:
        try:
            with opener.open(request, timeout=seconds) as reply:
                read = reply.read(max_bytes + 1)
                media_type = reply.headers.get_content_type()
        except (OSError, http.client.HTTPException, ValueError) as cause:
            failure = Unanswered(f"the service failed ({_said(cause)})")
            failure.__cause__ = cause
            outcome.put(failure)
            return
        outcome.put(
            Answer(media_type, read) if len(read) <= max_bytes else Unanswered("the service's answer is too long")
        )

    threading.Thread(target=exchange, name="posting", daemon=True).start()
    try:
        found = outcome.get(timeout=seconds)
    except queue.Empty:
        raise Unanswered(f"the service did not answer within {seconds:g} s") from None
    if isinstance(found, Unanswered):
        raise found
    return found


def _said(cause: Exception) -> str:
    """By kind alone: texts of such errors quote addresses."""
    status = getattr(cause, "code", None)
    return f"HTTP status {status}" if isinstance(status, int) else type(getattr(cause, "reason", cause)).__name__
