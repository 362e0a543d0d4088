"""One bounded HTTP POST, with httpx: what time-stamp authorities and signing services are asked with.

Bounded in time as a whole (a server that drips bytes is left behind like one that says nothing) and in size; redirects
are not followed, and the environment's proxies are used.
"""

import queue
import ssl
import threading
from collections.abc import Mapping

import httpx

from provenance.signing.posting import Answer, Unanswered, is_loopback, web_host


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    seconds: float,
    max_bytes: int,
    context: ssl.SSLContext | None = None,
) -> Answer:
    """See `provenance.signing.posting.Post`."""
    # Timeouts of httpx bound each read, not their sum: so the exchange has a thread of its own, and may be left behind.
    outcome: queue.SimpleQueue[Answer | Unanswered] = queue.SimpleQueue()

    def exchange() -> None:
        try:
            outcome.put(_exchanged(url, body, headers, seconds, max_bytes, context))
        except Unanswered as failure:
            outcome.put(failure)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as cause:
            failed = Unanswered(f"the service failed ({type(cause).__name__})")  # by kind: its text quotes addresses
            failed.__cause__ = cause
            outcome.put(failed)

    threading.Thread(target=exchange, name="posting", daemon=True).start()
    try:
        found = outcome.get(timeout=seconds)
    except queue.Empty:
        raise Unanswered(f"the service did not answer within {seconds:g} s") from None
    if isinstance(found, Unanswered):
        raise found
    return found


def _exchanged(
    url: str, body: bytes, headers: Mapping[str, str], seconds: float, max_bytes: int, context: ssl.SSLContext | None
) -> Answer:
    # What is for this machine, a token perhaps, is not shown to a proxy.
    proxied = not is_loopback(web_host(url))
    with (
        httpx.Client(verify=context or True, timeout=seconds, trust_env=proxied) as client,
        client.stream("POST", url, content=body, headers=dict(headers)) as reply,
    ):
        if not reply.is_success:
            raise Unanswered(f"the service failed (HTTP status {reply.status_code})")
        read = b""
        for chunk in reply.iter_raw():
            read += chunk
            if len(read) > max_bytes:
                raise Unanswered("the service's answer is too long")
    media_type = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
    return Answer(media_type, read)
