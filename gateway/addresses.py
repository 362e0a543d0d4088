"""How a call reached this gateway, and under which address links to it are given out. The Host header is the caller's
word, or an attacker's: a link names it only where the operator said so."""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.settings import Settings


@dataclass(frozen=True, slots=True)
class Call:
    """What the house may know of a call over HTTP. `headers`: by lower-case name. `base`: our address as the caller
    may be told it, `https://host[:port]` without a trailing slash."""

    path: str
    headers: Mapping[str, str]
    base: str


def public_base(settings: Settings, scheme: str, called: str, arrived_at: tuple[str, int | None] | None) -> str:
    """`public_url`, else an allowed host that the client `called`, else the address at which its connection arrived."""
    if settings.public_url:
        return settings.public_url.rstrip("/")
    if called.lower() in (host.lower() for host in settings.allowed_hosts):
        return f"{scheme}://{called.lower()}"
    host, port = arrived_at or (settings.host, settings.port)
    name = f"[{host}]" if ":" in host else host
    usual = {"http": 80, "https": 443}.get(scheme)
    return f"{scheme}://{name}" + ("" if port in (None, usual) else f":{port}")
