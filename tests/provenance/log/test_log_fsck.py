"""fsck and export: an intact log passes in both forms; whatever was changed, cut off or put back is reported."""

import secrets
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, text

from provenance.errors import LedgerUnavailable
from provenance.log.checkpoints import CheckpointSigner, verify_checkpoint
from provenance.log.export import ExportRefused, export
from provenance.log.fsck import fsck
from provenance.log.ledger import Ledger
from provenance.log.tiles import bundle_path, read_bundle, tile_path
from tests.provenance.log.entries_made import an_entry

SIGNER = CheckpointSigner("gateway.example/log", Ed25519PrivateKey.from_private_bytes(bytes(32)))
VKEY = SIGNER.key.vkey
SIZE = 530  # two full tiles and a partial one


@dataclass(frozen=True)
class Scene:
    """An intact log with `SIZE` entries: its file, its exported folder, and every checkpoint it signed."""

    database: Path
    folder: Path
    notes: tuple[str, ...]


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    place = tmp_path_factory.mktemp("intact")
    engine = create_engine(f"sqlite:///{place / 'log.db'}")
    ledger = Ledger(engine, SIGNER)
    notes = tuple(ledger.record(an_entry(number)).checkpoint for number in range(SIZE))
    export(engine, place / "exported", VKEY)
    with engine.begin() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    engine.dispose()
    return Scene(place / "log.db", place / "exported", notes)


@pytest.fixture
def database(intact, tmp_path):
    """A copy to be spoilt."""
    return Path(shutil.copy(intact.database, tmp_path / "log.db"))


def codes(source, kept=()):
    if not isinstance(source, Path) or source.is_dir():
        return {fault.code for fault in fsck(source, VKEY, kept).faults}
    engine = create_engine(f"sqlite:///{source}")
    try:
        return {fault.code for fault in fsck(engine, VKEY, kept).faults}
    finally:
        engine.dispose()


def spoil(database, *statements):
    connection = sqlite3.connect(database, isolation_level=None)
    for statement in statements:
        connection.execute(*statement) if isinstance(statement, tuple) else connection.execute(statement)
    connection.close()


def test_an_intact_log_passes_in_both_forms_with_every_checkpoint_it_ever_signed(intact):
    assert codes(intact.database, intact.notes) == set()
    assert codes(intact.folder, intact.notes) == set()


def test_fsck_on_either_database_finds_the_size_and_root_that_were_signed(engine, signer, tmp_path):
    ledger = Ledger(engine, signer)
    for number in range(300):
        ledger.record(an_entry(number))
    head = export(engine, tmp_path / "log", ledger.vkey)
    for source in (engine, tmp_path / "log"):
        report = fsck(source, ledger.vkey)
        assert report.intact, report.faults
        assert (report.size, report.root) == (300, head.root.hex())
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM log_nodes"))
        connection.execute(text("UPDATE log_entries SET leaf = leaf_hash WHERE idx = 7"))
    assert {fault.code for fault in fsck(engine, ledger.vkey).faults} == {
        "node_missing",
        "leaf_altered",
        "leaf_not_canonical",
    }


def test_an_empty_log_passes_in_both_forms(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path / 'log.db'}")
    Ledger(engine, SIGNER)
    export(engine, tmp_path / "log", VKEY)
    assert fsck(engine, VKEY).intact
    assert fsck(tmp_path / "log", VKEY).intact


