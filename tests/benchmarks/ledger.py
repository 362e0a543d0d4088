"""Durable appends and full verification of the log, beside bare SQLite in the same run.

    python -m tests.benchmarks.ledger [--entries 6400] [--rounds 7] [--writers 64] [--verify 100000] [--json]

Contestants take turns in every round, on the same entries, in the same folder, with the same durability (WAL,
synchronous=FULL: on disk before the caller goes on). Ratios count; absolute figures belong to the machine.

- `ledger`: `Ledger.record` from many threads: tree, signed checkpoint and receipt with proof included.
- `single`: one thread, sqlite3, one INSERT and one COMMIT for each entry. No tree, no signature.
- `batch`: one thread, sqlite3, 100 entries to a COMMIT. No tree, no signature: the floor.
"""

import argparse
import json
import sqlite3
import statistics
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine, create_engine

from policies.findings import Stage
from policies.verdicts import Reason, Verdict
from provenance.log.checkpoints import CheckpointSigner
from provenance.log.entries import Entry, EntryKind, commit
from provenance.log.export import export
from provenance.log.fsck import fsck
from provenance.log.ledger import Ledger
from provenance.log.openings import Openings

SALT = bytes(32)
BATCH = 100


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--entries", type=int, default=6400, help="entries for each contestant in a round")
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--writers", type=int, default=64, help="threads that record at once")
    arguments.add_argument("--verify", type=int, default=100_000, help="entries in the log that fsck reads")
    arguments.add_argument("--json", action="store_true")
    chosen = arguments.parse_args()
    entries = [an_entry(number) for number in range(chosen.entries)]
    rates: dict[str, list[float]] = {"ledger": [], "single": [], "batch": []}
    latencies: list[float] = []
    with tempfile.TemporaryDirectory(prefix="fluxgate-ledger-") as folder:
        for turn in range(chosen.rounds):
            place = Path(folder) / str(turn)
            place.mkdir()
            engine, ledger = open_ledger(place / "ledger.db")
            rate, waits = append(ledger, entries, chosen.writers)
            engine.dispose()
            rates["ledger"].append(rate)
            latencies += waits
            rates["single"].append(insert(place / "single.db", entries, 1))
            rates["batch"].append(insert(place / "batch.db", entries, BATCH))
        figures: dict[str, float] = {
            f"{name} entries/s": round(statistics.median(each)) for name, each in rates.items()
        }
        figures["ledger p99 ms"] = round(1000 * statistics.quantiles(latencies, n=100)[98], 2)
        figures["ledger / single"] = _ratio(rates["ledger"], rates["single"])
        figures["ledger / batch"] = _ratio(rates["ledger"], rates["batch"])
        figures |= verification(Path(folder), chosen.verify, chosen.writers)
    if chosen.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:32} {value:>12,}")


def an_entry(number: int) -> Entry:
    """A delivered image's entry, about 1 kB, of the shape that the gateway records."""
    reason = Reason("demo.violence", "violence", Stage.PROMPT, Verdict.FLAG, "prompt_terms", "1.0", 0.5, 0.4)
    return Entry(
        request_id=f"req_{number:020}",
        outcome=EntryKind.DELIVERED,
        time=datetime.now(UTC),
        dialect="native",
        stage="recorded",
        policy="demo",
        policy_digest="sha256:" + "a" * 64,
        verdict=Verdict.FLAG,
        reasons=(reason,),
        model_id="flux-demo",
        weights_digest="sha256:" + "b" * 64,
        output_sha256=f"{number:064x}",
        pdq=f"{number:064x}",
        commitments={"prompt": commit(SALT, "prompt", b"%d" % number)},
    )


def open_ledger(path: Path) -> tuple[Engine, Ledger]:
    """A new log in a new SQLite file."""
    engine = create_engine(f"sqlite:///{path}")
    return engine, Ledger(
        engine, CheckpointSigner("bench.example/log", Ed25519PrivateKey.generate()), Openings(bytes(32))
    )


def append(ledger: Ledger, entries: list[Entry], writers: int) -> tuple[float, list[float]]:
    """Entries a second through the ledger, and how long each caller waited, in seconds."""
    latencies: list[float] = []

    def write(number: int) -> None:
        for entry in entries[number::writers]:
            asked = time.perf_counter()
            ledger.record(entry, salt=SALT)
            latencies.append(time.perf_counter() - asked)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(writers)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started
    assert len(latencies) == len(entries)
    return len(entries) / seconds, latencies


def insert(path: Path, entries: list[Entry], group: int) -> float:
    """Entries a second through bare sqlite3, `group` to a commit."""
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("CREATE TABLE entries (idx INTEGER PRIMARY KEY, request_id TEXT UNIQUE NOT NULL, leaf BLOB)")
    started = time.perf_counter()
    for first in range(0, len(entries), group):
        rows = [(first + at, each.request_id, each.leaf()) for at, each in enumerate(entries[first : first + group])]
        database.execute("BEGIN IMMEDIATE")
        database.executemany("INSERT INTO entries VALUES (?, ?, ?)", rows)
        database.execute("COMMIT")
    seconds = time.perf_counter() - started
    database.close()
    return len(entries) / seconds


def verification(folder: Path, size: int, writers: int) -> dict[str, float]:
    """How fast a whole log of `size` entries is checked, in its database and as exported files."""
    engine, ledger = open_ledger(folder / "verify.db")
    append(ledger, [an_entry(number) for number in range(size)], writers)
    export(engine, folder / "exported", ledger.vkey)
    reports = {"database": fsck(engine, ledger.vkey), "folder": fsck(folder / "exported", ledger.vkey)}
    assert all(report.intact and report.size == size for report in reports.values())
    engine.dispose()
    return {f"fsck {name} entries/s": round(size / report.seconds) for name, report in reports.items()}


def _ratio(ours: list[float], theirs: list[float]) -> float:
    """Median of the rounds' ratios: contestants of one round met the same weather."""
    return round(statistics.median(our / their for our, their in zip(ours, theirs, strict=True)), 2)


if __name__ == "__main__":
    main()
