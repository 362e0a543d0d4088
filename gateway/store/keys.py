"""The table of API keys, and the count of its changes, which gateways poll. Everything here blocks."""

from dataclasses import asdict, dataclass, field, fields
from typing import Any

from sqlalchemy import Connection, insert, select, update
from sqlalchemy import Engine as Database

from gateway.store.database import reading
from gateway.store.schema import api_keys, key_changes


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key as it is stored. `digest`: of its secret. `scopes`: names with a blank between. Times are Unix seconds."""

    id: str
    tenant: str
    label: str
    digest: bytes = field(repr=False)
    scopes: str
    assurance: int
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None
    replaced_by: str | None = None


_COLUMNS = tuple(api_keys.c[each.name] for each in fields(KeyRow))


class KeyTable:
    """Rows of keys. Every change counts up the number of changes, in the same transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, row: KeyRow) -> None:
        """A new key."""
        with self._database.begin() as connection:
            _add(connection, row)

    def find(self, key_id: str) -> KeyRow | None:
        """The key with this id."""
        with reading(self._database).connect() as connection:
            row = connection.execute(select(*_COLUMNS).where(api_keys.c.id == key_id)).one_or_none()
        return None if row is None else KeyRow(*row)

    def all(self, tenant: str | None = None) -> list[KeyRow]:
        """Every key, or those of one tenant, the oldest first."""
        with reading(self._database).connect() as connection:
            return _all(connection, tenant)

    def replace(self, key_id: str, row: KeyRow, expires_at: float) -> bool:
        """Adds `row` as the successor of a key, which ends at `expires_at`; False if that key has been revoked or
        replaced meanwhile."""
        old = update(api_keys).where(
            api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None), api_keys.c.replaced_by.is_(None)
        )
        with self._database.begin() as connection:
            if connection.execute(old.values(expires_at=expires_at, replaced_by=row.id)).rowcount != 1:
                return False
            _add(connection, row)
            return True

    def revoke(self, key_id: str, at: float) -> None:
        """Ends a key; a key that has ended stays as it is."""
        running = update(api_keys).where(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None))
        with self._database.begin() as connection:
            if connection.execute(running.values(revoked_at=at)).rowcount:
                _count_change(connection)

    def changes(self) -> int:
        """How often any key was changed so far: the one number to poll."""
        with reading(self._database).connect() as connection:
            return _changes(connection)

    def load(self) -> tuple[int, list[KeyRow]]:
        """The number of changes, then every key: a change in between is seen again at the next poll, never missed."""
        with reading(self._database).connect() as connection:
            return _changes(connection), _all(connection, None)


def _add(connection: Connection, row: KeyRow) -> None:
    connection.execute(insert(api_keys).values(asdict(row)))
    _count_change(connection)


def _all(connection: Connection, tenant: str | None) -> list[KeyRow]:
    query: Any = select(*_COLUMNS).order_by(api_keys.c.created_at, api_keys.c.id)
    if tenant is not None:
        query = query.where(api_keys.c.tenant == tenant)
    return [KeyRow(*row) for row in connection.execute(query)]


def _changes(connection: Connection) -> int:
    return connection.execute(select(key_changes.c.count).where(key_changes.c.id == 1)).scalar() or 0


def _count_change(connection: Connection) -> None:
    changed = connection.execute(update(key_changes).where(key_changes.c.id == 1).values(count=key_changes.c.count + 1))
    if changed.rowcount == 0:
        connection.execute(insert(key_changes).values(id=1, count=1))
