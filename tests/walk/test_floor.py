"""Every rule of the floor, at every stage, through every route that takes words or pictures, whoever asks."""

import base64
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from gateway.auth.identity import Assurance
from policies.findings import UNANSWERED
from policies.policy import FLOOR_CATEGORIES
from tests.walk import independent
from tests.walk.house import HARMLESS, SIZE, House
from tests.walk.switched_parts import switched

FLOOR_ONLY = Path(__file__).with_name("floor_only.toml")
AT_THE_FLOOR = 0.90  # policies/data/floor.toml, for classifiers that nobody has measured

Ask = Callable[[House, str, int | None], httpx.Response]


def a_picture() -> bytes:
    file = io.BytesIO()
    Image.effect_noise((SIZE, SIZE), 60).convert("RGB").save(file, "PNG")
    return file.getvalue()


def native(house: House, key: str, tolerance: int | None) -> httpx.Response:
    body: dict[str, Any] = {"prompt": HARMLESS, "width": SIZE, "height": SIZE, "steps": 1}
    started = house.send(
        "POST", "/api/v1/model/generateImage", key=key, json=body | _wish("safety_tolerance", tolerance)
    )
    assert started.status_code == 200, started.text
    while True:
        got = house.send("GET", f"/api/v1/model/prediction/{started.json()['id']}", key=key)
        if got.json()["status"] != "processing":
            return got


def upload(house: House, key: str, _: int | None) -> httpx.Response:
    return house.send("POST", "/api/v1/model/uploadMedia", key=key, files={"file": ("a.png", a_picture())})


def generations(house: House, key: str, tolerance: int | None) -> httpx.Response:
    body: dict[str, Any] = {"prompt": HARMLESS, "size": f"{SIZE}x{SIZE}", "num_inference_steps": 1, "n": 2}
    return house.send("POST", "/v1/images/generations", key=key, json=body | _low(tolerance))


def edits(house: House, key: str, tolerance: int | None) -> httpx.Response:
    fields = {"prompt": HARMLESS, "size": f"{SIZE}x{SIZE}", "num_inference_steps": "2"} | _low(tolerance)
    files = {"image": ("a.png", a_picture())}
    return house.send("POST", "/v1/images/edits", key=key, data=fields, files=files)


def moderations(house: House, key: str, _: int | None) -> httpx.Response:
    url = "data:image/png;base64," + base64.b64encode(a_picture()).decode()
    parts = [{"type": "text", "text": HARMLESS}, {"type": "image_url", "image_url": {"url": url}}]
    return house.send("POST", "/v1/moderations", key=key, json={"input": parts})


def _wish(field: str, value: object) -> dict[str, Any]:
    return {} if value is None else {field: value}


def _low(tolerance: int | None) -> dict[str, Any]:
    return {"moderation": "low"} if tolerance else {}


ROUTES: dict[str, tuple[Ask, tuple[str, ...]]] = {
    "/api/v1/model/generateImage": (native, ("prompt", "output_image")),
    "/api/v1/model/uploadMedia": (upload, ("input_image",)),
    "/v1/images/generations": (generations, ("prompt", "output_image")),
    "/v1/images/edits": (edits, ("prompt", "input_image", "output_image")),
    "/v1/moderations": (moderations, ("prompt", "input_image")),
}
"""Route → how to ask it, and the stages that a request to it passes."""

TAKES_NOTHING_TO_DRAW = frozenset(
    {
        "/v1/images/variations",  # not offered: it says so and reads nothing
        "/api/v1/model/prediction/{prediction_id}/cancel",
        "/c2pa/v1/matches/byBinding",
        "/c2pa/v1/matches/byContent",
        "/c2pa/v1/manifests/{manifest_id}/receipts",
        "/v1/verify",
    }
)
CASES = [pytest.param(ask, stage, id=f"{route} {stage}") for route, (ask, stages) in ROUTES.items() for stage in stages]


