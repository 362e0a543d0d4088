"""Signed, expiring links to files: whoever holds one may fetch that one file until it expires, and nothing else."""

import hashlib
import hmac
from collections.abc import Callable
from urllib.parse import urlencode

from gateway.errors import LinkExpired


class Links:
    """`key`: 32 bytes. `ttl_seconds`: how long a link works. `clock`: Unix seconds."""

    def __init__(self, key: bytes, ttl_seconds: int, clock: Callable[[], float]) -> None:
        self._key = key
        self._ttl = ttl_seconds
        self._clock = clock

    def link(self, base: str, path: str) -> str:
        """`base`: `https://host[:port]` without a trailing slash. `path`: absolute, without a query."""
        expires = str(int(self._clock()) + self._ttl)
        return f"{base}{path}?{urlencode({'expires': expires, 'signature': self._sign(path, expires)})}"

    def check(self, path: str, expires: str, signature: str) -> None:
        """Raises `LinkExpired` if the link is past its time or was not made here."""
        genuine = hmac.compare_digest(self._sign(path, expires).encode(), signature.encode())
        if not genuine or not expires.isdecimal() or int(expires) < self._clock():
            raise LinkExpired

    def _sign(self, path: str, expires: str) -> str:
        return hmac.new(self._key, f"{path}\n{expires}".encode(), hashlib.sha256).hexdigest()
