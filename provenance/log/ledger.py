"""The append-only log in the database: records entries with group commit, and answers with proofs.

Concurrent callers share commits: the first becomes the leader and writes for all who queued behind it, one transaction
and one signed checkpoint for the group; whoever queued meanwhile forms the next group. An entry is recorded when its
transaction is on disk; no receipt exists before that.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update
from sqlalchemy import Engine as Database
from sqlalchemy.exc import OperationalError
from sqlalchemy.types import NullType

from provenance.errors import AlreadyRecorded, LedgerUnavailable
from provenance.log.checkpoints import CheckpointSigner
from provenance.log.entries import SALT_BYTES, Entry, EntryInvalid
from provenance.log.merkle import Frontier, Node, consistency_ranges, cover, inclusion_ranges, leaf_hash, prove
from provenance.log.openings import Openings
from provenance.log.receipts import Receipt
from provenance.log.tables import (
    LogDamaged,
    create_tables,
    frontier_at,
    latest_note,
    log_checkpoints,
    log_entries,
    log_nodes,
    log_openings,
    read_head,
    read_nodes,
    translated,
    write_transaction,
)
from provenance.log.tiles import TILE_HEIGHT

MAX_GROUP = 256  # entries in one commit: past about 100 a larger group is no faster (reference/performance.md, 5)

LINGER_SECONDS = 0.003  # how long a leader waits for as many as came last time; alone, he does not wait

Alongside = Callable[[Connection], None]


_RECORDED = select(log_entries.c.request_id).where(log_entries.c.request_id.in_(bindparam("wanted", expanding=True)))
# Bytes go to the driver as they are: wrapping each one, as LargeBinary does, took a tenth of the writer's time.
_INSERT_ENTRY = insert(log_entries).values(
    leaf_hash=bindparam("leaf_hash", type_=NullType()), leaf=bindparam("leaf", type_=NullType())
)
_INSERT_OPENING = insert(log_openings).values(salt=bindparam("salt", type_=NullType()))


@dataclass(frozen=True, slots=True)
class Recorded:
    """One entry as it stands in the log."""

    index: int
    request_id: str
    leaf: bytes


@dataclass(frozen=True, slots=True)
class _Head:
    """Where the log stood when this process last saw it."""

    note: str
    frontier: Frontier


def _held_lock() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


@dataclass(eq=False, slots=True)
class _Ticket:
    """One caller's place in the queue. `woken` is released when it is served, or when it is its turn to lead."""

    request_id: str
    leaf: bytes
    opening: bytes | None
    alongside: Alongside | None
    woken: threading.Lock = field(default_factory=_held_lock)
    index: int = -1
    committed: "tuple[str, int, Mapping[Node, bytes]] | None" = None
    error: BaseException | None = None