CELLS = [
    *(("log_entries", column, "idx") for column in ("idx", "request_id", "leaf_hash", "leaf")),
    *(("log_nodes", column, "idx") for column in ("level", "idx", "hash")),
    *(("log_checkpoints", column, "size") for column in ("size", "note")),
]


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_flipped_bit_in_any_cell_of_the_database_is_reported(intact, tmp_path, data):
    database = Path(shutil.copy(intact.database, tmp_path / f"{secrets.token_hex(8)}.db"))
    table, column, key = data.draw(st.sampled_from(CELLS))
    connection = sqlite3.connect(database, isolation_level=None)
    keys = [row[0] for row in connection.execute(f"SELECT {key} FROM {table} ORDER BY {key}")]
    row = data.draw(st.sampled_from(keys))
    (value,) = connection.execute(f"SELECT {column} FROM {table} WHERE {key} = ?", (row,)).fetchone()
    if isinstance(value, int):
        changed = value ^ 1 << data.draw(st.integers(10, 40))  # past the neighbours, whose key is taken
    else:
        raw = bytearray(value.encode() if isinstance(value, str) else value)
        position = data.draw(st.integers(0, len(raw) * 8 - 1))
        raw[position // 8] ^= 1 << position % 8
        changed = bytes(raw) if isinstance(value, bytes) else raw.decode(errors="replace")
    try:
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE {key} = ?", (changed, row))
    except sqlite3.IntegrityError:
        assume(False)  # one bit away lies another row's id: the database itself refuses that change
    connection.close()
    assert codes(database)


@given(st.data())
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_flipped_bit_in_any_exported_file_is_reported(intact, data):
    files = sorted(path for path in intact.folder.rglob("*") if path.is_file())
    path = data.draw(st.sampled_from(files))
    whole = path.read_bytes()
    position = data.draw(st.integers(0, len(whole) * 8 - 1))
    changed = bytearray(whole)
    changed[position // 8] ^= 1 << position % 8
    path.write_bytes(changed)
    try:
        assert codes(intact.folder)
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("DELETE FROM log_entries WHERE idx = 100", "entry_missing"),
        ("DELETE FROM log_entries WHERE idx >= 500", "entries_lost"),
        ("DELETE FROM log_checkpoints WHERE size > 500", "entries_unsigned"),
        ("DELETE FROM log_checkpoints", "no_checkpoint"),
        ("DELETE FROM log_nodes WHERE idx = 1", "node_missing"),
        ("INSERT INTO log_nodes VALUES (1, 2, x'00')", "node_unknown"),
        ("UPDATE log_nodes SET hash = x'00' WHERE idx = 0", "node_altered"),
        ("UPDATE log_entries SET request_id = 'req_x' WHERE idx = 4", "request_id_altered"),
        ("UPDATE log_entries SET leaf = CAST('{}' AS BLOB) WHERE idx = 4", "leaf_altered"),
        ("UPDATE log_entries SET leaf = 17 WHERE idx = 4", "leaf_not_canonical"),
        ("UPDATE log_checkpoints SET note = '' WHERE size = 4", "checkpoint_invalid"),
        ("UPDATE log_checkpoints SET size = 1000 WHERE size = 4", "checkpoint_misplaced"),
        ("DROP TABLE log_entries", "unreadable"),
    ],
)
def test_each_damage_has_its_name(database, statement, code):
    spoil(database, statement)
    assert code in codes(database)


def test_one_changed_entry_is_reported_as_one(database):
    spoil(database, "UPDATE log_entries SET leaf = CAST(replace(leaf, 'native', 'openai') AS BLOB) WHERE idx = 4")
    assert codes(database) == {"leaf_altered"}


def test_a_log_cut_back_cleanly_is_reported_only_against_what_was_kept_elsewhere(database, intact):
    spoil(
        database,
        "DELETE FROM log_entries WHERE idx >= 520",
        "DELETE FROM log_checkpoints WHERE size > 520",
    )
    assert codes(database) == set()  # by itself it is a valid, older log
    assert codes(database, [intact.notes[-1]]) == {"log_set_back"}
    assert codes(database, [intact.notes[519]]) == set()


def test_a_log_written_anew_with_the_right_key_is_reported_against_what_was_kept(tmp_path, intact):
    engine = create_engine(f"sqlite:///{tmp_path / 'forged.db'}")
    forged = Ledger(engine, SIGNER)
    for number in range(SIZE):
        forged.record(an_entry(number, dialect="forged"))
    assert fsck(engine, VKEY).intact
    assert codes(engine, [intact.notes[100]]) == {"log_rewritten"}
    assert codes(engine, ["no checkpoint"]) == {"kept_checkpoint_invalid"}


