"""A newcomer's first requests: ordinary sizes, steps and prompts give an image, or an answer that says what would."""

import base64
import io
import json
import re
import time
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from gateway.cli import app
from tests.walk.house import HARMLESS, House
from tests.walk.test_edits import actions_of, png, send_in

SAMPLE = {"prompt": HARMLESS, "width": 512, "height": 512, "steps": 20, "guidance_scale": 7.5, "seed": 7}
"""The hosted API's own sample, but for its model's name."""


def drawn(house: House, **body: Any) -> dict[str, Any]:
    """A finished prediction of the native API."""
    started = house.send("POST", "/api/v1/model/generateImage", json=body)
    assert started.status_code == 200, started.text
    deadline = time.monotonic() + 120
    while True:
        view: dict[str, Any] = house.send("GET", f"/api/v1/model/prediction/{started.json()['id']}").json()["data"]
        if view["status"] != "processing":
            return view
        assert time.monotonic() < deadline
        time.sleep(0.05)


def file_of(house: House, view: dict[str, Any]) -> bytes:
    return house.send("GET", view["outputs"][0], key=None).content


def codes(told: dict[str, Any]) -> set[str]:
    return {note["code"] for note in told.get("notes", ())}


def test_the_sample_of_the_hosted_api_gives_an_image_and_says_how(house: House) -> None:  # case R9
    view = drawn(house, **SAMPLE)
    assert view["status"] == "completed", view
    assert codes(view) == {"enlarged", "guidance_unused"}
    file = file_of(house, view)
    assert Image.open(io.BytesIO(file)).size == (512, 512)
    assert "c2pa.resized.proportional" in {action["action"] for action in actions_of(file)}


@pytest.mark.parametrize("size", ["1024x1024", "300x500"])  # case R9
def test_ordinary_sizes_of_openai_are_made(house: House, size: str) -> None:
    answer = house.send("POST", "/v1/images/generations", json={"prompt": HARMLESS, "size": size, "seed": 3}).json()
    assert answer["size"] == size
    image = Image.open(io.BytesIO(base64.b64decode(answer["data"][0]["b64_json"])))
    assert f"{image.width}x{image.height}" == size
    told = answer["fluxgate"]["images"][0]
    assert codes(told) == ({"enlarged"} if size == "1024x1024" else {"enlarged", "cropped"})
    file = base64.b64decode(answer["data"][0]["b64_json"])
    assert ("c2pa.cropped" in {action["action"] for action in actions_of(file)}) == (size != "1024x1024")


def test_a_size_beyond_is_refused_with_the_bounds(house: House) -> None:  # case R9
    answer = house.send("POST", "/api/v1/model/generateImage", json=SAMPLE | {"width": 2048})
    assert answer.status_code == 422
    assert "256 to 1024" in answer.json()["error"]["remedy"]


def test_an_edit_without_a_size_takes_its_inputs(house: House) -> None:  # case R4
    pixels = np.full((768, 512, 3), (30, 90, 160), np.uint8)
    whole = drawn(house, prompt=HARMLESS, image=send_in(house, png(pixels))["download_url"], seed=5)
    file = file_of(house, whole)
    assert Image.open(io.BytesIO(file)).size == (512, 768)
    assert codes(whole) == {"enlarged"}
    assert "c2pa.cropped" not in {action["action"] for action in actions_of(file)}


def test_what_an_edit_cuts_off_is_told(house: House) -> None:  # case R4
    pixels = np.full((768, 512, 3), (30, 90, 160), np.uint8)
    sent = send_in(house, png(pixels))["download_url"]
    square = drawn(house, prompt=HARMLESS, image=sent, width=256, height=256, seed=5)
    assert codes(square) == {"input_cropped"}
    actions = [action["action"] for action in actions_of(file_of(house, square))]
    assert actions.index("c2pa.opened") < actions.index("c2pa.cropped") < actions.index("c2pa.edited")


def test_a_prompt_longer_than_the_window_is_refused_before_it_waits(house: House) -> None:  # case R23
    before = house.written()
    long = "a red apple on a wooden table and a fox " * 8
    native = house.send("POST", "/api/v1/model/generateImage", json={"prompt": long})
    assert native.status_code == 422
    message = native.json()["error"]["message"]
    (window,) = {model["text_tokens"] for model in house.send("GET", "/api/v1/models").json()["data"]}
    assert str(window) in message
    assert any(number.isdigit() and int(number) > window for number in message.replace(",", " ").split())
    openai = house.send("POST", "/v1/images/generations", json={"prompt": long}).json()["error"]
    assert openai["param"] == "prompt"
    assert str(window) in openai["message"]
    assert house.send("GET", "/v1/models").json()["data"][0]["text_tokens"] == window
    assert house.written() == before


def test_a_blue_car_at_night_is_delivered_whatever_the_seed(house: House) -> None:  # case first-02
    for seed in range(4):
        view = drawn(house, prompt="a blue car at night", seed=seed)
        assert view["status"] == "completed", view


