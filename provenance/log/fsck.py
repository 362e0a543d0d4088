"""Checks a whole log, in its database or in an exported folder, by deriving everything again. Reports, never repairs.

 1. Read the key, and the checkpoints that the caller has kept from before.
 2. Every entry: in its place, in canonical form, its request id unique, its stored hash its own.
 3. Every stored hash of the tree above: equal to the derived one, none missing, none too many.
 4. Every stored checkpoint: signed by the key, its root the derived root at its size. So each extends the one before.
 5. The newest checkpoint: covers all entries, no fewer and no more.
 6. Every kept checkpoint: in the log's past. A larger one means that the log was set back.
 7. In a database, every opening: of an entry with commitments, readable, and missing only where an entry says `erased`.

An intact log with a good signature still says only what its operator wrote, in which order. That nothing was cut off
its end can be shown only against a checkpoint or receipt kept elsewhere.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Connection, Table, select, type_coerce
from sqlalchemy import Engine as Database
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.types import NullType

from provenance.log.checkpoints import CheckpointInvalid, LogKey, parse_vkey, verify_checkpoint
from provenance.log.entries import EntryInvalid, EntryKind, read_leaf
from provenance.log.merkle import HASH_BYTES, Frontier, Node, leaf_hash
from provenance.log.openings import Openings, OpeningUnreadable, is_sealed
from provenance.log.tables import log_checkpoints, log_entries, log_nodes, log_openings, read_transaction
from provenance.log.tiles import (
    TILE_HEIGHT,
    TILE_WIDTH,
    TileInvalid,
    bundle_path,
    levels,
    read_bundle,
    tile_path,
    tiles_at,
)

MAX_FAULTS_PER_CODE = 20  # one cut can spoil everything after it; more of the same are only counted
_PAGE = 2048


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong. `code`: a stable word. `place`: which entry, node, checkpoint or file."""

    code: str
    place: str
    detail: str


@dataclass(frozen=True, slots=True)
class FsckReport:
    """What was checked and what was found. `root`: hex, as derived from the entries."""

    size: int
    root: str
    checkpoints: int
    faults: tuple[Fault, ...]
    seconds: float

    @property
    def intact(self) -> bool:
        """True if nothing was found."""
        return not self.faults


def fsck(source: Database | Path, vkey: str, kept: Iterable[str] = (), openings: Openings | None = None) -> FsckReport:
    """Checks the log in a database or in an exported folder.

    `kept`: signed checkpoints known from elsewhere (a receipt's `checkpoint`, an old export's file). `openings`: reads
    the salts of commitments; without it, it is only checked that they are there. Takes about 250 bytes of memory for
    each entry. Raises `LogKeyInvalid` if `vkey` is no key; all else is a fault in the report.
    """
    started = time.perf_counter()
    # 1. Read the key and the kept checkpoints.
    audit = _Audit(parse_vkey(vkey))
    for number, note in enumerate(kept):
        audit.keep(f"kept checkpoint {number}", note)
    try:
        if isinstance(source, Database):
            with read_transaction(source) as connection:
                _check_database(audit, connection)
                _check_openings(audit, connection, openings)
        else:
            _check_folder(audit, source)
    except (SQLAlchemyError, OSError) as error:
        audit.fault("unreadable", "storage", type(error).__name__)
    audit.finish()
    seconds = time.perf_counter() - started
    return FsckReport(audit.tree.size, audit.tree.root().hex(), audit.checkpoints, audit.found(), seconds)


