"""The limit on public routes, which ask for no key: requests per address and minute, by slowapi."""

import ipaddress
import logging

from slowapi import Limiter
from starlette.requests import Request

from gateway.limits.quotas import FALLBACK_SHARE, WINDOW_SECONDS, LimitSettings

PUBLIC_RETRY_AFTER_SECONDS = WINDOW_SECONDS  # a fixed window of a minute: no wait is longer
_TIMEOUT_SECONDS = 0.25
_IPV6_NETWORK_BITS = 64  # one customer's smallest network (RFC 6177): counting single addresses would count nothing
_NO_ADDRESS = "local"  # a Unix socket


def caller_address(request: Request) -> str:
    """The address slowapi counts.

    The parameter must be called `request`: slowapi looks for that name, and otherwise calls without an argument.
    """
    return counted_address(request.client.host if request.client else _NO_ADDRESS)


def counted_address(host: str) -> str:
    """The unit in which addresses are counted: an IPv4 address, or the /64 network of an IPv6 one."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address.packed, _IPV6_NETWORK_BITS), strict=False))
    return host


def public_rate(settings: LimitSettings) -> str:
    """The limit in slowapi's notation, for the decorator."""
    return f"{settings.public_requests_per_minute}/minute"


def public_limiter(settings: LimitSettings) -> Limiter:
    """Decorate the route with `@limiter.limit(public_rate(settings))`; no middleware is needed, and none is built.

    With Redis the route must be a plain `def`: slowapi asks Redis synchronously, which a `def` route does in a worker
    thread and an `async def` route on the event loop. Without Redis a quarter of the limit is counted in memory.
    """
    small = max(1, settings.public_requests_per_minute // FALLBACK_SHARE)
    shared = {}
    if settings.redis_url is not None:
        shared = {
            "storage_uri": settings.redis_url,
            "storage_options": {"socket_timeout": _TIMEOUT_SECONDS, "socket_connect_timeout": _TIMEOUT_SECONDS},
            "in_memory_fallback": [f"{small}/minute"],
        }
    limiter = Limiter(key_func=caller_address, strategy="fixed-window", key_prefix="fluxgate-public", **shared)
    limiter.enabled = True  # slowapi also listens to RATELIMIT_ENABLED and to a .env file in the working folder
    limiter.logger.addFilter(_no_addresses)
    return limiter


def _no_addresses(record: logging.LogRecord) -> bool:
    """slowapi writes the caller's address into the log with every refusal: personal data, not for the log."""
    return "exceeded" not in str(record.msg)