class Ledger:
    """The log of one gateway. Safe to use from many threads, and from many processes on one database."""

    def __init__(
        self,
        database: Database,
        signer: CheckpointSigner,
        openings: Openings | None = None,
        *,
        wait_seconds: float = 5.0,
    ) -> None:
        """Opens the log, creating it (with a checkpoint of the empty tree) if the database has none.

        `openings`: keeps the salts; without it no entry with commitments is recorded. Salts that an earlier version
        stored in the clear are sealed now. `wait_seconds`: how long to wait for another writer. Raises `LogDamaged` if
        the stored head does not verify under `signer`'s name and key, `LedgerUnavailable` if the database does not
        answer.
        """
        self._database = database
        self._signer = signer
        self._openings = openings
        self._wait_seconds = wait_seconds
        self._mutex = threading.Lock()
        self._arrived = threading.Condition(self._mutex)
        self._lingers = False
        self._expected = 1  # callers at work when the last group was written; as many are likely to come again
        self._queue: list[_Ticket] = []
        self._led = False
        with translated():
            create_tables(database, wait_seconds)
            with write_transaction(database, wait_seconds) as connection:
                if latest_note(connection) is None:
                    empty = Frontier()
                    connection.execute(insert(log_checkpoints), [{"size": 0, "note": signer.sign(0, empty.root())}])
                _, note, frontier = read_head(connection, signer.key)
                if openings is not None:
                    _seal_bare_salts(connection, openings)
        self._head = _Head(note, frontier)

    @property
    def vkey(self) -> str:
        """The log's public key, with which receipts are checked."""
        return self._signer.key.vkey

    def record(self, entry: Entry, alongside: Alongside | None = None, *, salt: bytes | None = None) -> Receipt:
        """Appends `entry` durably and returns its receipt.

        `alongside`: the caller's own writes, committed with the entry or not at all. They run on whichever thread leads
        the group, in a savepoint, and must neither commit nor roll back. What they raise reaches this caller only, and
        his entry is not recorded (`OperationalError` as `LedgerUnavailable`). `salt`: what the entry's commitments were
        made with; kept until `erase_opening`, needed if there are commitments.
        Raises `AlreadyRecorded`, `EntryInvalid`, or `LedgerUnavailable`. After the last, the entry can be in the log
        only if the connection broke during the commit itself: `receipt_for` tells, and recording it again is safe.
        """
        if bool(entry.commitments) != (salt is not None) or (salt is not None and len(salt) != SALT_BYTES):
            raise EntryInvalid(f"commitments come with the {SALT_BYTES}-byte salt they were made with, and only they")
        opening = None
        if salt is not None:
            if self._openings is None:
                raise EntryInvalid("this log was opened without the key that keeps salts: it takes no commitments")
            opening = self._openings.seal(entry.request_id, salt)
        ticket = _Ticket(entry.request_id, entry.leaf(), opening, alongside)
        with self._mutex:
            self._queue.append(ticket)
            leads, self._led = not self._led, True
            if self._lingers and len(self._queue) >= self._expected:
                self._arrived.notify()
        if not leads:
            ticket.woken.acquire()
        if ticket.committed is None and ticket.error is None:
            self._lead()
        if ticket.error is not None:
            raise ticket.error
        assert ticket.committed is not None  # `_lead` serves every ticket one way or the other
        note, size, nodes = ticket.committed
        proof = prove(inclusion_ranges(ticket.index, size), nodes)
        return Receipt(ticket.request_id, ticket.index, ticket.leaf, proof, note)

    def receipt_for(self, request_id: str) -> Receipt | None:
        """A receipt against the newest checkpoint, or None if no entry has this request id."""
        with translated(), self._database.connect() as connection:
            row = connection.execute(
                select(log_entries.c.idx, log_entries.c.leaf).where(log_entries.c.request_id == request_id)
            ).first()
            if row is None:
                return None
            size, note = self._newest(connection)
            ranges = inclusion_ranges(row.idx, size)
            nodes = read_nodes(connection, {node for each in ranges for node in cover(each)})
            return Receipt(request_id, row.idx, row.leaf, prove(ranges, nodes), note)

    def consistency_proof(self, old: int, new: int) -> tuple[bytes, ...]:
        """Proof that the log of `new` entries begins with the log of `old`. 1 <= old <= new <= size, or ValueError."""
        with translated(), self._database.connect() as connection:
            if new > self._newest(connection)[0]:
                raise ValueError(f"the log does not have {new} entries yet")
            ranges = consistency_ranges(old, new)
            return prove(ranges, read_nodes(connection, {node for each in ranges for node in cover(each)}))

    def entry_by_index(self, index: int) -> Recorded | None:
        """The entry at `index`, or None past the end."""
        return next(iter(self.entries(since=index, limit=1)), None)

    def entries(self, since: int = 0, limit: int = 100) -> tuple[Recorded, ...]:
        """At most `limit` entries in log order, from index `since` on."""
        columns = select(log_entries.c.idx, log_entries.c.request_id, log_entries.c.leaf)
        page = columns.where(log_entries.c.idx >= since).order_by(log_entries.c.idx).limit(limit)
        with translated(), self._database.connect() as connection:
            return tuple(Recorded(*row) for row in connection.execute(page))

    def latest_checkpoint(self) -> str:
        """The newest signed checkpoint."""
        with translated(), self._database.connect() as connection:
            return self._newest(connection)[1]

    @property
    def size(self) -> int:
        """Number of entries."""
        with translated(), self._database.connect() as connection:
            return self._newest(connection)[0]

    def opening(self, request_id: str) -> bytes | None:
        """The salt of an entry's commitments, or None if it has none or it was erased. Raises `OpeningUnreadable`."""
        if self._openings is None:
            return None
        query = select(log_openings.c.salt).where(log_openings.c.request_id == request_id)
        with translated(), self._database.connect() as connection:
            stored: bytes | None = connection.execute(query).scalar()
        return None if stored is None else self._openings.open(request_id, stored)

    def _newest(self, connection: Connection) -> tuple[int, str]:
        newest = latest_note(connection)
        if newest is None:
            raise LogDamaged("the log has no checkpoint")
        return newest

    def _lead(self) -> None:
        """Writes one group, wakes its members, and hands the lead to the first who queued meanwhile."""
        group: list[_Ticket] = []
        try:
            with self._mutex:
                self._lingers = True
                self._arrived.wait_for(lambda: len(self._queue) >= self._expected, LINGER_SECONDS)
                self._lingers = False
                group, self._queue = self._queue[:MAX_GROUP], self._queue[MAX_GROUP:]
            with translated():
                self._write(group)
        except LedgerUnavailable as error:
            for ticket in group:
                ticket.error = _again(error)
        except BaseException:
            for ticket in group:
                ticket.error = LedgerUnavailable("the log's writer was interrupted")
            raise
        finally:
            with self._mutex:
                self._expected = min(len(group) + len(self._queue), MAX_GROUP)
                successors = self._queue[:1]
                self._led = bool(successors)
            for ticket in (*group[1:], *successors):
                ticket.woken.release()

    def _write(self, group: Sequence[_Ticket]) -> None:
        """One transaction and one checkpoint for a group of tickets; each leaves with `committed` or `error` set."""
        # 1. Become the only writer.
        with write_transaction(self._database, self._wait_seconds) as connection:
            # 2. Continue where the log stands.
            head = self._resume(connection)
            # 3. Refuse what is recorded already; let each other caller write his own: whoever fails drops out alone.
            fresh = [ticket for ticket in _unrecorded(connection, group) if _write_alongside(connection, ticket)]
            # 4. Append the leaves and the tile hashes they complete.
            frontier = head.frontier.copy()
            nodes = frontier.nodes()
            rows = [_append(frontier, nodes, ticket) for ticket in fresh]
            if rows:
                connection.execute(_INSERT_ENTRY, rows)
            if tiles := [_tile_row(node, value) for node, value in nodes.items() if _stored(node, head.frontier.size)]:
                connection.execute(insert(log_nodes), tiles)
            if salts := [{"request_id": each.request_id, "salt": each.opening} for each in fresh if each.opening]:
                connection.execute(_INSERT_OPENING, salts)
            # 5. Sign one checkpoint for all of them. If the commit fails, nobody has seen it.
            note = head.note
            if rows:
                note = self._signer.sign(frontier.size, frontier.root())
                connection.execute(insert(log_checkpoints), [{"size": frontier.size, "note": note}])
            # 6. Commit, on leaving the block.
        # 7. Only what is on disk has happened.
        self._head = _Head(note, frontier)
        for ticket in fresh:
            ticket.committed = (note, frontier.size, nodes)

    def _resume(self, connection: Connection) -> _Head:
        """The head to append to: the one remembered, or, if another process wrote, theirs after checking it."""
        size, note = self._newest(connection)
        if note == self._head.note:
            return self._head
        if size <= self._head.frontier.size:
            raise LogDamaged("the log has lost or changed entries since this process wrote them; check it with fsck")
        _, note, frontier = read_head(connection, self._signer.key)
        if frontier_at(connection, self._head.frontier.size).root() != self._head.frontier.root():
            raise LogDamaged("the log no longer begins with what this process wrote; check it with fsck")
        return _Head(note, frontier)


