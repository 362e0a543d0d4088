"""Writes the log as a tlog-tiles folder (c2sp.org/tlog-tiles), so that anyone can check it from its own files.

    checkpoint   vkey   tile/<level>/<n>[.p/<width>]   tile/entries/<n>[.p/<width>]

Whole tiles and bundles never change, so a second export writes only what is new. Every file appears whole (temporary
file, fsync, rename), the checkpoint last: whoever reads the folder at any moment finds all that its checkpoint covers.
"""

import os
import shutil
from pathlib import Path

from sqlalchemy import Connection, select
from sqlalchemy import Engine as Database

from provenance.errors import ProvenanceError
from provenance.log.checkpoints import Checkpoint, CheckpointInvalid, parse_vkey, verify_checkpoint
from provenance.log.tables import frontier_at, log_entries, log_nodes, read_head, read_transaction, translated
from provenance.log.tiles import TILE_WIDTH, bundle, bundle_path, levels, tile_path, tiles_at


class ExportRefused(ProvenanceError):
    """The folder holds something that this log must not be written over."""


def export(database: Database, folder: Path, vkey: str) -> Checkpoint:
    """Brings `folder` up to the log's head and returns that checkpoint.

    Raises `ExportRefused` if the folder holds another log, a newer state of this one (the database was set back) or
    one that this log did not grow from; `LedgerUnavailable` if the database fails or its head does not verify;
    `OSError` if the folder cannot be written, which leaves its last export whole.
    """
    key = parse_vkey(vkey)
    with translated(), read_transaction(database) as connection:
        # 1. What the log says now, and whether it continues what the folder says.
        head, note, _ = read_head(connection, key)
        published = folder / "checkpoint"
        if published.exists():
            try:
                before = verify_checkpoint(published.read_text("utf-8"), key)
            except (CheckpointInvalid, UnicodeDecodeError) as error:
                raise ExportRefused(
                    f"{folder} holds another log, or a damaged one; export into a new folder"
                ) from error
            if before.size > head.size or frontier_at(connection, before.size).root() != before.root:
                raise ExportRefused(f"{folder} holds a log of {before.size} entries that this log does not continue")
        # 2. Entry bundles and hash tiles, those that are not there yet.
        for index, width in tiles_at(0, head.size):
            if not (folder / tile_path(0, index)).exists():  # written after its bundle, so it vouches for both
                leaves, hashes = _entries(connection, index * TILE_WIDTH, width)
                _place(folder / bundle_path(index, width), bundle(leaves))
                _place(folder / tile_path(0, index, width), b"".join(hashes))
        for level in levels(head.size)[1:]:
            for index, width in tiles_at(level, head.size):
                if not (folder / tile_path(level, index)).exists():
                    _place(folder / tile_path(level, index, width), _nodes(connection, level, index, width))
    # 3. The key; when all of it is on disk the checkpoint, which makes it valid.
    _place(folder / "vkey", f"{vkey}\n".encode())
    for directory in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        _sync(directory)
    _place(published, note.encode())
    _sync(folder)
    # 4. Partial tiles that are whole now are no longer needed.
    for partial in (folder / "tile").rglob("*.p"):
        if partial.with_suffix("").exists():
            shutil.rmtree(partial)
    return head


def _entries(connection: Connection, first: int, width: int) -> tuple[list[bytes], list[bytes]]:
    at = log_entries.c.idx
    query = select(log_entries.c.leaf, log_entries.c.leaf_hash).where(at >= first, at < first + width).order_by(at)
    rows = connection.execute(query).all()
    return [row.leaf for row in rows], [row.leaf_hash for row in rows]


def _nodes(connection: Connection, level: int, index: int, width: int) -> bytes:
    at, first = log_nodes.c.idx, index * TILE_WIDTH
    query = select(log_nodes.c.hash).where(log_nodes.c.level == level, at >= first, at < first + width).order_by(at)
    return b"".join(connection.execute(query).scalars())


def _place(path: Path, content: bytes) -> None:
    """Writes a file so that it is either not there or there whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".new")
    with unfinished.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def _sync(directory: Path) -> None:
    """Makes the renames in a directory survive a power cut."""
    if os.name == "posix":  # elsewhere a directory cannot be synced
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
