"""What was acknowledged is in the log, whole, whatever happened to the process, the disk or the other writer."""

import os
import random
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import OperationalError

from provenance.errors import LedgerUnavailable
from provenance.log.fsck import fsck
from provenance.log.ledger import Ledger
from provenance.log.receipts import Receipt, verify_receipt
from provenance.log.tables import read_transaction
from tests.faults.writing_process import OPENINGS, SALT, SIGNER, an_entry

VKEY = SIGNER.key.vkey
ROOT = Path(__file__).resolve().parents[2]
SECONDS_OF_KILLING = 8
POSTGRESQL = "postgresql+psycopg://postgres@127.0.0.1:5432/test"


@dataclass(frozen=True)
class Database:
    """Where writing processes write: the same place, seen from here and told to them."""

    engine: Engine
    url: str
    options: str


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path) -> Iterator[Database]:
    url = f"sqlite:///{tmp_path / 'log.db'}" if request.param == "sqlite" else POSTGRESQL
    schema = f"log_{secrets.token_hex(6)}"
    options = "" if request.param == "sqlite" else f"-csearch_path={schema}"
    engine = create_engine(url, connect_args={"options": options, "connect_timeout": 3} if options else {})
    if options:
        try:
            with engine.begin() as connection:
                connection.exec_driver_sql(f"CREATE SCHEMA {schema}")
        except OperationalError:
            pytest.skip("PostgreSQL is not reachable at 127.0.0.1:5432")
    Ledger(engine, SIGNER, OPENINGS)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE pictures (request_id VARCHAR(64) PRIMARY KEY)"))
    yield Database(engine, url, options)
    if options:
        with engine.begin() as connection:
            connection.exec_driver_sql(f"DROP SCHEMA {schema} CASCADE")
    engine.dispose()


def start(database: Database, name: str, threads: int, acknowledged: Path) -> subprocess.Popen:
    script = Path(__file__).with_name("writing_process.py")
    with acknowledged.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, script, database.url, database.options, name, str(threads)],
            stdout=output,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )


def wait_for(acknowledged: Path, size: int) -> None:
    deadline = time.monotonic() + 30
    while acknowledged.stat().st_size <= size:
        assert time.monotonic() < deadline, "the writing process wrote nothing"
        time.sleep(0.005)


def receipts_in(acknowledged: Path) -> list[Receipt]:
    lines = acknowledged.read_bytes().split(b"\n")
    lines.pop()  # the last one was cut by the kill, or is empty
    return [Receipt.from_json(line) for line in lines if line.endswith(b"}") and line.startswith(b"{")]


def check(database: Database, receipts: list[Receipt]) -> None:
    """The log is whole, and so is every acknowledged entry with its picture, salt and proof."""
    report = fsck(database.engine, VKEY, {receipt.checkpoint for receipt in receipts})
    assert report.intact, report.faults
    with read_transaction(database.engine) as connection:  # a killed client's server may just be committing
        stored = dict(connection.execute(text("SELECT request_id, idx FROM log_entries")).all())
        pictures = set(connection.execute(text("SELECT request_id FROM pictures")).scalars())
        openings = set(connection.execute(text("SELECT request_id FROM log_openings")).scalars())
    assert set(stored) == pictures == openings
    for receipt in receipts:
        verify_receipt(receipt, VKEY)
        assert stored[receipt.request_id] == receipt.index


def test_everything_acknowledged_survives_kill_9_at_any_moment(database, tmp_path):
    acknowledged, rounds, until = tmp_path / "receipts", 0, time.monotonic() + SECONDS_OF_KILLING
    acknowledged.touch()
    while time.monotonic() < until:
        process = start(database, f"round{rounds}", 4, acknowledged)
        try:
            wait_for(acknowledged, acknowledged.stat().st_size)
            time.sleep(random.uniform(0, 0.1))
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        with acknowledged.open("ab") as output:
            output.write(b"\n")  # ends a line that the kill cut
        check(database, receipts_in(acknowledged))
        rounds += 1
    receipts = receipts_in(acknowledged)
    assert rounds >= 2
    assert receipts
    last = Ledger(database.engine, SIGNER, OPENINGS).record(an_entry("afterwards"), salt=SALT)
    assert last.index >= len(receipts)


def test_two_processes_writing_at_once_make_one_order(database, tmp_path):
    outputs = [tmp_path / "one", tmp_path / "two"]
    processes = []
    try:
        for output in outputs:
            output.touch()
            processes.append(start(database, output.name, 4, output))
        for output in outputs:
            wait_for(output, 0)
        time.sleep(1)
    finally:
        for process in processes:
            process.kill()
            process.wait()
    receipts = [receipts_in(output) for output in outputs]
    assert all(receipts)
    indices = [receipt.index for each in receipts for receipt in each]
    assert len(set(indices)) == len(indices)
    check(database, [receipt for each in receipts for receipt in each])


def test_a_full_disk_is_reported_by_name_and_leaves_nothing_half_written(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path / 'log.db'}")
    ledger = Ledger(engine, SIGNER, OPENINGS)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE pictures (request_id TEXT)"))

    def fill(connection):
        # The smallest disk that holds what is there and a little more.
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 8}")

    receipts = [ledger.record(an_entry("first"), fill, salt=SALT)]
    with pytest.raises(LedgerUnavailable):  # noqa: PT012 - which one no longer fits is the database's affair
        for number in range(1000):
            picture = text("INSERT INTO pictures VALUES (:id)").bindparams(id=f"req_{number}")
            receipts.append(
                ledger.record(an_entry(f"req_{number}"), lambda c, picture=picture: c.execute(picture), salt=SALT)
            )
    with pytest.raises(LedgerUnavailable):
        ledger.record(an_entry("still_full"), salt=SALT)
    report = fsck(engine, VKEY, [receipt.checkpoint for receipt in receipts])
    assert report.intact, report.faults
    assert report.size == len(receipts)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM pictures")).scalar() == len(receipts) - 1
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
    assert ledger.record(an_entry("space_again"), salt=SALT).index == len(receipts)


@pytest.mark.skipif(not Path("/proc/mounts").exists() or os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_really_full_file_system_is_reported_by_name_and_leaves_nothing_half_written(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here")
    engine = create_engine(f"sqlite:///{disk / 'log.db'}")
    try:
        ledger, receipts = Ledger(engine, SIGNER, OPENINGS), []
        with pytest.raises(LedgerUnavailable):  # noqa: PT012 - see above
            for number in range(10_000):
                receipts.append(ledger.record(an_entry(f"req_{number}"), salt=SALT))
        report = fsck(engine, VKEY, [receipt.checkpoint for receipt in receipts])
        assert report.intact, report.faults
        assert report.size == len(receipts) > 0
        for receipt in receipts:
            verify_receipt(receipt, VKEY)
    finally:
        engine.dispose()
        subprocess.run(["umount", disk], check=True)


@pytest.mark.skipif(os.name != "posix", reason="needs a folder without write permission")
def test_a_log_whose_folder_is_gone_is_reported_by_name(tmp_path):
    place = tmp_path / "data"
    place.mkdir()
    engine = create_engine(f"sqlite:///{place / 'log.db'}")
    ledger = Ledger(engine, SIGNER, OPENINGS)
    engine.dispose()
    place.rename(tmp_path / "elsewhere")
    with pytest.raises(LedgerUnavailable):
        ledger.record(an_entry("req"), salt=SALT)
    (tmp_path / "elsewhere").rename(place)
    assert ledger.record(an_entry("req"), salt=SALT).index == 0
