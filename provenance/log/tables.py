"""The log's tables, the transactions that read and write them, and the look-up of tree nodes. Rows are never updated.

Level 0 of the tree is `log_entries.leaf_hash`; of the levels above only every eighth is stored (`log_nodes`, one row
for 256 below it, the hashes of tlog-tiles' higher tiles); any other node is computed from at most 128 stored ones.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import cast

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    and_,
    func,
    or_,
    select,
)
from sqlalchemy import (
    Engine as Database,
)
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from provenance.errors import LedgerUnavailable
from provenance.log.checkpoints import Checkpoint, CheckpointInvalid, LogKey, verify_checkpoint
from provenance.log.merkle import Frontier, Node, cover, root_of
from provenance.log.tiles import TILE_HEIGHT

_Count = BigInteger().with_variant(Integer, "sqlite")  # only INTEGER is SQLite's own row number
WRITER_LOCK = int.from_bytes(b"fluxgate")  # PostgreSQL advisory lock: one writer in a database

metadata = MetaData()

log_entries = Table(
    "log_entries",
    metadata,
    Column("idx", _Count, primary_key=True, autoincrement=False),
    Column("request_id", String(128), nullable=False, unique=True),
    Column("leaf_hash", LargeBinary, nullable=False),
    Column("leaf", LargeBinary, nullable=False),
)
log_nodes = Table(
    "log_nodes",
    metadata,
    Column("level", SmallInteger, primary_key=True),  # tile level: a node here covers 256**level leaves
    Column("idx", _Count, primary_key=True),
    Column("hash", LargeBinary, nullable=False),
)
log_checkpoints = Table(
    "log_checkpoints",
    metadata,
    Column("size", _Count, primary_key=True, autoincrement=False),
    Column("note", Text, nullable=False),
)
log_openings = Table(  # the one erasable table: see entries.py; `salt` is encrypted: see openings.py
    "log_openings",
    metadata,
    Column("request_id", String(128), primary_key=True),
    Column("salt", LargeBinary, nullable=False),
)


_NEWEST = select(log_checkpoints.c.size, log_checkpoints.c.note).order_by(log_checkpoints.c.size.desc()).limit(1)


class LogDamaged(LedgerUnavailable):
    """The stored log contradicts itself, its key or what this process saw of it earlier; nothing may be appended."""


@contextmanager
def translated() -> Iterator[None]:
    """Turns every database failure into `LedgerUnavailable`. Statement parameters (salts) stay out of the message."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        raise LedgerUnavailable(f"the log's database failed: {type(cause).__name__}") from cause


@contextmanager
def write_transaction(database: Database, wait_seconds: float) -> Iterator[Connection]:
    """A durable transaction that excludes every other writer of the log, in this process and in others.

    Waits at most `wait_seconds` for its turn. Whatever listeners the database has, on SQLite the transaction starts as
    BEGIN IMMEDIATE with synchronous=FULL (in WAL mode: the commit is on disk when it returns) and deleted rows are
    overwritten; on PostgreSQL the commit is synchronous.
    """
    milliseconds = int(wait_seconds * 1000)
    with database.connect() as connection:
        if database.dialect.name == "sqlite":
            with connection.begin():
                driver = _sqlite_between_transactions(connection)
                driver.execute(f"PRAGMA busy_timeout = {milliseconds}")
                driver.execute("PRAGMA synchronous = FULL")
                driver.execute("PRAGMA secure_delete = ON")
                driver.execute("BEGIN IMMEDIATE")
                yield connection
        else:
            # Not REPEATABLE READ: its snapshot would be older than the lock it waited for.
            connection.execution_options(isolation_level="READ COMMITTED")
            with connection.begin():
                connection.exec_driver_sql(
                    f"SET LOCAL lock_timeout = {milliseconds}; SET LOCAL synchronous_commit = on; "
                    f"SELECT pg_advisory_xact_lock({WRITER_LOCK})"
                )
                yield connection


@contextmanager
def read_transaction(database: Database) -> Iterator[Connection]:
    """A transaction that sees the log as it was at one moment, whoever writes meanwhile."""
    with database.connect() as connection:
        if database.dialect.name != "sqlite":
            connection.execution_options(isolation_level="REPEATABLE READ")
        with connection.begin():
            driver = connection.connection.driver_connection
            if isinstance(driver, sqlite3.Connection) and not driver.in_transaction:
                driver.execute("BEGIN")
            yield connection


