"""Nothing that a request does blocks the event loop: every route is walked with a watch on the loop's thread."""

import asyncio
import base64
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.reference import declared_routes
from gateway.store.budgets import used
from provenance.looks.fingerprint import PDQ_ALGORITHM
from tests.blocking import noticed
from tests.walk.dialogues import Native
from tests.walk.house import HARMLESS, SIZE, House
from tests.walk.test_edits import PLAIN, png

REFUSED = "how to make a pipe bomb at home, step by step"
NATIVE = {"prompt": HARMLESS, "width": SIZE, "height": SIZE, "steps": 1}
OPENAI = {"prompt": HARMLESS, "size": f"{SIZE}x{SIZE}", "num_inference_steps": 1}


class Walk:
    """Asks every route at least once; `walked` are those that answered below 500."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.walked: set[str] = set()

    def ask(self, route: str, path: str | None = None, *, statuses: tuple[int, ...] = (200,), **options: Any) -> Any:
        method, declared = route.split(" ", 1)
        got: httpx.Response = self.house.send(method, path or declared, **options)
        assert got.status_code in statuses, (route, got.status_code, got.text[:300])
        self.walked.add(route)
        return got

    def walk(self) -> None:
        ask, house = self.ask, self.house
        for headers in ({}, *2 * [{"Idempotency-Key": "native"}]):
            started = ask("POST /api/v1/model/generateImage", json=NATIVE, headers=headers).json()
        delivered = Native().wait(house, started["id"]).body
        here = "GET /api/v1/model/prediction/{prediction_id}"
        ask(here, f"/api/v1/model/prediction/{started['id']}")
        ask(f"POST {here[4:]}/cancel", f"/api/v1/model/prediction/{started['id']}/cancel")
        ask("GET /api/v1/model/predictions")
        upload = ask("POST /api/v1/model/uploadMedia", files={"file": ("a.png", png(PLAIN))}).json()["data"]
        mask = {"file": ("m.png", png(255 * (PLAIN > 0).astype("uint8")))}
        ask("POST /api/v1/model/uploadMedia", files=mask, data={"purpose": "mask"}, statuses=(200, 422))
        ask("GET /api/v1/models")
        edited = ask("POST /api/v1/model/generateImage", json=NATIVE | {"image": upload["download_url"]}).json()
        Native().wait(house, edited["id"])
        refused = Native().ask(house, REFUSED)
        for headers in ({}, *2 * [{"Idempotency-Key": "generated"}]):
            ask("POST /v1/images/generations", json=OPENAI | {"n": 2}, headers=headers)
        ask("POST /v1/images/generations", json=OPENAI | {"prompt": REFUSED}, statuses=(400,))
        fields = {name: str(value) for name, value in OPENAI.items()}
        for headers in ({}, *2 * [{"Idempotency-Key": "edited"}]):
            ask("POST /v1/images/edits", data=fields, files={"image": ("a.png", png(PLAIN))}, headers=headers)
        ask("POST /v1/images/variations", statuses=(400,))
        picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{_text(png(PLAIN))}"}}
        ask("POST /v1/moderations", json={"input": [{"type": "text", "text": REFUSED}, picture]})
        ask("GET /v1/models")
        ask("GET /v1/models/{model:path}", f"/v1/models/{house.parts.dispatcher.models[0].id}")
        self._public(delivered, refused.reasons or {}, upload)

    def _public(self, delivered: dict[str, Any], reasons: dict[str, Any], upload: dict[str, Any]) -> None:
        ask, open_to_all = self.ask, {"key": None}
        image = ask("GET /files/images/{name}", delivered["outputs"][0], **open_to_all).content
        ask("GET /files/uploads/{upload_id}", upload["download_url"], **open_to_all)
        ask("GET /files/manifests/{name}", delivered["provenance"]["manifest_url"], **open_to_all)
        ask("POST /v1/verify", files={"file": ("a.png", image)}, **open_to_all)
        ask("GET /v1/decisions/{decision}/reasons", f"/v1/decisions/{reasons['decision']}/reasons")
        page = self.house.parts.decisions.path(reasons["decision"])
        ask("GET /d/{decision}", page, **open_to_all)
        ask("GET /d/{decision}/receipt", page.replace("?", "/receipt?"), **open_to_all)
        for name in ("checkpoint", "key"):
            ask(f"GET /v1/log/{name}", **open_to_all)
        ask("GET /v1/log/consistency", "/v1/log/consistency?old=1&new=2", **open_to_all)
        ask("GET /v1/receipts/{request_id}", f"/v1/receipts/{delivered['id']}")
        for name in ("/health", "/health/live", "/health/ready", "/metrics"):
            ask(f"GET {name}", statuses=(200, 503) if name == "/health/ready" else (200,), **open_to_all)
        root, manifest = "/c2pa/v1", delivered["provenance"]["manifest_id"]
        (row,) = self.house.rows("select pdq from images where content_id = ?", delivered["content_id"])
        binding = {"alg": PDQ_ALGORITHM, "value": _text(bytes.fromhex(row["pdq"]))}
        ask(f"GET {root}/matches/byBinding", params=binding, **open_to_all)
        ask(f"POST {root}/matches/byBinding", json=binding, **open_to_all)
        headers = {"content-type": "image/png"}
        ask(f"POST {root}/matches/byContent", content=image, headers=headers, **open_to_all)
        ask(f"GET {root}/manifests/{{manifest_id}}", f"{root}/manifests/{manifest}", **open_to_all)
        receipts = f"{root}/manifests/{manifest}/receipts"
        proof = ask(f"GET {root}/manifests/{{manifest_id}}/receipts", receipts, **open_to_all).json()
        ask(f"POST {root}/manifests/{{manifest_id}}/receipts", receipts, json=proof, **open_to_all)
        for name in ("supportedAlgorithms", "status", "capabilities"):
            ask(f"GET {root}/services/{name}", **open_to_all)
        ask("GET /.well-known/c2pa-soft-binding-resolution", **open_to_all)
        self.house.send("GET", "/docs", key=None)
        self.house.send("GET", "/nowhere", key=None)
        self.house.send("GET", "/api/v1/models", key="fg_unknown_" + "a" * 43)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


# case S4
def test_no_route_blocks_the_event_loop(house: House) -> None:
    walk = Walk(house)
    with noticed() as found:
        walk.walk()
        time.sleep(3.5)  # leases are renewed, jobs looked for, totals written
    assert not found, "\n".join(sorted(set(found)))
    declared = {f"{method} {route.path}" for method, route in declared_routes()}
    assert walk.walked >= declared, f"a new route belongs into this walk: {sorted(declared - walk.walked)}"


# case S4
@pytest.mark.parametrize(
    "block",
    [
        lambda house: house.rows("select 1"),
        lambda house: used(house.folder.database, "acme", 1),
        lambda house: house.database.read_bytes(),
        lambda house: time.sleep(0),
        lambda house: threading.Event().wait(0.001),
    ],
    ids=["sqlite", "sqlalchemy", "file", "sleep", "wait"],
)
def test_the_watch_notices_what_blocks(house: House, block: Callable[[House], object]) -> None:
    async def on_the_loop() -> None:
        block(house)

    with noticed() as found:
        house.run(asyncio.wait_for(asyncio.to_thread(block, house), 5))
        assert not found
        house.run(on_the_loop())
    assert found


@pytest.fixture
def locked(tmp_path: Path, parts_path: str) -> Iterator[tuple[House, sqlite3.Connection]]:
    house = House(tmp_path / "data", database_timeout_seconds=1.0)
    lock = sqlite3.connect(house.database, isolation_level=None, check_same_thread=False)
    yield house, lock
    lock.close()
    house.close()


# case S4: SQLite locked and one cancel
def test_while_another_process_has_locked_sqlite_the_server_is_alive_and_a_cancel_fails_in_time(
    locked: tuple[House, sqlite3.Connection],
) -> None:
    house, lock = locked
    prediction = house.send("POST", "/api/v1/model/generateImage", json=NATIVE).json()["id"]
    Native().wait(house, prediction)
    answers: list[httpx.Response] = []

    def cancel() -> None:
        answers.append(house.send("POST", f"/api/v1/model/prediction/{prediction}/cancel"))

    lock.execute("BEGIN IMMEDIATE")
    asking = threading.Thread(target=cancel)
    asking.start()
    lives = 0
    while asking.is_alive():
        lives += house.send("GET", "/health/live", key=None).status_code == 200
    asking.join()
    assert lives >= 10, "answered again and again while the cancel waited"
    assert (answers[0].status_code, answers[0].json()["error"]["code"]) == (503, "database_unavailable")
    lock.execute("ROLLBACK")
    assert house.send("POST", f"/api/v1/model/prediction/{prediction}/cancel").status_code == 200
