"""Labels over HTTP: what a request asks to see is drawn, what the operator demands cannot be asked away."""

import base64
import io
import json
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from PIL import Image

from gateway.stations.labelling import Labelling
from gateway.stations.sealing import Sealing
from tests.walk.dialogues import Dialogue, Native, OpenAI
from tests.walk.house import HARMLESS, SIZE, House
from tests.walk.test_delivered_file import read, verify

CODE = "001191110108MA01KP2T5U00001"


def pixels(data: bytes | None) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(data or b""))).astype(int)


def corners_that_differ(one: bytes | None, other: bytes | None) -> set[str]:
    """Corners where two pictures differ by more than two watermarks do."""
    apart = np.abs(pixels(one) - pixels(other)).max(axis=2) > 60
    half = SIZE // 2
    quarters = {
        "top_left": apart[:half, :half],
        "top_right": apart[:half, half:],
        "bottom_left": apart[half:, :half],
        "bottom_right": apart[half:, half:],
    }
    return {corner for corner, quarter in quarters.items() if quarter.sum() > 100}


def test_a_request_gets_the_visible_label_it_asks_for(house: House, dialogue: Dialogue) -> None:
    plain = dialogue.ask(house, HARMLESS, seed=7)
    labelled = dialogue.ask(
        house, HARMLESS, seed=7, visible_label="text", label_corner="bottom_left", label_language="de"
    )
    assert labelled.picture is not None
    assert corners_that_differ(plain.picture, labelled.picture) == {"bottom_left"}

    store = read(labelled.picture, "image/png", (house.path / "keys" / "ca.pem").read_text())
    assert store["validation_state"] == "Trusted"
    said = json.dumps(store["manifests"][store["active_manifest"]])
    assert "c2pa.addedText" in said
    assert "language de, bottom left" in said
    report = verify(house, labelled.picture)
    assert report["verdict"] == "ours_intact"
    assert report["layers"]["watermark"]["detected"]


def test_a_tenant_under_a_jurisdiction_gets_its_label_and_nobody_else_does(
    house: House, dialogue: Dialogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = dialogue.ask(house, HARMLESS, seed=7)
    monkeypatch.setattr(house, "key", house.new_key("in-india")[1])
    labelled = dialogue.ask(house, HARMLESS, seed=7, visible_label="none")
    assert corners_that_differ(plain.picture, labelled.picture) == {"top_right"}
    assert b"c2pa.addedText" in (labelled.picture or b"")
    assert b"c2pa.addedText" not in (plain.picture or b"")


def test_without_asking_nothing_is_drawn(house: House) -> None:
    picture = Native().ask(house, HARMLESS, seed=7).picture
    assert b"c2pa.addedText" not in (picture or b"")


def test_the_free_verifier_shows_the_labels(house: House) -> None:
    picture = OpenAI().ask(house, HARMLESS).picture
    labels = verify(house, picture or b"")["layers"]["labels"]
    assert set(labels["profiles"]) == {"iptc", "california", "eu"}
    assert (labels["says_ai"], labels["kind"], labels["system"]) == (True, "AI-generated", "Fluxgate")
    assert (labels["provider"], labels["aigc"]) == ("Walk Test House", None)
    assert labels["id"].startswith("fg_")
    assert labels["created"].endswith("Z")


@pytest.fixture
def strict(house: House) -> FastAPI:
    """The same house under an operator who demands a Chinese text label, and writes China's metadata only."""
    labelling = Labelling(("china",), CODE, "text", ("zh",))
    ours = house.parts.sealing
    return house.beside(sealing=Sealing(ours.parts, labelling, "Walk Test House", ours.clock))


@pytest.mark.parametrize("asked", ["none", "icon", "text", None])
def test_a_request_cannot_lower_the_operators_minimum(house: House, strict: FastAPI, asked: str | None) -> None:
    wish = {"prompt": HARMLESS, "size": f"{SIZE}x{SIZE}", "num_inference_steps": 1, "seed": 7}
    wish |= {} if asked is None else {"visible_label": asked}
    got = house.send("POST", "/v1/images/generations", app=strict, json=wish)
    assert got.status_code == 200, got.text
    picture = base64.b64decode(got.json()["data"][0]["b64_json"])

    plain = OpenAI().ask(house, HARMLESS, seed=7).picture
    assert corners_that_differ(plain, picture) == {"top_right"}
    store = read(picture, "image/png", None)
    assert "words in language zh, top right" in json.dumps(store)
    labels = verify(house, picture)["layers"]["labels"]
    assert labels["profiles"] == ["china"]
    assert labels["aigc"]["ContentProducer"] == CODE


def test_what_labels_there_are_stands_in_health(house: House, strict: FastAPI) -> None:
    assert house.send("GET", "/health", key=None, app=strict).json()["labels"] == {
        "profiles": ["china"],
        "provider_code": CODE,
        "minimum": "text",
        "languages": ["zh"],
    }


@pytest.mark.parametrize(
    ("route", "size"), [("/v1/images/generations", {"size": "256x256"}), ("/api/v1/model/generateImage", {})]
)
@pytest.mark.parametrize(
    ("field", "value"),
    [("visible_label", "invisible"), ("label_corner", "middle"), ("label_language", "tlh")],
)
def test_a_label_that_is_none_is_refused_with_its_field(
    house: House, route: str, size: dict[str, str], field: str, value: str
) -> None:
    before = house.written()
    got = house.send("POST", route, json={"prompt": HARMLESS, field: value} | size)
    error = got.json()["error"]
    assert got.status_code in (400, 422)
    assert error["code"] == "invalid_request"
    assert field in (error.get("field"), error.get("param"))
    assert house.written() == before


def test_another_language_than_the_operators_is_refused(house: House, strict: FastAPI) -> None:
    wish = {"prompt": HARMLESS, "visible_label": "text", "label_language": "ga"}
    got = house.send("POST", "/v1/images/generations", app=strict, json=wish)
    assert (got.status_code, got.json()["error"]["param"]) == (400, "label_language")
    assert "zh" in got.json()["error"]["message"]
