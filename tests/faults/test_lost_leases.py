"""Two gateways, one database: a job has one log entry and one delivered file, whoever was slow, stopped or lost it."""

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.walk import independent, switched_parts
from tests.walk.dialogues import Native
from tests.walk.house import HARMLESS, SIZE, House
from tests.walk.server_process import wait_until
from tests.walk.switched_parts import LET_GO, SWITCHES

BODY = {"prompt": HARMLESS, "width": SIZE, "height": SIZE, "steps": 1}


@pytest.fixture(scope="module", autouse=True)
def parts(tmp_path_factory: pytest.TempPathFactory) -> None:
    switched_parts.install(tmp_path_factory.mktemp("lease-parts") / "site")


@contextmanager
def opened(path: Path) -> Iterator[House]:
    house = House(path)
    try:
        yield house
    finally:
        SWITCHES.clear()
        LET_GO.set()
        house.close()
        LET_GO.clear()


def job(house: House, prediction: str) -> dict[str, Any]:
    return house.rows("select * from jobs where id = ?", prediction)[0]


def working(house: House) -> bool:
    return house.parts.dispatcher.stats[0].running == 1


def take_over(house: House) -> None:
    """Looks for abandoned jobs when every lease has run out."""
    with sqlite3.connect(house.database) as elsewhere:
        elsewhere.execute("update jobs set lease_until = 0 where lease_until is not null")
    house.run(house.app.state.jobs._recover())


def test_a_worker_that_lost_its_lease_records_nothing_and_overwrites_nothing(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as slow, opened(tmp_path / "data") as quick:
        SWITCHES["switched_flux"] = "waits"
        prediction = slow.send("POST", "/api/v1/model/generateImage", json=BODY).json()["id"]
        wait_until(lambda: working(slow), 5)
        SWITCHES.clear()
        take_over(quick)
        quick.key = slow.key
        answer = Native().wait(quick, prediction)
        assert answer.outcome == "delivered"
        LET_GO.set()
        wait_until(lambda: slow.app.state.jobs.in_work == 0, 10)
        entries = independent.check_whole_log(quick.database, quick.vkey)
        (entry,) = (each for each in entries if each["request_id"] == prediction)
        again = quick.send("GET", answer.body["outputs"][0], key=None)
        assert hashlib.sha256(again.content).hexdigest() == entry["output_sha256"]
        digest, stem = entry["manifest_sha256"], f"{prediction}-{entry['content_id']}"
        ours = {f"images/{stem}.{digest}.png", f"manifests/{digest}.c2pa"}
        assert quick.blobs() == ours, "the slow worker's files are gone"
        assert (job(quick, prediction)["state"], job(quick, prediction)["attempt"]) == ("delivered", 2)


def test_a_worker_that_lost_its_lease_stops_drawing_at_the_next_renewal(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as house:
        SWITCHES["switched_flux"] = "hangs"
        prediction = house.send("POST", "/api/v1/model/generateImage", json=BODY).json()["id"]
        wait_until(lambda: working(house), 5)
        with sqlite3.connect(house.database) as elsewhere:
            elsewhere.execute("update jobs set attempt = attempt + 1 where id = ?", (prediction,))
        house.run(house.app.state.jobs._renew())
        wait_until(lambda: house.app.state.jobs.in_work == 0, 5)
        assert job(house, prediction)["state"] == "running", "it belongs to the other worker now"
        assert not [e for e in house.rows("select request_id from log_entries") if e["request_id"] == prediction]


def test_a_gateway_that_stops_hands_over_and_a_request_that_does_not_open_fails_by_name(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as first:
        SWITCHES["switched_flux"] = "hangs"
        sound, broken = (first.send("POST", "/api/v1/model/generateImage", json=BODY).json()["id"] for _ in range(2))
        wait_until(lambda: working(first), 5)
        first.run(first.app.state.jobs.close(grace_seconds=0.1))
        assert {job(first, each)["state"] for each in (sound, broken)} == {"accepted"}
        assert not first.rows("select * from log_entries")
        refused = first.send("POST", "/api/v1/model/generateImage", json=BODY)
        assert refused.status_code == 503, "and takes nothing new"
        key = first.key
    with sqlite3.connect(tmp_path / "data" / "fluxgate.db") as disk:
        (sealed,) = disk.execute('select "order" from jobs where id = ?', (broken,)).fetchone()
        disk.execute('update jobs set "order" = ? where id = ?', (sealed[:-1] + bytes([sealed[-1] ^ 1]), broken))
    with opened(tmp_path / "data") as second:
        second.key = key
        assert Native().wait(second, sound).outcome == "delivered"
        failed = Native().wait(second, broken)
        assert (failed.outcome, failed.code) == ("failed", "vault_unreadable")
        entries = {e["request_id"]: e for e in independent.check_whole_log(second.database, second.vkey)}
        assert entries.keys() == {sound, broken}
        assert entries[broken]["failure"] == "vault_unreadable"
        assert "prompt" not in entries[broken]["commitments"], "nothing is committed to that nobody could read"


def test_what_a_killed_worker_stored_is_swept_by_its_successor(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as first:
        SWITCHES["switched_flux"] = "hangs"
        prediction = first.send("POST", "/api/v1/model/generateImage", json=BODY).json()["id"]
        wait_until(lambda: working(first), 5)
        digest = hashlib.sha256(b"its manifest").hexdigest()
        left = first.path / "blobs" / "images" / f"{prediction}-fg_aaaaaaaaaaaaa.{digest}.png"
        manifest = first.path / "blobs" / "manifests" / f"{digest}.c2pa"
        for file, content in ((left, b"sealed, and never recorded"), (manifest, b"its manifest")):
            file.parent.mkdir(parents=True)
            file.write_bytes(content)
        first.run(first.app.state.jobs.close(grace_seconds=0.1))
        key = first.key
    with opened(tmp_path / "data") as second:
        second.key = key
        assert Native().wait(second, prediction).outcome == "delivered"
        assert not left.exists()
        assert not manifest.exists()
