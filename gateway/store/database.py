"""Opens the one database (SQLite in WAL mode, or PostgreSQL) and brings its tables up to date."""

import os
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Table, create_engine, event, inspect, make_url, text
from sqlalchemy import Engine as Database
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

SILENCE_SECONDS = 10.0
"""How long a statement, a lock, a connection or a place in the pool is waited for."""
_READING = "fluxgate_reading"
_MIGRATIONS = Path(__file__).parent / "migrations"


class DatabaseSilent(SQLAlchemyError):
    """The database did not answer in time."""


def open_database(url: str, silence_seconds: float = SILENCE_SECONDS) -> Database:
    """`url`: an SQLAlchemy URL, for example `sqlite:////data/fluxgate.db` or `postgresql+psycopg://…`.

    Transactions on SQLite take the write lock at once (BEGIN IMMEDIATE), so that none fails half-way through because
    another writer was faster; those of `reading(database)` take it only if they write. Commits are durable
    (`synchronous=FULL`): a receipt must survive a power cut.

    `silence_seconds`: a database that says nothing for longer is given up, with an `SQLAlchemyError`; on SQLite that is
    how long another writer is waited for.
    """
    parsed = make_url(url)
    waits: dict[str, Any] = {"pool_size": 16, "max_overflow": 16, "pool_timeout": silence_seconds}
    if parsed.get_backend_name() != "sqlite":
        database = create_engine(parsed, pool_pre_ping=True, **waits)
        if database.dialect.driver == "psycopg":
            _bound(database, silence_seconds)
        return database
    if parsed.database:
        Path(parsed.database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # SQLite gives its write-ahead log and index the permissions of the database.
        os.close(os.open(parsed.database, os.O_RDWR | os.O_CREAT, 0o600))
    database = create_engine(
        parsed,
        connect_args={"timeout": silence_seconds, "check_same_thread": False},
        **waits,
    )

    @event.listens_for(database, "connect")
    def configure(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(database, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN" if connection.get_execution_options().get(_READING) else "BEGIN IMMEDIATE")

    return database


def open_unchanged(url: str) -> Database:
    """The database for whoever must change nothing in it, not even by opening it. SQLite files are not made.

    Beside a write-ahead log, which a running gateway has, SQLite is opened read-only; without one, as a file that
    nobody changes meanwhile, since otherwise a log would be made.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed, execution_options={"postgresql_readonly": True})
    file = Path(parsed.database or "")
    how = "mode=ro" if file.with_name(file.name + "-wal").exists() else "mode=ro&immutable=1"
    return create_engine(f"sqlite:///file:{quote(str(file.resolve()))}?{how}&uri=true")


def _bound(database: Database, seconds: float) -> None:
    """Gives every wait for PostgreSQL an end on this side too: a server that hangs keeps no time limit of its own."""
    import psycopg
    from psycopg.waiting import Ready

    class Bounded(psycopg.Connection[Any]):
        silence_seconds: float | None = seconds

        def wait(self, gen: Any, *values: Any, **named: Any) -> Any:
            return super().wait(gen if self.silence_seconds is None else self._until_silent(gen), *values, **named)

        def _until_silent(self, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
            heard = time.monotonic()
            try:
                state = next(gen)
                while True:
                    ready = yield state
                    if ready != Ready.NONE:
                        heard = time.monotonic()
                    elif time.monotonic() - heard > (self.silence_seconds or 0):
                        gen.close()
                        self.pgconn.finish()
                        raise psycopg.OperationalError("PostgreSQL did not answer in time")
                    state = gen.send(ready)
            except StopIteration as end:
                return end.value

    @event.listens_for(database, "do_connect")
    def connect(_dialect: object, _record: object, values: tuple[Any, ...], named: dict[str, Any]) -> Any:
        named.setdefault("connect_timeout", max(2, round(seconds)))
        return Bounded.connect(*values, **named)

    @event.listens_for(database, "connect")
    def configure(connection: Any, _record: object) -> None:
        connection.execute(f"SET statement_timeout = {int(seconds * 1000)}; SET lock_timeout = {int(seconds * 1000)}")
        connection.commit()


def _unbounded(connection: Connection) -> None:
    """For migrations, which may rewrite a table."""
    driver: Any = connection.connection.driver_connection
    if hasattr(driver, "silence_seconds"):
        driver.silence_seconds = None
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0")
        connection.detach()  # closed afterwards, not lent again


def insert_or_ignore(connection: Connection, table: Table) -> Any:
    """An insert that leaves a row alone that is there already; `rowcount` tells."""
    known = postgresql if connection.dialect.name == "postgresql" else sqlite
    return known.insert(table).on_conflict_do_nothing()


def reading(database: Database) -> Database:
    """The same pool for reads: a snapshot, no lock."""
    return database.execution_options(**{_READING: True})


def is_migrated(database: Database) -> bool:
    """True if the tables are those of this version. Changes nothing."""
    newest = max(file.name.partition("_")[0] for file in (_MIGRATIONS / "versions").glob("[0-9]*.py"))
    with database.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return False
        return list(connection.scalars(text("SELECT version_num FROM alembic_version"))) == [newest]


def migrate(database: Database) -> None:
    """Brings the tables to the newest revision. Idempotent; runs at every start, in one transaction."""
    if is_migrated(database):
        return
    # Imported where there is work for it: commands that only read start a third of a second sooner.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    with database.begin() as connection:
        _unbounded(connection)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