@pytest.fixture(scope="module")
def lax(tmp_path_factory: pytest.TempPathFactory, parts_path: str) -> Iterator[House]:
    """A house under the laxest policy."""
    path = tmp_path_factory.mktemp("lax") / "data"
    house = House(path, policy=str(FLOOR_ONLY), prompt_timeout_seconds=1, image_timeout_seconds=1)
    yield house
    house.close()


@pytest.fixture(scope="module")
def keys(lax: House) -> dict[str, str]:
    """A key that nobody knows anything about, and one that is trusted and granted as much as can be."""
    best = max(Assurance)
    return {"usual": lax.new_key("acme")[1], "softest": lax.new_key("softest", assurance=best)[1]}


def test_every_route_that_takes_something_is_tried_here(lax: House) -> None:
    taking = {path for path, methods in lax.app.openapi()["paths"].items() if "post" in methods}
    assert taking - TAKES_NOTHING_TO_DRAW == ROUTES.keys(), "a new route belongs into ROUTES, with its stages"


def test_without_a_finding_each_of_them_answers(lax: House, keys: dict[str, str]) -> None:
    for ask, _ in ROUTES.values():
        for tolerance in (None, 6):
            got = ask(lax, keys["softest"], tolerance)
            assert got.status_code == 200, got.text
            assert "error" not in json.dumps(got.json())


@pytest.mark.parametrize("who", ["usual", "softest"])
@pytest.mark.parametrize("category", sorted(FLOOR_CATEGORIES - {UNANSWERED}))
@pytest.mark.parametrize(("ask", "stage"), CASES)
def test_the_floor_refuses(lax: House, keys: dict[str, str], ask: Ask, stage: str, category: str, who: str) -> None:
    part = "switched_words" if stage == "prompt" else "switched_eyes"
    with switched(**{part: f"finds:{category}={AT_THE_FLOOR}@{stage}"}):
        got = ask(lax, keys[who], 6)
    if ask is moderations:
        assert verdicts(got) == ["refuse"]
        return
    assert is_refused(got, "moderation_blocked")
    entry = last_entry(lax)
    assert (entry["outcome"], entry["verdict"]) == ("refused", "refuse")
    refusing = [each for each in entry["reasons"] if each["verdict"] == "refuse"]
    told = {(each["floor"], each["category"], each["stage"], each["score"]) for each in refusing}
    assert told == {(True, category, stage, "0.9000")}


@pytest.mark.parametrize("mood", ["raises", "hangs", "says_nothing"])
@pytest.mark.parametrize(("ask", "stage"), CASES)
def test_a_classifier_that_does_not_answer_passes_nothing(
    lax: House, keys: dict[str, str], ask: Ask, stage: str, mood: str
) -> None:
    part = "switched_words" if stage == "prompt" else "switched_eyes"
    with switched(**{part: f"{mood}@{stage}"}):
        got = ask(lax, keys["softest"], 6)
    assert is_refused(got, "screening_unanswered")
    if ask is moderations:  # nothing is decided about that anybody could appeal to
        return
    entry = last_entry(lax)
    assert (entry["outcome"], entry["failure"]) == ("failed", "screening_unanswered")
    stopping = [each for each in entry["reasons"] if each["verdict"] == "refuse"]
    assert {(each["category"], each["stage"]) for each in stopping} == {(UNANSWERED, stage)}


def is_refused(got: httpx.Response, code: str) -> bool:
    """True if the answer says so in its dialect's shape and holds no picture."""
    said = got.json()
    assert not {"data", "outputs"} & {name for name, value in said.items() if isinstance(value, list)}
    error = said.get("error_details") or said["error"]
    return bool(error["code"] == code)


def verdicts(got: httpx.Response) -> list[str]:
    assert got.status_code == 200, got.text
    return sorted({each["fluxgate"]["verdict"] for each in got.json()["results"]} - {"allow"})


def last_entry(house: House) -> dict[str, Any]:
    independent.check_whole_log(house.database, house.vkey)
    (last,) = house.rows("select leaf from log_entries order by idx desc limit 1")
    entry: dict[str, Any] = json.loads(last["leaf"])
    return entry