def test_a_log_of_another_key_is_reported_at_every_checkpoint_but_briefly(intact):
    other = CheckpointSigner(SIGNER.key.name, Ed25519PrivateKey.generate())
    engine = create_engine(f"sqlite:///{intact.database}")
    faults = fsck(engine, other.key.vkey).faults
    assert {fault.code for fault in faults} == {"checkpoint_invalid"}
    assert faults[-1].detail == f"{SIZE + 1 - 20} more"
    engine.dispose()


def test_files_missing_or_left_over_in_an_export_are_reported(intact, tmp_path):
    folder = Path(shutil.copytree(intact.folder, tmp_path / "copy"))
    (folder / tile_path(0, 1)).unlink()
    assert "file_unreadable" in codes(folder)
    shutil.copy(intact.folder / tile_path(0, 1), folder / tile_path(0, 1))
    assert codes(folder) == set()
    (folder / "tile" / "0" / "007").write_bytes(b"x" * 32)
    assert codes(folder) == {"file_unsigned"}
    (tmp_path / "empty").mkdir()
    assert codes(tmp_path / "empty") == {"file_unreadable", "checkpoint_invalid", "key_differs"}


def test_older_partial_tiles_may_stay_in_an_export_if_they_say_the_same(intact, tmp_path):
    folder = Path(shutil.copytree(intact.folder, tmp_path / "copy"))
    wide = (folder / tile_path(0, 2, 18)).read_bytes()
    older = folder / tile_path(0, 2, 5)
    older.write_bytes(wide[: 5 * 32])
    assert codes(folder) == set()
    older.write_bytes(wide[1 : 5 * 32 + 1])
    assert codes(folder) == {"file_unsigned"}


def test_an_export_is_a_tlog_tiles_folder(intact):
    leaves = read_bundle((intact.folder / bundle_path(2, SIZE - 512)).read_bytes(), SIZE - 512)
    assert leaves[-1] == an_entry(SIZE - 1).leaf()
    assert len((intact.folder / tile_path(0, 0)).read_bytes()) == 8192
    assert len((intact.folder / tile_path(1, 0, 2)).read_bytes()) == 64
    assert verify_checkpoint((intact.folder / "checkpoint").read_text(), SIGNER.key).size == SIZE
    assert (intact.folder / "vkey").read_text().strip() == VKEY


def test_a_second_export_adds_what_is_new_and_leaves_whole_tiles_alone(tmp_path):
    engine, folder = create_engine(f"sqlite:///{tmp_path / 'log.db'}"), tmp_path / "log"
    ledger = Ledger(engine, SIGNER)
    kept = []
    for until in (3, 256, 257, 300, 300, 513):
        for number in range(ledger.size, until):
            ledger.record(an_entry(number))
        whole = folder / tile_path(0, 0)
        before = whole.stat().st_mtime_ns if whole.exists() else None
        export(engine, folder, VKEY)
        kept.append((folder / "checkpoint").read_text())
        assert fsck(folder, VKEY, kept).intact
        assert before is None or whole.stat().st_mtime_ns == before
    assert not (folder / "tile/0/000.p").exists()
    assert not list(folder.rglob("*.new"))


def test_an_export_is_not_written_over_a_newer_or_another_log(intact, database, tmp_path):
    folder = Path(shutil.copytree(intact.folder, tmp_path / "copy"))
    spoil(
        database,
        "DELETE FROM log_entries WHERE idx >= 520",
        "DELETE FROM log_checkpoints WHERE size > 520",
    )
    older = create_engine(f"sqlite:///{database}")
    with pytest.raises(ExportRefused, match="does not continue"):
        export(older, folder, VKEY)
    other = create_engine(f"sqlite:///{tmp_path / 'other.db'}")
    stranger = CheckpointSigner("other.example/log", Ed25519PrivateKey.generate())
    Ledger(other, stranger)
    with pytest.raises(ExportRefused, match="another log"):
        export(other, folder, stranger.key.vkey)
    with pytest.raises(LedgerUnavailable):
        export(older, tmp_path / "fresh", stranger.key.vkey)
    assert codes(folder) == set()
