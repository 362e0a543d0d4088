"""Names the caller by API key, from memory: a thread of its own follows the key store, requests never wait for it."""

import asyncio
import hmac
import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import SQLAlchemyError

from gateway.auth.identity import KEY_HEADERS, ExpiredKey, NotAuthenticated, Principal, RevokedKey
from gateway.auth.key_store import PREFIX, KeyRecord, KeyRefused, KeyStore, StoredKey, split_key
from gateway.errors import GatewayError

__all__ = ["ApiKeys", "IdentityUnavailable", "KeyRecord", "KeyRefused", "KeyStore", "UnknownKey"]

log = logging.getLogger("fluxgate.identity")

_START = PREFIX + "_"
_FORCED_SPACING_SECONDS = 0.1
_FORCED_WAIT_SECONDS = 2.0


class IdentityUnavailable(GatewayError):
    """The key store has not answered for too long: nobody is let in on old knowledge. Not the caller's fault."""

    code = "identity_unavailable"

    def __init__(self) -> None:
        super().__init__(self.code)


class UnknownKey(NotAuthenticated):
    """Well-formed, but of an id this process has not read yet: the store may know it already."""


@dataclass(frozen=True, slots=True)
class _Known:
    digest: bytes = field(repr=False)
    principal: Principal
    revoked: bool


class ApiKeys:
    """Identity provider for `fg_…` keys in `Authorization: Bearer`, `x-key` or `X-Api-Key`.

    A revocation made by any process reaches this one within `poll_seconds` plus one query. The store is read once on
    construction, so that a gateway without its keys does not start (raises what SQLAlchemy raises).
    """

    name = "api_keys"
    version = "1"

    class Options(BaseModel):
        """`poll_seconds`: below one, because a revocation is to be seen within one second everywhere."""

        model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)
        store: KeyStore
        poll_seconds: float = Field(0.5, gt=0, le=0.9)
        unavailable_after_seconds: float = Field(10.0, gt=0)
        monotonic: Callable[[], float] = time.monotonic

    def __init__(self, options: Options) -> None:
        self._store = options.store
        self._poll_seconds = options.poll_seconds
        self._unavailable_after_seconds = options.unavailable_after_seconds
        self._monotonic = options.monotonic
        self._nobody = b"\0" * 32
        self._keys: Mapping[str, _Known] = {}
        self._changes = -1
        self._fresh_at = self._monotonic()
        self._read()
        self._reachable = True
        self._lock = threading.Lock()
        self._next_refresh: Future[bool] = Future()
        self._wake = threading.Event()
        self._closed = threading.Event()
        self._follower = threading.Thread(target=self._follow, name="fluxgate-api-keys", daemon=True)
        self._follower.start()

    def identify(self, headers: Mapping[str, str], now: datetime) -> Principal | None:
        """From memory, in microseconds. None without an `fg_` key.

        `headers`: names in lower case, or any mapping that ignores case. Raises `NotAuthenticated`, or
        `IdentityUnavailable` if the store could not be read for too long.
        """
        key = _presented(headers)
        if key is None:
            return None
        if self._monotonic() - self._fresh_at > self._unavailable_after_seconds:
            raise IdentityUnavailable
        parts = split_key(key)
        if parts is None:
            raise NotAuthenticated
        known = self._keys.get(parts[0])
        # An unknown id costs the same work as a known one.
        right = hmac.compare_digest(self._store.digest(parts[1]), self._nobody if known is None else known.digest)
        if known is None:
            raise UnknownKey
        if not right:
            raise NotAuthenticated
        if known.revoked:
            raise RevokedKey
        principal = known.principal
        if principal.expires_at is not None and principal.expires_at <= now:
            raise ExpiredKey
        return principal

    async def identify_fresh(self, headers: Mapping[str, str], now: datetime) -> Principal | None:
        """`identify`, but an id this process does not know is looked for in the store before it is refused.

        Requests with unknown ids share one look at the store, at most one every 0.1 s: made-up ids cannot hammer the
        database, and a key made a moment ago by another process works at once. The event loop is never blocked.
        """
        try:
            return self.identify(headers, now)
        except UnknownKey:
            with self._lock:
                refreshed = self._next_refresh
            self._wake.set()
        try:
            answered = await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(refreshed)), _FORCED_WAIT_SECONDS)
        except TimeoutError:
            answered = False
        if not answered:
            raise IdentityUnavailable
        return self.identify(headers, now)

    def close(self) -> None:
        """Stops following the store."""
        self._closed.set()
        self._wake.set()
        self._follower.join(_FORCED_WAIT_SECONDS)

    def _follow(self) -> None:
        while not self._closed.is_set():
            self._wake.wait(self._poll_seconds)
            self._wake.clear()
            with self._lock:
                waiting, self._next_refresh = self._next_refresh, Future()
            waiting.set_result(self._refresh())
            self._closed.wait(_FORCED_SPACING_SECONDS)
        self._next_refresh.set_result(False)

    def _refresh(self) -> bool:
        try:
            self._read()
        except (SQLAlchemyError, ValueError) as failure:
            if self._reachable:
                log.warning("key store unreachable: %s", type(failure).__name__)
            self._reachable = False
        else:
            if not self._reachable:
                log.warning("key store reachable again")
            self._reachable = True
        return self._reachable

    def _read(self) -> None:
        began = self._monotonic()
        if self._store.changes() != self._changes:
            self._changes, stored = self._store.load()
            self._keys = {key.record.id: _known(key) for key in stored}
        self._fresh_at = began


def _known(key: StoredKey) -> _Known:
    record = key.record
    principal = Principal(record.id, record.tenant, record.scopes, record.assurance, record.expires_at)
    return _Known(key.digest, principal, record.revoked_at is not None)


def _presented(headers: Mapping[str, str]) -> str | None:
    authorization = headers.get("authorization")
    if authorization:
        scheme, _, credential = authorization.partition(" ")
        credential = credential.strip()
        if credential.startswith(_START) and scheme.lower() == "bearer":
            return credential
    for name in KEY_HEADERS:
        value = headers.get(name)
        if value and value.startswith(_START):
            return value
    return None