def _seal_bare_salts(connection: Connection, openings: Openings) -> None:
    """Seals what an earlier version kept in the clear; on SQLite what is overwritten is gone (`secure_delete`)."""
    table = log_openings.c
    bare = select(table.request_id, table.salt).where(func.length(table.salt) == SALT_BYTES)
    rows = connection.execute(bare).all()
    if rows:
        sealing = update(log_openings).where(table.request_id == bindparam("entry")).values(salt=bindparam("sealed"))
        connection.execute(
            sealing, [{"entry": row.request_id, "sealed": openings.seal(row.request_id, row.salt)} for row in rows]
        )


def erase_opening(connection: Connection, request_id: str) -> bool:
    """Deletes an entry's salt, so that its commitments mean nothing to anyone; True if there was one.

    To be called in the `alongside` of the entry that records the erasure. SQLite overwrites the row; older copies
    leave its write-ahead log with its next checkpoint, PostgreSQL's tables with the next VACUUM, backups not at all.
    """
    return bool(connection.execute(delete(log_openings).where(log_openings.c.request_id == request_id)).rowcount)


def _unrecorded(connection: Connection, group: Sequence[_Ticket]) -> Iterator[_Ticket]:
    wanted = [ticket.request_id for ticket in group]
    seen = set(connection.execute(_RECORDED, {"wanted": wanted}).scalars())
    for ticket in group:
        if ticket.request_id in seen:
            ticket.error = AlreadyRecorded(f"request {ticket.request_id} is in the log already")
            continue
        yield ticket
        if ticket.error is None:
            seen.add(ticket.request_id)


def _write_alongside(connection: Connection, ticket: _Ticket) -> bool:
    """Runs the caller's own writes in a savepoint; False if they failed and were taken back."""
    if ticket.alongside is None:
        return True
    savepoint = connection.begin_nested()
    try:
        ticket.alongside(connection)
    except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to that caller
        savepoint.rollback()  # raises, and ends the group, if the database gave up the whole transaction
        ticket.error = error
        if isinstance(error, OperationalError):
            ticket.error = LedgerUnavailable("the log's database failed in the caller's own writes")
            ticket.error.__cause__ = error.orig
        return False
    savepoint.commit()
    return True


def _append(frontier: Frontier, nodes: dict[Node, bytes], ticket: _Ticket) -> dict[str, Any]:
    """Adds a ticket's leaf to the tree and returns its row; `nodes` gains the nodes that it completes."""
    ticket.index, hashed = frontier.size, leaf_hash(ticket.leaf)
    nodes.update(frontier.append(hashed))
    return {"idx": ticket.index, "request_id": ticket.request_id, "leaf_hash": hashed, "leaf": ticket.leaf}


def _stored(node: Node, old_size: int) -> bool:
    """True for a node of a stored level that was not complete in the tree of `old_size` leaves."""
    level, index = node
    return level > 0 and level % TILE_HEIGHT == 0 and (index + 1) << level > old_size


def _tile_row(node: Node, value: bytes) -> dict[str, Any]:
    return {"level": node[0] // TILE_HEIGHT, "idx": node[1], "hash": value}


def _again(error: LedgerUnavailable) -> LedgerUnavailable:
    """The same failure as a new exception, for one caller of many."""
    failure = type(error)(*error.args)
    failure.__cause__ = error.__cause__
    return failure
