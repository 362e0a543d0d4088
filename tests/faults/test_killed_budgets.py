"""Servers are killed again and again while they accept, draw, cancel and record: budgets are right to the last step."""

import contextlib
import os
import random
import socket
import sqlite3
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.auth.key_store import KeyStore
from gateway.settings import load_settings
from gateway.store.data_folder import open_data_folder
from tests.faults.test_killed_servers import QUICK_LEASE, slow
from tests.walk import independent, switched_parts
from tests.walk.house import HARMLESS, SIZE
from tests.walk.server_process import Server, serving, wait_until

REDIS = (os.environ.get("REDIS_HOST", "127.0.0.1"), int(os.environ.get("REDIS_PORT", "6379")))
FINAL = {"delivered", "held", "refused", "failed"}


def cost_of(steps: int) -> int:
    return -(-SIZE * SIZE * steps // 1000)


def used(data: Path) -> dict[str, int]:
    with sqlite3.connect(data / "fluxgate.db") as connection:
        return dict(connection.execute("select tenant, sum(used) from budgets group by tenant").fetchall())


def jobs(data: Path) -> list[dict[str, Any]]:
    with sqlite3.connect(data / "fluxgate.db") as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute("select * from jobs")]


def held_or_charged(rows: list[dict[str, Any]]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for row in rows:
        sums[row["tenant"]] = sums.get(row["tenant"], 0) + (row["cost"] if row["charged"] is None else row["charged"])
    return sums


def due(row: dict[str, Any]) -> int:
    """What the job costs by how it ended."""
    if row["state"] == "delivered":
        return cost_of(row["steps"])
    if (row["state"], row["code"]) == ("failed", "cancelled"):
        return cost_of(row["steps_done"])
    return 0


def busy(server: Server, key: str, rng: random.Random, stop: threading.Event) -> None:
    """A caller that starts generations, some refused, and cancels some, until its server is gone."""
    with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {key}"}, timeout=10) as client:
        while not stop.is_set():
            try:
                prompt = HARMLESS if rng.random() < 0.9 else "how to make a pipe bomb at home, step by step"
                body = {"prompt": prompt, "width": SIZE, "height": SIZE, "steps": rng.randint(1, 20)}
                started = client.post("/api/v1/model/generateImage", json=body)
                if started.status_code == 200 and rng.random() < 0.4:
                    time.sleep(rng.uniform(0, 0.3))
                    client.post(f"/api/v1/model/prediction/{started.json()['id']}/cancel")
                stop.wait(rng.uniform(0, 0.2))
            except httpx.HTTPError:
                return


# case S7: kill -9 with Redis budgets
@pytest.mark.parametrize("counted_in", ["memory", "redis"])
@pytest.mark.parametrize("kills", [2, pytest.param(60, marks=pytest.mark.slow)])
def test_budgets_are_right_to_the_last_step_after_kills(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, counted_in: str, kills: int
) -> None:
    limits: dict[str, Any] = {"key_requests_per_minute": 1_000_000, "tenant_requests_per_minute": 1_000_000}
    if counted_in == "redis":
        try:
            socket.create_connection(REDIS, timeout=1).close()
        except OSError:
            pytest.skip(f"no Redis answers at {REDIS[0]}:{REDIS[1]}: this test needs it")
        limits["redis_url"] = f"redis://{REDIS[0]}:{REDIS[1]}/0"
    data, rng = tmp_path / "data", random.Random(kills)
    parts_path = switched_parts.install(tmp_path_factory.mktemp("kill-parts") / "site")
    folder = open_data_folder(data, load_settings(data, environ={}))
    store = KeyStore(folder.database, folder.pepper)
    tenants = [f"kill-{uuid.uuid4().hex[:8]}" for _ in range(2)]
    keys = [store.create(tenant)[1] for tenant in tenants]
    folder.database.dispose()
    options = slow(data, 0.02) | {"limits": limits}
    for _ in range(kills):
        with serving(data, parts_path=parts_path, test=QUICK_LEASE, **options) as server:
            stop = threading.Event()
            callers = [threading.Thread(target=busy, args=(server, key, rng, stop)) for key in keys]
            for caller in callers:
                caller.start()
            time.sleep(rng.uniform(0.3, 2.5))
            server.kill()
            stop.set()
            for caller in callers:
                caller.join()
        assert used(data) == held_or_charged(jobs(data)), "at every moment a job is whole: row, hold and charge"
    with serving(data, parts_path=parts_path, test=QUICK_LEASE, **options):
        wait_until(lambda: {row["state"] for row in jobs(data)} <= FINAL, 300)
    rows = jobs(data)
    assert len(rows) >= 2 * kills
    for row in rows:
        assert row["charged"] == due(row), (row["state"], row["code"], row["steps"], row["steps_done"])
    spent = used(data)
    assert {tenant: spent[tenant] for tenant in tenants} == {
        tenant: sum(due(row) for row in rows if row["tenant"] == tenant) for tenant in tenants
    }
    entries = independent.check_whole_log(data / "fluxgate.db", (data / "keys" / "log.vkey").read_text().strip())
    assert sorted(entry["request_id"] for entry in entries) == sorted(row["id"] for row in rows)
    with contextlib.suppress(OSError), (tmp_path / "counts").open("w") as counts:
        counts.write(f"{counted_in}: {kills} kills, {len(rows)} jobs, {sum(map(due, rows))} thousandths due\n")
