"""Under which address links to this gateway are given out. The Host header is the caller's word, or an attacker's: a
link names it only where the operator said so."""

from fastapi import Request

from gateway.settings import Settings


def public_base(request: Request, settings: Settings) -> str:
    """`https://host[:port]`, without a trailing slash: `public_url`, else an allowed host that the client called, else
    the address at which its connection arrived."""
    if settings.public_url:
        return settings.public_url.rstrip("/")
    called = request.headers.get("host", "").lower()
    if called in (host.lower() for host in settings.allowed_hosts):
        return f"{request.url.scheme}://{called}"
    host, port = request.scope.get("server") or (settings.host, settings.port)
    name = f"[{host}]" if ":" in host else host
    usual = {"http": 80, "https": 443}.get(request.url.scheme)
    return f"{request.url.scheme}://{name}" + ("" if port in (None, usual) else f":{port}")
