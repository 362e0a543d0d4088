"""Tenants take turns on the engine and have places of their own, with real jobs, and after a restart too."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.walk.house import HARMLESS, SIZE, House
from tests.walk.server_process import wait_until
from tests.walk.switched_parts import DRAWN, LET_GO, SWITCHES

BODY = {"prompt": HARMLESS, "width": SIZE, "height": SIZE, "steps": 1}


@contextmanager
def opened(path: Path, **changes: Any) -> Iterator[House]:
    house = House(path, **changes)
    try:
        yield house
    finally:
        SWITCHES.clear()
        LET_GO.set()
        house.close()
        LET_GO.clear()


def ask(house: House, key: str, seed: int) -> Any:
    return house.send("POST", "/api/v1/model/generateImage", key=key, json=BODY | {"seed": seed})


def drawn(house: House, number: int) -> list[str]:
    """Lets the engine go, and tells whose images it drew, in order; seeds below 1,000 are the flood's."""
    SWITCHES.clear()
    LET_GO.set()
    wait_until(lambda: house.app.state.jobs.in_work == 0, 60)
    LET_GO.clear()
    assert len(DRAWN) == number
    return ["flood" if seed < 1000 else "other" for seed in DRAWN]


# case S6
def test_another_tenant_waits_for_the_image_being_drawn_and_its_own_turn(tmp_path: Path, parts_path: str) -> None:
    with opened(tmp_path / "data") as house:
        _, other = house.new_key("other")
        DRAWN.clear()
        SWITCHES["switched_flux"] = "waits"
        answers = [ask(house, house.key, seed) for seed in range(24)]
        statuses = [answer.status_code for answer in answers]
        assert statuses == [200] * 16 + [429] * 8, "half of the places, and no more"
        assert answers[-1].json()["error"]["code"] == "tenant_queue_full"
        assert int(answers[-1].headers["retry-after"]) >= 1
        several = {"prompt": HARMLESS, "size": "256x256", "num_inference_steps": 1, "n": 3}
        assert house.send("POST", "/v1/images/generations", json=several).status_code == 429, "all or none"
        assert [ask(house, other, 1000 + number).status_code for number in range(4)] == [200] * 4
        wait_until(lambda: house.parts.dispatcher.depth == 8, 20)  # of each tenant as many as may be in work at once
        order = drawn(house, 20)
        assert order[:8] == ["flood", "other"] * 4
        assert order[8:] == ["flood"] * 12


# case S6
def test_after_a_restart_too(tmp_path: Path, parts_path: str) -> None:
    with opened(tmp_path / "data") as first:
        _, other = first.new_key("other")
        SWITCHES["switched_flux"] = "hangs"
        assert [ask(first, first.key, seed).status_code for seed in range(12)] == [200] * 12
        assert [ask(first, other, 1000 + number).status_code for number in range(3)] == [200] * 3
        first.run(first.app.state.jobs.close(grace_seconds=0.1))
        assert {row["state"] for row in first.rows("select state from jobs")} == {"accepted"}
        charges = first.rows("select charged from jobs where charged is not null")
        assert charges == [], "what is not over is neither paid nor given back"
        held = first.left()
    DRAWN.clear()
    SWITCHES["switched_flux"] = "waits"
    with opened(tmp_path / "data") as second:
        wait_until(lambda: second.parts.dispatcher.depth == 7, 20)
        order = drawn(second, 15)
        assert order[:6] == ["flood", "other"] * 3
        assert second.left() == held, "delivered now, and paid once"


def test_more_images_than_may_ever_wait_are_a_fault_of_the_request(tmp_path: Path, parts_path: str) -> None:
    with opened(tmp_path / "data", queue_size=4) as house:
        body = {"prompt": HARMLESS, "size": "256x256", "num_inference_steps": 1, "n": 3}
        got = house.send("POST", "/v1/images/generations", json=body)
        assert (got.status_code, got.json()["error"]["param"]) == (400, "n")
        assert house.send("POST", "/v1/images/generations", json=body | {"n": 2}).status_code == 200
