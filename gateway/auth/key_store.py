"""API keys at rest: making, listing, rotating and revoking them. A secret is shown once and never stored."""

import base64
import hmac
import re
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy import Engine as Database

from gateway.auth.identity import Assurance, Scope
from gateway.errors import GatewayError
from gateway.store.keys import KeyRow, KeyTable

PREFIX = "fg"
_ID_BYTES = 10
_SECRET_BYTES = 32  # 256 bits: nothing to guess, so a slow hash would only cost time
_ID_CHARACTERS = 16
_SECRET_CHARACTERS = 52
_MIN_PEPPER_BYTES = 32
_MAX_LABEL_CHARACTERS = 128

TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""What the name of a tenant looks like."""


class KeyRefused(GatewayError):
    """A key cannot be made or changed as asked. `field` names the input; the message says what to do."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What may be known about a key. The secret is not part of it and cannot be derived from it."""

    id: str
    tenant: str
    label: str
    scopes: frozenset[Scope]
    assurance: Assurance
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    replaced_by: str | None

    def state(self, now: datetime) -> str:
        """`active`, `expired` or `revoked`."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A record with the digest its secret must have."""

    record: KeyRecord
    digest: bytes = field(repr=False)


class KeyStore:
    """The table of keys. `pepper`: at least 32 secret bytes, kept outside the database. `clock`: Unix seconds."""

    def __init__(self, database: Database, pepper: bytes, clock: Callable[[], float] = time.time) -> None:
        if len(pepper) < _MIN_PEPPER_BYTES:
            raise ValueError(f"pepper must hold at least {_MIN_PEPPER_BYTES} bytes")
        self._table = KeyTable(database)
        self._mac = hmac.new(pepper, digestmod="sha256")
        self._clock = clock

    def digest(self, secret: str) -> bytes:
        """HMAC-SHA-256 of the secret under the pepper, 32 bytes."""
        mac = self._mac.copy()  # the padded pepper is hashed once, not per request
        mac.update(secret.encode("utf-8", "surrogatepass"))
        return mac.digest()

    def create(
        self,
        tenant: str,
        label: str = "",
        scopes: Iterable[Scope] = (Scope.GENERATE, Scope.MODERATE),
        assurance: Assurance = Assurance.UNVERIFIED,
        expires_at: datetime | None = None,
    ) -> tuple[KeyRecord, str]:
        """The new record and the key itself, `fg_<id>_<secret>`, which nobody can show again.

        `expires_at`: aware. Raises `KeyRefused` for values out of range.
        """
        now = datetime.fromtimestamp(self._clock(), UTC)
        if not TENANT.fullmatch(tenant):
            raise KeyRefused(
                "tenant", "must be 1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit"
            )
        if len(label) > _MAX_LABEL_CHARACTERS or not label.isprintable():
            raise KeyRefused("label", f"must be printable and at most {_MAX_LABEL_CHARACTERS} characters long")
        if expires_at is not None and expires_at <= now:
            raise KeyRefused("expires_at", "lies in the past: choose a later time")
        wanted = frozenset(scopes)
        if not wanted:
            raise KeyRefused("scopes", f"is empty: name at least one of {', '.join(Scope)}")
        record = KeyRecord(_token(_ID_BYTES), tenant, label, wanted, Assurance(assurance), now, expires_at, None, None)
        key, row = self._made(record)
        self._table.add(row)
        return record, key

    def list(self, tenant: str | None = None) -> tuple[KeyRecord, ...]:
        """Every key, or those of one tenant; oldest first; also revoked and expired ones."""
        return tuple(_stored(row).record for row in self._table.all(tenant))

    def rotate(self, key_id: str, grace_seconds: float) -> tuple[KeyRecord, str]:
        """A successor with the same tenant, scopes and level; the old key keeps working for `grace_seconds`.

        A key that was to expire gets a successor with the same lifetime, counted from now. Raises `KeyRefused` for
        an unknown, revoked or already replaced key.
        """
        if not grace_seconds >= 0:
            raise KeyRefused("grace_seconds", "must not be negative")
        now = self._clock()
        old = self._get(key_id)
        if old.revoked_at is not None:
            raise KeyRefused("key_id", "names a revoked key: create a new one instead")
        if old.replaced_by is not None:
            raise KeyRefused("key_id", f"names a key that was replaced already: rotate {old.replaced_by} instead")
        began = datetime.fromtimestamp(now, UTC)
        expires_at = None if old.expires_at is None else began + (old.expires_at - old.created_at)
        record = KeyRecord(
            _token(_ID_BYTES), old.tenant, old.label, old.scopes, old.assurance, began, expires_at, None, None
        )
        key, row = self._made(record)
        end = now + grace_seconds
        if old.expires_at is not None:
            end = min(end, old.expires_at.timestamp())
        if not self._table.replace(key_id, row, end):
            raise KeyRefused("key_id", "was revoked or replaced just now: look at `fluxgate keys list`")
        return record, key

    def revoke(self, key_id: str) -> KeyRecord:
        """Ends a key for good; every gateway on this database notices within a second. Revoking twice is the same."""
        self._get(key_id)
        self._table.revoke(key_id, self._clock())
        return self._get(key_id)

    def changes(self) -> int:
        """How often any key was changed so far: the one number to poll."""
        return self._table.changes()

    def load(self) -> tuple[int, tuple[StoredKey, ...]]:
        """The number of changes, then every key: a change in between is seen again at the next poll, never missed."""
        number, rows = self._table.load()
        return number, tuple(map(_stored, rows))

    def _made(self, record: KeyRecord) -> tuple[str, KeyRow]:
        """A key for the record, and its row."""
        secret = _token(_SECRET_BYTES)
        row = KeyRow(
            id=record.id,
            tenant=record.tenant,
            label=record.label,
            digest=self.digest(secret),
            scopes=" ".join(sorted(record.scopes)),
            assurance=int(record.assurance),
            created_at=record.created_at.timestamp(),
            expires_at=None if record.expires_at is None else record.expires_at.timestamp(),
        )
        return f"{PREFIX}_{record.id}_{secret}", row

    def _get(self, key_id: str) -> KeyRecord:
        row = self._table.find(key_id)
        if row is None:
            raise KeyRefused("key_id", "names no key here: take an id from `fluxgate keys list`")
        return _stored(row).record


def split_key(key: str) -> tuple[str, str] | None:
    """Public id and secret of `fg_<id>_<secret>`; None if it does not have exactly that form."""
    parts = key.split("_", 3)
    if len(parts) != 3 or parts[0] != PREFIX or len(parts[1]) != _ID_CHARACTERS or len(parts[2]) != _SECRET_CHARACTERS:
        return None
    return parts[1], parts[2]


def _token(size: int) -> str:
    """`size` random bytes in lower-case base32 (RFC 4648, clause 6): safe in URLs, no underscore, no 0 or 1."""
    return base64.b32encode(secrets.token_bytes(size)).decode().rstrip("=").lower()


def _stored(row: KeyRow) -> StoredKey:
    def moment(seconds: float | None) -> datetime | None:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC)

    known = {scope.value for scope in Scope}
    record = KeyRecord(
        id=row.id,
        tenant=row.tenant,
        label=row.label,
        # A scope of a newer version grants nothing here.
        scopes=frozenset(Scope(name) for name in row.scopes.split() if name in known),
        assurance=Assurance(row.assurance),
        created_at=datetime.fromtimestamp(row.created_at, UTC),
        expires_at=moment(row.expires_at),
        revoked_at=moment(row.revoked_at),
        replaced_by=row.replaced_by,
    )
    return StoredKey(record, row.digest)