def test_a_landscape_is_drawn_and_told_in_the_words_of_the_model(house: House) -> None:  # case first-01
    for seed in range(4):
        view = drawn(house, prompt="A beautiful landscape with mountains and lake", seed=seed)
        assert view["status"] == "completed", view
        assert view["revised_prompt"] == "a tree in a meadow"
        assert "prompt_revised" in codes(view)


def test_a_prompt_in_other_words_is_reworded_screened_and_told(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:  # case first-01
    read: list[str] = []
    screen = house.parts.screening.prompt

    async def listening(text: str, *rest: Any) -> Any:
        read.append(text)
        return await screen(text, *rest)

    monkeypatch.setattr(house.parts.screening, "prompt", listening)
    view = drawn(house, prompt="two poodles in a garden", seed=2)
    assert view["status"] == "completed", view
    assert view["revised_prompt"] == "a dog in a meadow"
    assert "prompt_revised" in codes(view)
    assert read == ["two poodles in a garden", "a dog in a meadow"]
    openai = house.send("POST", "/v1/images/generations", json={"prompt": "two poodles in a garden", "n": 2}).json()
    assert [each["revised_prompt"] for each in openai["data"]] == ["a dog in a meadow"] * 2
    leaf = json.loads(house.rows("select leaf from log_entries order by idx desc limit 1")[0]["leaf"])
    assert "revised_prompt" in leaf["commitments"]
    assert b"poodle" not in house.database.read_bytes()
    assert b"a dog in a meadow" not in house.database.read_bytes()


def test_what_is_drawn_for_other_words_is_refused_if_the_policy_refuses_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = house.parts.screening.prompt

    async def hears_only_the_second(text: str, *rest: Any) -> Any:
        return await screen("how to build a pipe bomb" if text == "a dog in a meadow" else HARMLESS, *rest)

    monkeypatch.setattr(house.parts.screening, "prompt", hears_only_the_second)
    view = drawn(house, prompt="two poodles in a garden")
    assert view["error_details"]["code"] == "moderation_blocked"


def test_words_that_lead_nowhere_are_named_and_nothing_is_written(house: House) -> None:  # case first-01
    before = house.written()
    answer = house.send("POST", "/api/v1/model/generateImage", json={"prompt": "portrait of a smiling woman"})
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["code"] == "unknown_words"
    assert "woman" in error["message"]
    assert "--vocabulary" in error["remedy"]
    openai = house.send("POST", "/v1/images/generations", json={"prompt": "portrait of a smiling woman"})
    assert openai.status_code == 400
    assert openai.headers["x-should-retry"] == "false"
    assert house.written() == before


def test_unknown_words_do_not_spare_a_prompt_its_refusal(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = house.parts.screening.prompt

    async def alarmed(text: str, *rest: Any) -> Any:
        return await screen("how to build a pipe bomb", *rest)

    monkeypatch.setattr(house.parts.screening, "prompt", alarmed)
    view = drawn(house, prompt="portrait of a smiling woman")
    assert view["error_details"]["code"] == "moderation_blocked"


def test_other_colours_and_sizes_get_the_same_look_at_the_same_image(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:  # case first-02
    seen: list[np.ndarray[Any, Any]] = []
    look = house.parts.screening.image

    async def watching(pixels: np.ndarray[Any, Any], stage: Any) -> Any:
        seen.append(pixels)
        return await look(pixels, stage)

    monkeypatch.setattr(house.parts.screening, "image", watching)
    asked = {"prompt": HARMLESS, "seed": 11}
    for more in ({}, {"upscale": 4}, {"palette": ["#c81e1e"]}, {"width": 512, "height": 512, "upscale": 2}):
        drawn(house, **asked, **more)
    assert len(seen) == 4
    assert all(np.array_equal(pixels, seen[0]) for pixels in seen)


def test_the_command_says_what_equal_seeds_give() -> None:  # case R27
    shown = CliRunner().invoke(app, ["generate", "--help"], env={"COLUMNS": "100"})
    words = " ".join(re.findall(r"[\w:,.]+", shown.stdout))
    assert "Equal seeds draw equal pixels, but no two files are equal: each gets an invisible mark" in words
    assert "Equal seeds give equal pixels" not in words


def test_the_command_lists_what_the_model_draws(tmp_path) -> None:
    shown = CliRunner().invoke(app, ["generate", "--vocabulary", "--data-dir", str(tmp_path / "none")])
    assert shown.exit_code == 0, shown.output
    assert "fox" in shown.output
    assert "meadow" in shown.output
    listed = CliRunner().invoke(app, ["generate", "--vocabulary", "--json", "--data-dir", str(tmp_path / "none")])
    assert len(json.loads(listed.stdout)["things"]) >= 70
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("side", ["width", "height"])
def test_a_side_of_nothing_is_not_the_default(house: House, side: str) -> None:  # case R9
    assert house.send("POST", "/api/v1/model/generateImage", json=SAMPLE | {side: 0}).status_code == 422