def _sqlite_between_transactions(connection: Connection) -> sqlite3.Connection:
    """The driver's own connection, taken out of a transaction that the driver or a listener began too early."""
    driver = cast(sqlite3.Connection, connection.connection.driver_connection)
    if driver.in_transaction:
        driver.execute("ROLLBACK")
    return driver


def create_tables(database: Database, wait_seconds: float) -> None:
    """Makes the tables that are missing; on SQLite also turns the write-ahead log on, which lasts."""
    if database.dialect.name == "sqlite":
        with database.connect() as connection, connection.begin():
            driver = _sqlite_between_transactions(connection)
            driver.execute(f"PRAGMA busy_timeout = {int(wait_seconds * 1000)}")
            driver.execute("PRAGMA journal_mode = WAL")
    with write_transaction(database, wait_seconds) as connection:
        metadata.create_all(connection)


def latest_note(connection: Connection) -> tuple[int, str] | None:
    """(size, signed checkpoint) of the log's head, or None if the log has never been opened."""
    row = connection.execute(_NEWEST).first()
    return (row.size, row.note) if row else None


def leaf_of(database: Database, request_id: str) -> bytes | None:
    """The leaf of an entry, or None if there is none of this id. Raises `LedgerUnavailable`."""
    with translated(), database.connect() as connection:
        leaf: bytes | None = connection.execute(
            select(log_entries.c.leaf).where(log_entries.c.request_id == request_id)
        ).scalar()
        return leaf


def read_nodes(connection: Connection, wanted: Iterable[Node]) -> dict[Node, bytes]:
    """Looks up whole nodes of the tree by name. Raises `LogDamaged` if one of them is not completely stored."""
    # 1. Which stored rows each node is made of: rows [first, last) of one tile level.
    rows = {node: (node[0] // TILE_HEIGHT, node[1] << node[0] % TILE_HEIGHT) for node in wanted}
    spans = {node: (first, first + (1 << node[0] % TILE_HEIGHT)) for node, (_, first) in rows.items()}
    # 2. One query per tile level.
    by_level: dict[int, list[Node]] = defaultdict(list)
    for node, (level, _) in rows.items():
        by_level[level].append(node)
    stored: dict[Node, bytes] = {}
    for level, nodes in by_level.items():
        at, value = (log_nodes.c.idx, log_nodes.c.hash) if level else (log_entries.c.idx, log_entries.c.leaf_hash)
        query = select(at, value).where(or_(*(and_(at >= a, at < b) for a, b in (spans[node] for node in nodes))))
        for idx, value_read in connection.execute(query.where(log_nodes.c.level == level) if level else query):
            stored[level, idx] = value_read
    # 3. Put the nodes together.
    try:
        return {node: root_of(stored[level, idx] for idx in range(*spans[node])) for node, (level, _) in rows.items()}
    except KeyError:
        raise LogDamaged("the log lacks a part of its tree; check it with fsck") from None


def frontier_at(connection: Connection, size: int) -> Frontier:
    """The right edge that the stored tree had at `size` leaves. Raises `LogDamaged`."""
    peaks = cover((0, size))
    nodes = read_nodes(connection, peaks)
    return Frontier(size, (nodes[peak] for peak in peaks))


def read_head(connection: Connection, key: LogKey) -> tuple[Checkpoint, str, Frontier]:
    """The log's newest checkpoint, verified against the key and the stored tree. Raises `LogDamaged`."""
    head = latest_note(connection)
    if head is None:
        raise LogDamaged("the log has no checkpoint")
    size, note = head
    # 1. The checkpoint is of this log and signed by its key.
    try:
        checkpoint = verify_checkpoint(note, key)
    except CheckpointInvalid as error:
        raise LogDamaged(f"the log's head does not verify with the key of {key.name}: {error}") from error
    # 2. It covers exactly the entries that there are.
    last = connection.execute(select(func.max(log_entries.c.idx))).scalar()
    if not checkpoint.size == size == (0 if last is None else last + 1):
        raise LogDamaged("the log's newest checkpoint does not cover its entries")
    # 3. Its root is the root of the stored tree.
    frontier = frontier_at(connection, size)
    if frontier.root() != checkpoint.root:
        raise LogDamaged("the log's newest checkpoint does not match its tree")
    return checkpoint, note, frontier