class _Audit:
    """The tree as derived so far, and what was found on the way."""

    def __init__(self, key: LogKey) -> None:
        self.key = key
        self.tree = Frontier()
        self.derived: dict[Node, bytes] = {}  # the nodes that are stored, by (tile level, index), from level 1 up
        self.checkpoints = 0
        self._newest: int | None = None
        self.committed: set[str] = set()  # request ids of entries with commitments
        self.erased: set[str] = set()  # and of those whose opening an entry says is deleted
        self._request_ids: set[str] = set()
        self._kept: dict[int, list[tuple[str, bytes]]] = defaultdict(list)
        self._faults: list[Fault] = []
        self._counts: Counter[str] = Counter()

    def fault(self, code: str, place: str, detail: str) -> None:
        self._counts[code] += 1
        if self._counts[code] <= MAX_FAULTS_PER_CODE:
            self._faults.append(Fault(code, place, detail))

    def found(self) -> tuple[Fault, ...]:
        more = ((code, count - MAX_FAULTS_PER_CODE) for code, count in self._counts.items())
        return (*self._faults, *(Fault(code, "elsewhere", f"{count} more") for code, count in more if count > 0))

    def keep(self, place: str, note: str) -> None:
        try:
            checkpoint = verify_checkpoint(note, self.key)
        except CheckpointInvalid as error:
            self.fault("kept_checkpoint_invalid", place, str(error))
        else:
            self._kept[checkpoint.size].append((place, checkpoint.root))

    def entry(self, leaf: Any, stored: Any, request_id: Any = None) -> None:
        """Step 2 for the next entry in order, and its place in the tree. `request_id`: where it is stored beside."""
        index = self.tree.size
        if type(leaf) is not bytes or leaf_hash(leaf) != stored:
            self.fault("leaf_altered", f"entry {index}", "the entry does not have the hash that is stored with it")
        try:
            entry = read_leaf(leaf)
        except EntryInvalid:
            self.fault("leaf_not_canonical", f"entry {index}", "the entry is not canonical JSON of a known schema")
        else:
            said = entry["request_id"]
            if entry.get("commitments"):
                self.committed.add(said)
            if entry.get("outcome") == EntryKind.ERASED and isinstance(entry.get("about"), str):
                self.erased.add(entry["about"])
            if request_id is not None and said != request_id:
                self.fault("request_id_altered", f"entry {index}", "the stored request id is not the entry's")
            if said in self._request_ids:
                self.fault("request_id_repeated", f"entry {index}", "an earlier entry has the same request id")
            self._request_ids.add(said)
        # The tree goes on with the stored hash, so that one altered entry is reported as one.
        if type(stored) is not bytes or len(stored) != HASH_BYTES:
            stored = b"\x00" * HASH_BYTES
        for (level, index), value in self.tree.append(stored)[TILE_HEIGHT::TILE_HEIGHT]:
            self.derived[level // TILE_HEIGHT, index] = value
        if self._kept and self.tree.size in self._kept:
            self._check_kept()

    def checkpoint(self, place: str, note: Any, size: int | None = None) -> None:
        """Step 4 for a checkpoint of the tree as it is now. `size`: where it is stored beside."""
        self.checkpoints += 1
        self._newest = self.tree.size
        try:
            checkpoint = verify_checkpoint(str(note), self.key)
        except CheckpointInvalid as error:
            self.fault("checkpoint_invalid", place, str(error))
            return
        if size is not None and checkpoint.size != size:
            self.fault("checkpoint_misplaced", place, f"the checkpoint is of size {checkpoint.size}")
        elif checkpoint.size != self.tree.size:
            self.fault("entries_lost", place, f"the checkpoint covers {checkpoint.size} entries, not {self.tree.size}")
        elif checkpoint.root != self.tree.root():
            self.fault("root_differs", place, "the entries do not have the root that was signed")

    def finish(self) -> None:
        # 5. The newest checkpoint covers everything.
        if self._newest is None:
            self.fault("no_checkpoint", "log", "there is no checkpoint")
        elif self._newest < self.tree.size:
            self.fault("entries_unsigned", "log", f"{self.tree.size - self._newest} entries lie past every checkpoint")
        # 6. What is left of the kept checkpoints is newer than the log.
        if 0 in self._kept:
            del self._kept[0]
        for size, kept in self._kept.items():
            for place, _ in kept:
                self.fault("log_set_back", place, f"it covers {size} entries, the log has {self.tree.size}")

    def _check_kept(self) -> None:
        for place, root in self._kept.pop(self.tree.size):
            if root != self.tree.root():
                self.fault("log_rewritten", place, f"the first {self.tree.size} entries are not the ones it covers")


def _check_database(audit: _Audit, connection: Connection) -> None:
    checkpoints = _rows(connection, log_checkpoints, log_checkpoints.c.size, log_checkpoints.c.note)
    size, note = next(checkpoints, (None, None))
    if size == 0:
        audit.checkpoint("checkpoint 0", note, size)
        size, note = next(checkpoints, (None, None))
    # 2. Every entry; 4. every checkpoint, as soon as its size is reached.
    columns = log_entries.c
    for idx, request_id, stored, leaf in _rows(
        connection, log_entries, columns.idx, columns.request_id, columns.leaf_hash, columns.leaf
    ):
        if idx != audit.tree.size:
            audit.fault("entry_missing", f"entry {audit.tree.size}", f"in its place stands entry {idx}")
        audit.entry(leaf, stored, request_id)
        if size == audit.tree.size:
            audit.checkpoint(f"checkpoint {size}", note, size)
            size, note = next(checkpoints, (None, None))
    while size is not None:
        audit.checkpoint(f"checkpoint {size}", note, size)
        size, note = next(checkpoints, (None, None))
    # 3. Every stored node.
    nodes = connection.execute(select(log_nodes.c.level, log_nodes.c.idx, type_coerce(log_nodes.c.hash, NullType())))
    missing = set(audit.derived)
    for level, index, stored in nodes:
        missing.discard((level, index))
        if (level, index) not in audit.derived:
            audit.fault("node_unknown", f"node {level}/{index}", "the tree has no such node")
        elif audit.derived[level, index] != stored:
            audit.fault("node_altered", f"node {level}/{index}", "the stored hash is not the derived one")
    for level, index in sorted(missing):
        audit.fault("node_missing", f"node {level}/{index}", "the tree's hash is not stored")


def _check_openings(audit: _Audit, connection: Connection, openings: Openings | None) -> None:
    missing = audit.committed - audit.erased
    query = select(log_openings.c.request_id, type_coerce(log_openings.c.salt, NullType()))
    for request_id, stored in connection.execute(query):
        place = f"opening of {request_id}"
        missing.discard(request_id)
        if request_id not in audit.committed:
            audit.fault("opening_unknown", place, "no entry of this request has commitments")
        elif request_id in audit.erased:
            audit.fault("opening_kept", place, "an entry says that it was erased")
        elif openings is not None and (type(stored) is not bytes or is_sealed(stored)):
            try:
                openings.open(request_id, bytes(stored))
            except (OpeningUnreadable, TypeError):
                audit.fault("opening_unreadable", place, "it was changed, or its key is another")
    for request_id in sorted(missing):
        audit.fault("opening_missing", f"opening of {request_id}", "it is gone, and no entry says that it was erased")


def _rows(connection: Connection, table: Table, key: Column[Any], *others: Column[Any]) -> Iterator[Any]:
    """All rows by ascending integer key, in pages; values as the driver gives them, whatever they have become."""
    query = select(key, *(type_coerce(column, NullType()) for column in others)).order_by(key).limit(_PAGE)
    page = connection.execute(query).all()
    while page:
        yield from page
        page = connection.execute(query.where(key > page[-1][0])).all()


def _check_folder(audit: _Audit, folder: Path) -> None:
    note = _read(audit, folder, "checkpoint").decode(errors="replace")
    try:
        size = verify_checkpoint(note, audit.key).size
    except CheckpointInvalid:
        size = 0  # said again, as a fault, by `audit.checkpoint`
    if _read(audit, folder, "vkey").decode(errors="replace") != f"{audit.key.vkey}\n":
        audit.fault("key_differs", "vkey", "the folder names another key than the one it is checked with")
    needed = {"checkpoint": "checkpoint", "vkey": "vkey"}  # file without its width → the file that must be there
    # 2. Every entry, against the hashes of tile level 0.
    for index, width in tiles_at(0, size):
        bundled, tiled = bundle_path(index, width), tile_path(0, index, width)
        needed |= {bundle_path(index): bundled, tile_path(0, index): tiled}
        hashes = _read(audit, folder, tiled)
        try:
            leaves = read_bundle(_read(audit, folder, bundled), width)
        except TileInvalid as error:
            audit.fault("bundle_malformed", bundled, str(error))
            leaves = [b""] * width
        if len(hashes) != width * HASH_BYTES:
            audit.fault("tile_malformed", tiled, f"the tile does not hold {width} hashes")
        for at, leaf in enumerate(leaves):
            audit.entry(leaf, hashes[at * HASH_BYTES : (at + 1) * HASH_BYTES])
    # 3. Every tile above.
    for level in levels(size)[1:]:
        for index, width in tiles_at(level, size):
            tiled = tile_path(level, index, width)
            needed[tile_path(level, index)] = tiled
            derived = (audit.derived[level, index * TILE_WIDTH + at] for at in range(width))
            if _read(audit, folder, tiled) != b"".join(derived):
                audit.fault("tile_altered", tiled, "the tile does not hold the derived hashes")
    # 4. The one checkpoint.
    audit.checkpoint("checkpoint", note)
    # Whatever else lies there: older partial tiles may, if they say the same; nothing signed vouches for the rest.
    required = set(needed.values())
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        if name not in required and not _older_partial(folder, name, needed):
            audit.fault("file_unsigned", name, "no checkpoint covers this file; remove it or export again")


def _older_partial(folder: Path, name: str, needed: dict[str, str]) -> bool:
    """True for a partial tile or bundle with the beginning of the wider one that is needed now."""
    stem, _, width = name.rpartition(".p/")
    wider = folder / needed.get(stem, "")
    if not width.isdecimal() or not wider.is_file():
        return False
    content = (folder / name).read_bytes()
    if not wider.read_bytes().startswith(content):
        return False
    if not name.startswith("tile/entries/"):
        return len(content) == int(width) * HASH_BYTES
    try:
        return bool(read_bundle(content, int(width)))
    except TileInvalid:
        return False


def _read(audit: _Audit, folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        audit.fault("file_unreadable", name, type(error).__name__)
        return b""
