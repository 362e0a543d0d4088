"""Opens the one database (SQLite in WAL mode, or PostgreSQL) and brings its tables up to date."""

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, make_url

BUSY_TIMEOUT_SECONDS = 20.0
_READING = "fluxgate_reading"


def open_database(url: str) -> Engine:
    """`url`: an SQLAlchemy URL, for example `sqlite:////data/fluxgate.db` or `postgresql+psycopg://…`.

    Transactions on SQLite take the write lock at once (BEGIN IMMEDIATE), so that none fails half-way through because
    another writer was faster; those of `reading(engine)` take it only if they write. Commits are durable
    (`synchronous=FULL`): a receipt must survive a power cut.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed, pool_size=16, max_overflow=16, pool_pre_ping=True)
    if parsed.database:
        Path(parsed.database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # SQLite gives its write-ahead log and index the permissions of the database.
        os.close(os.open(parsed.database, os.O_RDWR | os.O_CREAT, 0o600))
    engine = create_engine(
        parsed,
        pool_size=16,
        max_overflow=16,
        connect_args={"timeout": BUSY_TIMEOUT_SECONDS, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN" if connection.get_execution_options().get(_READING) else "BEGIN IMMEDIATE")

    return engine


def open_unchanged(url: str) -> Engine:
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


def reading(engine: Engine) -> Engine:
    """The same pool for reads: a snapshot, no lock."""
    return engine.execution_options(**{_READING: True})


def is_migrated(engine: Engine) -> bool:
    """True if the tables are those of this version. Changes nothing."""
    with engine.connect() as connection:
        heads = MigrationContext.configure(connection).get_current_heads()
    return set(heads) == set(ScriptDirectory.from_config(_migrations()).get_heads())


def migrate(engine: Engine) -> None:
    """Brings the tables to the newest revision. Idempotent; runs at every start, in one transaction."""
    config = _migrations()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _migrations() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config
