"""A server is killed in the middle of a generation: its successor ends every job, once, and the log verifies."""

import hashlib
import io
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from gateway.auth.key_store import KeyStore
from gateway.settings import load_settings
from gateway.store.data_folder import open_data_folder
from provenance.log.fsck import fsck
from tests.walk import independent, switched_parts
from tests.walk.house import HARMLESS, SIZE
from tests.walk.server_process import Server, serving, wait_until

QUICK_LEASE = {"lease_seconds": 1.5}  # 15 s in service


@pytest.fixture(scope="module")
def parts_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    return switched_parts.install(tmp_path_factory.mktemp("fault-parts") / "site")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def caller(data: Path) -> Iterator[httpx.Client]:
    folder = open_data_folder(data, load_settings(data, environ={}))
    key = KeyStore(folder.database, folder.pepper).create("acme")[1]
    folder.database.dispose()
    with httpx.Client(headers={"Authorization": f"Bearer {key}"}, timeout=30) as client:
        yield client


def slow(data: Path, step_seconds: float) -> dict[str, Any]:
    """Settings of a server whose engine takes its time."""
    parts = {
        "switched_flux": {"step_seconds": step_seconds},
        "switched_signer": {
            "chain_path": str(data / "keys" / "signing-chain.pem"),
            "key_path": str(data / "keys" / "signing.key"),
        },
    }
    return {"parts": parts}


def start(caller: httpx.Client, server: Server, steps: int = 30, **wish: Any) -> str:
    body = {"prompt": HARMLESS, "width": SIZE, "height": SIZE, "steps": steps} | wish
    started = caller.post(f"{server.url}/api/v1/model/generateImage", json=body)
    assert started.status_code == 200, started.text
    return str(started.json()["id"])


def view(caller: httpx.Client, server: Server, prediction: str) -> dict[str, Any]:
    got = caller.get(f"{server.url}/api/v1/model/prediction/{prediction}")
    assert got.status_code == 200, got.text
    seen: dict[str, Any] = got.json()
    return seen


def in_the_middle(caller: httpx.Client, server: Server, prediction: str) -> None:
    """Returns once some of its steps are done, and not all."""
    seen = wait_until(lambda: (v := view(caller, server, prediction))["progress"]["steps_done"] >= 2 and v, 60)
    assert seen["status"] == "processing"


def ended(caller: httpx.Client, server: Server, prediction: str, seconds: float = 60) -> dict[str, Any]:
    seen: dict[str, Any] = wait_until(
        lambda: (v := view(caller, server, prediction))["status"] != "processing" and v, seconds
    )
    return seen


def checked_log(data: Path, prediction: str) -> dict[str, Any]:
    """The one entry of a prediction, in a log that both implementations find intact."""
    vkey = (data / "keys" / "log.vkey").read_text().strip()
    (entry,) = (e for e in independent.check_whole_log(data / "fluxgate.db", vkey) if e["request_id"] == prediction)
    folder = open_data_folder(data, load_settings(data, environ={}))
    report = fsck(folder.engine_for_log, vkey)
    folder.database.dispose()
    assert report.intact, report.faults
    return entry


def test_one_killed_once_is_finished_and_one_killed_twice_fails_by_name(
    data: Path, parts_path: str, caller: httpx.Client
) -> None:
    with serving(data, parts_path=parts_path, test=QUICK_LEASE, **slow(data, 0.3)) as first:
        twice = start(caller, first)
        in_the_middle(caller, first, twice)
        first.kill()
    with serving(data, parts_path=parts_path, test=QUICK_LEASE, **slow(data, 0.3)) as second:
        in_the_middle(caller, second, twice)
        once = start(caller, second)  # accepted, and waiting for the engine
        second.kill()
    with serving(data, parts_path=parts_path, test=QUICK_LEASE) as third:
        failed = ended(caller, third, twice)
        finished = ended(caller, third, once)
        picture = httpx.get(finished["outputs"][0])
    assert (failed["status"], failed["error_details"]["code"]) == ("failed", "interrupted")
    assert checked_log(data, twice)["failure"] == "interrupted"
    assert finished["status"] == "completed"
    entry = checked_log(data, once)
    assert (entry["outcome"], entry["output_sha256"]) == ("delivered", hashlib.sha256(picture.content).hexdigest())
    with sqlite3.connect(data / "fluxgate.db") as connection:
        ended_as = connection.execute('select id, state, "order", lease_until, attempt from jobs').fetchall()
        (entries,) = connection.execute("select count(*) from log_entries").fetchone()
    assert sorted(ended_as) == sorted([(twice, "failed", None, None, 3), (once, "delivered", None, None, 2)])
    assert entries == 2


def test_two_servers_draw_equal_pixels_write_one_log_and_finish_what_they_accepted_when_told_to_stop(
    data: Path, parts_path: str, caller: httpx.Client
) -> None:
    """The watermark leaves red as the engine drew it, so the red of two deliveries can be compared."""
    with (
        serving(data, parts_path=parts_path) as one,
        serving(data, parts_path=parts_path, **slow(data, 0.1)) as other,
    ):
        reds = []
        for server in (one, other, one):
            prediction = start(caller, server, steps=4, seed=23)
            picture = httpx.get(ended(caller, server, prediction)["outputs"][0]).content
            reds.append(np.asarray(Image.open(io.BytesIO(picture)))[..., 0])
        assert np.array_equal(reds[0], reds[1])
        assert np.array_equal(reds[0], reds[2])
        crossed = caller.post(f"{other.url}/v1/verify", files={"file": ("a.png", picture)})
        assert crossed.json()["verdict"] == "ours_intact"
        both = [start(caller, server, steps=1) for server in (one, other) for _ in range(5)]
        last = start(caller, other, steps=12)
        in_the_middle(caller, other, last)
        assert other.stop() in (0, -signal.SIGTERM)  # uvicorn shuts down, then ends by the signal it was sent
        for prediction in both:
            assert view(caller, one, prediction)["status"] == "completed"
        assert checked_log(data, last)["outcome"] == "delivered"
    with sqlite3.connect(data / "fluxgate.db") as connection:
        assert connection.execute("select distinct state, attempt from jobs").fetchall() == [("delivered", 1)]
        assert connection.execute("select count(*) from log_entries").fetchone() == (len(both) + 4,)
