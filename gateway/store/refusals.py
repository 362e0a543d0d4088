"""What was refused to whom, as keyed sketches, and the suspensions that came of it. Everything here blocks."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Delete, Insert, Select, delete, insert, select, update
from sqlalchemy import Engine as Database

from gateway.store.database import reading
from gateway.store.schema import refused_prompts

_table = refused_prompts.c


@dataclass(frozen=True, slots=True)
class Refusal:
    """`subject`: keyed hash of the end user or key it was refused to, `key_subject`: of the key;
    None in old rows. `asking`: the first of
    the images that one request asked for. Times are Unix seconds. `turned_away`: requests, while suspended or slowed
    because of it."""

    request_id: str
    tenant: str
    subject: bytes
    key_subject: bytes | None
    asking: str
    sketch: bytes
    at: float
    expires_at: float
    suspended_until: float | None
    turned_away: int = 0


_COLUMNS = tuple(_table[each.name] for each in fields(Refusal))


class Refusals:
    """The table of refusals."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def newest(self, column: Literal["subject", "key_subject"], value: bytes, now: float, most: int) -> list[Refusal]:
        """Up to `most` refusals that still count, the newest first."""
        query = select(*_COLUMNS).where(_table[column] == value, _table.expires_at > now)
        return self._found(query.order_by(_table.at.desc()).limit(most))

    def turn_away(self, request_id: str) -> None:
        """Counts a request that was not looked at because of this refusal."""
        counted = update(refused_prompts).where(_table.request_id == request_id)
        with self._database.begin() as connection:
            connection.execute(counted.values(turned_away=_table.turned_away + 1))

    def suspending(self, now: float) -> list[Refusal]:
        """Those whose suspension runs, the one that ends first in front."""
        query = select(*_COLUMNS).where(_table.suspended_until > now)
        return self._found(query.order_by(_table.suspended_until, _table.request_id))

    def turned_away(self, subject: bytes) -> int:
        """Requests that were turned away because of this subject's refusals."""
        with reading(self._database).connect() as connection:
            return sum(connection.execute(select(_table.turned_away).where(_table.subject == subject)).scalars())

    def suspended_until(self, now: float) -> list[Refusal]:
        """Those whose suspension is over and not yet in the log."""
        return self._found(select(*_COLUMNS).where(_table.suspended_until <= now))

    def slowed_until(self, now: float) -> list[Refusal]:
        """Those that count no longer, and because of which something was turned away."""
        return self._found(select(*_COLUMNS).where(_expired(now) & (_table.turned_away > 0)))

    def _found(self, query: Select[Any]) -> list[Refusal]:
        with reading(self._database).connect() as connection:
            return [Refusal(*row) for row in connection.execute(query)]


def keep_refusal(refusal: Refusal) -> Insert:
    """What is written in the transaction that records the refusal."""
    return insert(refused_prompts).values(asdict(refusal))


def forget_old(now: float) -> Delete:
    """Deletes what is over and needs no entry. What another gateway is deleting just now is passed over."""
    over = select(_table.request_id).where(_expired(now) & (_table.turned_away == 0))
    return delete(refused_prompts).where(_table.request_id.in_(over.with_for_update(skip_locked=True)))


def forget_subject(subject: bytes) -> Callable[[Connection], None]:
    """Deletes all refusals of a subject, in the transaction that records the end of its suspension."""

    def forget(connection: Connection) -> None:
        connection.execute(delete(refused_prompts).where(_table.subject == subject))

    return forget


def close_refusal(request_id: str) -> Callable[[Connection], None]:
    """Ends what a refusal led to, in the transaction that records it."""
    closed = update(refused_prompts).where(_table.request_id == request_id)

    def close(connection: Connection) -> None:
        connection.execute(closed.values(suspended_until=None, turned_away=0))

    return close


def _expired(now: float) -> ColumnElement[bool]:
    return (_table.expires_at <= now) & _table.suspended_until.is_(None)
