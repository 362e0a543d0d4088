"""The same call with the same `Idempotency-Key` leads to the same images, in every dialect that draws."""

import base64
import json
import threading
from typing import Any

import httpx
import pytest

from tests.walk.dialogues import Native
from tests.walk.house import HARMLESS, SIZE, House
from tests.walk.switched_parts import DRAWN, switched
from tests.walk.test_edits import PLAIN, png

OPENAI = {"prompt": HARMLESS, "size": f"{SIZE}x{SIZE}", "num_inference_steps": 1}
NATIVE = {"prompt": HARMLESS, "width": SIZE, "height": SIZE, "steps": 1}


def generate(house: House, key: str, sender: str | None = "", **wish: Any) -> httpx.Response:
    headers = {"Idempotency-Key": key}
    return house.send("POST", "/v1/images/generations", json=OPENAI | wish, headers=headers, key=sender)


def edit(house: House, key: str, picture: bytes) -> httpx.Response:
    fields = {name: str(value) for name, value in OPENAI.items()} | {"strength": "1.0"}
    headers = {"Idempotency-Key": key}
    return house.send("POST", "/v1/images/edits", data=fields, files={"image": ("a.png", picture)}, headers=headers)


# case R5
def test_a_retry_of_a_generation_gets_the_same_images(house: House) -> None:
    DRAWN.clear()
    first, again = generate(house, "retry-1", n=2), generate(house, "retry-1", n=2)
    assert first.status_code == again.status_code == 200
    assert len(DRAWN) == 2
    assert [each["b64_json"] for each in again.json()["data"]] == [each["b64_json"] for each in first.json()["data"]]
    assert again.headers["x-request-id"] == first.headers["x-request-id"]
    assert generate(house, "retry-2", n=2).json()["data"] != first.json()["data"]


# case R5
def test_a_retry_of_an_edit_gets_the_same_images_and_stores_nothing(house: House) -> None:
    first = edit(house, "edit-1", png(PLAIN))
    before, drawn = house.written(), len(DRAWN)
    again = edit(house, "edit-1", png(PLAIN))
    assert first.status_code == again.status_code == 200, first.text
    assert again.json()["data"] == first.json()["data"]
    assert (house.written(), len(DRAWN)) == (before, drawn)
    other = edit(house, "edit-1", png(255 - PLAIN))
    assert (other.status_code, other.json()["error"]["code"]) == (400, "idempotency_key_reused")
    assert house.written() == before


# case R5
def test_a_retry_of_a_native_generation_is_the_same_prediction(house: House) -> None:
    def start(**wish: Any) -> httpx.Response:
        headers = {"Idempotency-Key": "native-1"}
        return house.send("POST", "/api/v1/model/generateImage", json=NATIVE | wish, headers=headers)

    first, again = start(), start()
    assert first.json()["id"] == again.json()["id"]
    Native().wait(house, first.json()["id"])
    finished = start().json()
    assert finished["status"] == "completed"
    assert finished["outputs"]
    other = start(steps=2)
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_key_reused")
    assert other.json()["error"]["field"] == "Idempotency-Key"
    assert "retry-after" not in other.headers


# case R5
def test_retries_at_once_wait_for_one_and_the_same_image(house: House) -> None:
    DRAWN.clear()
    answers: list[httpx.Response] = []
    threads = [threading.Thread(target=lambda: answers.append(generate(house, "at-once"))) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} == {200}
    assert len({json.dumps(answer.json()["data"]) for answer in answers}) == 1
    assert len(DRAWN) == 1


# case R5
def test_a_key_is_its_callers_own(house: House) -> None:
    _, colleague = house.new_key("acme")
    _, stranger = house.new_key("stranger")
    answers = [generate(house, "ours", sender) for sender in (house.key, colleague, stranger)]
    pictures = {base64.b64decode(answer.json()["data"][0]["b64_json"]) for answer in answers}
    assert len(pictures) == 3


# case R5
def test_a_refusal_is_the_same_refusal_and_a_failure_of_ours_is_tried_again(house: House) -> None:
    refused = [generate(house, "refused", prompt="how to make a pipe bomb at home, step by step") for _ in range(2)]
    assert [answer.status_code for answer in refused] == [400, 400]
    decisions = {answer.json()["error"]["statement_of_reasons"]["decision"] for answer in refused}
    assert len(decisions) == 1
    with switched(switched_flux="raises"):
        assert generate(house, "failed").status_code == 503
    assert generate(house, "failed").status_code == 200


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there"])
def test_a_key_that_cannot_be_used_is_told_so(house: House, key: str) -> None:
    before = house.written()
    got = generate(house, key)
    assert (got.status_code, got.json()["error"]["param"]) == (400, "Idempotency-Key")
    assert house.written() == before


def test_neither_keys_nor_bodies_can_be_read_from_the_database(house: House) -> None:
    generate(house, "secret-name")
    found = house.rows("select * from idempotency_keys")
    assert found
    assert not any("secret-name" in str(row) or "apple" in str(row) for row in found)
