"""What is called off is paid as far as it was drawn, to the last step; what nobody waits for is not drawn."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.walk import independent
from tests.walk.dialogues import Native
from tests.walk.house import HARMLESS, SIZE, House, walk_settings
from tests.walk.server_process import wait_until
from tests.walk.switched_parts import DRAWN, SWITCHES, switched

STEPS = 50


def cost_of(steps: int) -> int:
    return -(-SIZE * SIZE * steps // 1000)


@pytest.fixture(scope="module")
def slow_house(tmp_path_factory: pytest.TempPathFactory, parts_path: str) -> Iterator[House]:
    path = tmp_path_factory.mktemp("slow") / "data"
    parts = walk_settings(path)["parts"] | {"switched_flux": {"step_seconds": 0.02}}
    house = House(path, parts=parts)
    yield house
    house.close()


def job(house: House, job_id: str) -> dict[str, Any]:
    return house.rows("select * from jobs where id = ?", job_id)[0]


def in_work(house: House) -> int:
    return int(house.app.state.jobs.in_work)


# case S8
@pytest.mark.parametrize("after", [0, 3, 11, 42])
def test_the_steps_drawn_before_a_cancel_are_paid_and_no_more(slow_house: House, after: int) -> None:
    house, before = slow_house, slow_house.left()
    body = {"prompt": HARMLESS, "width": SIZE, "height": SIZE, "steps": STEPS}
    prediction = house.send("POST", "/api/v1/model/generateImage", json=body).json()["id"]
    assert before - house.left() == cost_of(STEPS), "held while it is in work"
    wait_until(lambda: house.app.state.jobs.steps_done_here(prediction) >= after, 30)
    house.send("POST", f"/api/v1/model/prediction/{prediction}/cancel")
    answer = Native().wait(house, prediction)
    assert (answer.outcome, answer.code) == ("failed", "cancelled")
    done = answer.body["progress"]["steps_done"]
    assert after <= done < STEPS
    assert before - house.left() == cost_of(done) == job(house, prediction)["charged"]


# case S8
def test_a_cancel_that_comes_after_the_last_step_is_paid_in_full(slow_house: House) -> None:
    house, before = slow_house, slow_house.left()
    with switched(switched_eyes="hangs"):
        body = {"prompt": HARMLESS, "width": SIZE, "height": SIZE, "steps": 2}
        prediction = house.send("POST", "/api/v1/model/generateImage", json=body).json()["id"]
        wait_until(lambda: house.app.state.jobs.steps_done_here(prediction) == 2, 30)
        house.send("POST", f"/api/v1/model/prediction/{prediction}/cancel")
    assert Native().wait(house, prediction).outcome == "delivered"
    assert before - house.left() == cost_of(2)


class Client:
    """Speaks ASGI to the house, and can close its connection."""

    def __init__(self, house: House, body: dict[str, Any], **headers: str) -> None:
        self._house = house
        self._left = asyncio.Event()
        self.status: int | None = None
        given = {"authorization": f"Bearer {house.key}", "content-type": "application/json", **headers}
        self._scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/images/generations",
            "raw_path": b"/v1/images/generations",
            "query_string": b"",
            "root_path": "",
            "scheme": "http",
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in given.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        self._body = json.dumps(body).encode()
        self._sent = False
        self._done = asyncio.run_coroutine_threadsafe(self._speak(), house._loop)

    async def _speak(self) -> None:
        async def receive() -> dict[str, Any]:
            if not self._sent:
                self._sent = True
                return {"type": "http.request", "body": self._body, "more_body": False}
            await self._left.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            self.status = message.get("status", self.status)

        await self._house.app(self._scope, receive, send)

    def leave(self) -> None:
        self._house._loop.call_soon_threadsafe(self._left.set)
        self._done.result(30)


# case R5
def test_what_a_client_that_left_has_queued_is_not_drawn(slow_house: House) -> None:
    house, before = slow_house, slow_house.left()
    DRAWN.clear()
    client = Client(house, {"prompt": HARMLESS, "size": "256x256", "num_inference_steps": STEPS, "n": 3, "seed": 5})
    wait_until(lambda: DRAWN and house.parts.dispatcher.depth == 3, 30)
    client.leave()
    wait_until(lambda: in_work(house) == 0, 30)
    assert len(DRAWN) == 1, "the two that waited were called off before they were drawn"
    rows = house.rows("select * from jobs order by created_at desc limit 3")
    assert {(row["state"], row["code"]) for row in rows} == {("failed", "cancelled")}
    assert sorted(row["charged"] for row in rows)[:2] == [0, 0]
    assert before - house.left() == sum(row["charged"] for row in rows) < cost_of(STEPS)
    independent.check_whole_log(house.database, house.vkey)


# case R5
def test_with_an_idempotency_key_the_client_that_left_finds_its_images(slow_house: House) -> None:
    house, before = slow_house, slow_house.left()
    body = {"prompt": HARMLESS, "size": "256x256", "num_inference_steps": 4, "n": 2}
    DRAWN.clear()
    SWITCHES["switched_flux"] = "waits"
    client = Client(house, body, idempotency_key="come-again")
    wait_until(lambda: DRAWN, 30)
    leaving = asyncio.run_coroutine_threadsafe(asyncio.sleep(0), house._loop)
    leaving.result(5)
    house._loop.call_soon_threadsafe(client._left.set)
    with switched():
        pass
    got = house.send("POST", "/v1/images/generations", json=body, headers={"Idempotency-Key": "come-again"})
    assert got.status_code == 200, got.text
    assert len(DRAWN) == 2, "nothing was drawn twice"
    assert sorted(each["seed"] for each in got.json()["data"]) == sorted(DRAWN)
    assert before - house.left() == 2 * cost_of(4)
