"""What asking a service over HTTP means to a signer. The gateway owns the network and hands `Post` in."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Protocol, runtime_checkable
from urllib.parse import urlsplit

from provenance.errors import ProvenanceError


class Unanswered(ProvenanceError):
    """The service did not answer as it must. The message holds no address and nothing of what was sent."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer, of a status that says success."""

    media_type: str
    body: bytes


class Post(Protocol):
    """One bounded HTTP POST to a service that the operator named. Used by several threads at once."""

    def __call__(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        seconds: float,
        max_bytes: int,
        context: ssl.SSLContext | None = None,
    ) -> Answer:
        """The answer to `body`. Raises `Unanswered` after `seconds`, or for anything but one answer of at most
        `max_bytes`. Follows no redirect.

        `context`: TLS with a private CA or a client certificate; the system's trust store unless given.
        """
        ...


@runtime_checkable
class Posting(Protocol):
    """A part that asks a service: it is given `post` once, before its first use."""

    post: Post


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
