"""What real clients send without thinking: nulls, empty texts, a foreign key, fields of other systems, other routes."""

import io
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from gateway.auth.identity import Scope
from gateway.dialects.native import Flat, Nested
from gateway.dialects.openai_images import EditBody, GenerationBody
from gateway.dialects.openai_moderations import ModerationBody
from gateway.stations.moderation_log import ModerationLog
from tests.walk.dialogues import Native
from tests.walk.house import HARMLESS, SIZE, House
from tests.walk.switched_parts import switched

GENERATIONS, EDITS, MODERATIONS = "/v1/images/generations", "/v1/images/edits", "/v1/moderations"
GENERATE, UPLOAD = "/api/v1/model/generateImage", "/api/v1/model/uploadMedia"
SMALL = {"size": f"{SIZE}x{SIZE}", "num_inference_steps": 1}


def png(side: int = SIZE) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.full((side, side, 3), (30, 90, 160), np.uint8)).save(out, "PNG")
    return out.getvalue()


def error(got: httpx.Response, field: str | None = None) -> str:
    """The message of an OpenAI error about `field`, which its client shows."""
    said = got.json()["error"]
    assert set(said) >= {"message", "type", "param", "code"}
    assert said["param"] == field
    return str(said["message"])


def edit(house: House, images: int = 1, **fields: Any) -> httpx.Response:
    files = [("image[]", (f"{number}.png", png(), "image/png")) for number in range(images)]
    data = {"prompt": HARMLESS, **SMALL} | fields
    return house.send("POST", EDITS, files=files, data=data)


# -- absent: case R7 ---------------------------------------------------------------------------------------------------


def test_null_leaves_every_optional_field_out(house: House) -> None:
    # case R7
    nulls = dict.fromkeys([name for name in GenerationBody.model_fields if name != "prompt"])
    assert len(nulls) > 15
    got = house.send("POST", GENERATIONS, json=nulls | {"prompt": HARMLESS, "of_a_newer_client": None})
    assert got.status_code == 200, got.text
    nulls = dict.fromkeys([name for name in ModerationBody.model_fields if name != "input"])
    text = {"type": "text", "text": HARMLESS, "image_url": None}
    assert house.send("POST", MODERATIONS, json=nulls | {"input": [text]}).status_code == 200
    nulls = dict.fromkeys([name for name in Flat.model_fields if name != "prompt"])
    for body in (nulls | {"prompt": HARMLESS, "input": None}, {"model": None, "input": nulls | {"prompt": HARMLESS}}):
        if body["input"] is not None:
            del body["input"]["model"]
        got = house.send("POST", GENERATE, json=body)
        assert Native().wait(house, got.json()["id"]).outcome == "delivered"


def test_a_required_field_that_is_null_is_missing(house: House) -> None:
    # case R7
    assert "missing" in error(house.send("POST", GENERATIONS, json={"prompt": None}), "prompt")
    assert "missing" in error(house.send("POST", MODERATIONS, json={"input": None}), "input")


@pytest.mark.parametrize("model", [GenerationBody, EditBody, ModerationBody, Flat, Nested])
def test_the_schema_says_what_may_be_null(model: Any) -> None:
    # case R7
    schema = model.model_json_schema()
    for name, field in schema["properties"].items():
        nullable = field.get("type") == "null" or {"type": "null"} in field.get("anyOf", ())
        assert nullable != (name in schema["required"]), name


@pytest.mark.parametrize("field", ["user", "safety_identifier", "label_language", "size", "style"])
def test_an_empty_text_is_absent(house: House, field: str) -> None:
    # case R7
    assert house.send("POST", GENERATIONS, json={"prompt": HARMLESS, **SMALL} | {field: ""}).status_code == 200


def test_empty_parts_of_a_form_are_absent(house: House) -> None:
    # case R7
    fields = dict.fromkeys(("user", "n", "quality", "seed", "input_fidelity", "output_compression", "stream"), "")
    got = edit(house, **fields)
    assert got.status_code == 200, got.text
    sent = {"file": ("a.png", png(), "image/png")}
    assert house.send("POST", UPLOAD, files=sent, data={"safety_identifier": ""}).status_code == 200


def test_output_compression_goes_from_0_to_100(house: House) -> None:
    # case R7
    for value in (0, 1, 100):
        got = house.send("POST", GENERATIONS, json={"prompt": HARMLESS, **SMALL, "output_compression": value})
        assert got.status_code == 200, got.text
    for value in (-1, 101):
        got = house.send("POST", GENERATIONS, json={"prompt": HARMLESS, "output_compression": value})
        assert "equal to" in error(got, "output_compression")


@pytest.mark.parametrize("images", [6, 16, 101])
def test_too_many_images_in_an_edit_are_told_how_many_are_taken(house: House, images: int) -> None:
    # case R7
    before = house.written()
    got = edit(house, images)
    assert got.status_code == 400
    assert "at most 5" in error(got, "image")
    assert house.written() == before


def test_too_many_references_are_told_how_many_are_taken(house: House) -> None:
    # case R7
    sent = house.send("POST", UPLOAD, files={"file": ("a.png", png())}).json()["data"]["download_url"]
    got = house.send("POST", GENERATE, json={"prompt": HARMLESS, "references": [sent] * 16})
    assert (got.status_code, got.json()["error"]["field"]) == (422, "references")
    assert "16" in got.json()["error"]["message"]


def test_an_upload_of_several_files_keeps_none_of_them(house: House) -> None:
    # case R7
    before = house.written()
    got = house.send("POST", UPLOAD, files=[("file", (f"{number}.png", png())) for number in range(16)])
    assert (got.status_code, got.json()["error"]["field"]) == (422, "file")
    assert "takes one file; got 16" in got.json()["error"]["message"]
    assert house.written() == before


# -- one image: case R18 -----------------------------------------------------------------------------------------------


def test_a_model_that_takes_one_image_says_so(house: House) -> None:
    # case R18
    got = edit(house, 2)
    assert got.status_code == 400
    assert "takes one image; got 2" in error(got, "image")
    assert "takes one image; got 4" in error(edit(house, 4), "image")


def test_so_does_the_native_dialect(house: House) -> None:
    # case R18
    sent = house.send("POST", UPLOAD, files={"file": ("a.png", png())}).json()["data"]["download_url"]
    got = house.send("POST", GENERATE, json={"prompt": HARMLESS, "image": sent, "references": [sent]})
    assert "takes one image; got 2" in got.json()["error"]["message"]
    got = house.send("POST", GENERATE, json={"prompt": HARMLESS, "references": [sent]})
    assert "takes no references; got 1" in got.json()["error"]["message"]


# -- honoured or refused: case R19 -------------------------------------------------------------------------------------


def steps_of(house: House, **fields: Any) -> int:
    got = house.send("POST", GENERATIONS, json={"prompt": HARMLESS, "size": SMALL["size"]} | fields)
    assert got.status_code == 200, got.text
    entry = json.loads(got.json()["fluxgate"]["images"][0]["receipt"]["leaf"])
    (row,) = house.rows("select steps from jobs where id = ?", entry["request_id"])
    return int(row["steps"])


def test_quality_sets_the_steps(house: House) -> None:
    # case R19
    usual = house.parts.dispatcher.models[0].default_steps
    assert steps_of(house) == steps_of(house, quality="auto") == steps_of(house, quality="standard") == usual
    assert steps_of(house, quality="low") == usual // 2
    assert steps_of(house, quality="hd") == steps_of(house, quality="high") == 2 * usual
    got = house.send("POST", GENERATIONS, json={"prompt": HARMLESS, **SMALL, "quality": "hd"})
    assert "one of the two" in error(got, "quality")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("quality", "max"),
        ("style", "vivid"),
        ("negative_prompt", "a dog"),
        ("background", "transparent"),
        ("response_format", "path"),
        ("partial_images", 2),
        ("stream", True),
        ("moderation", "none"),
        ("complexity", "high"),
        ("frame_count", 4),
        ("output_format", "gif"),
        ("input_fidelity", "high"),
    ],
)
def test_what_is_not_offered_is_refused_by_name(house: House, field: str, value: Any) -> None:
    # case R19
    got = house.send("POST", GENERATIONS, json={"prompt": HARMLESS, field: value})
    assert got.status_code == 400
    assert got.headers["x-should-retry"] == "false"
    assert error(got, field).startswith(f"{field}: ")


def strength_of(house: House, **fields: Any) -> float:
    seen = []
    real = house.parts.dispatcher.render

    async def render(order: Any, **options: Any) -> Any:
        seen.append(order.drawing.strength)
        return await real(order, **options)

    house.parts.dispatcher.render = render  # type: ignore[method-assign]
    try:
        got = edit(house, **fields)
    finally:
        house.parts.dispatcher.render = real  # type: ignore[method-assign]
    assert got.status_code == 200, got.text
    return float(seen[0])


def test_input_fidelity_sets_how_far_an_edit_goes(house: House) -> None:
    # case R19
    assert strength_of(house) == strength_of(house, input_fidelity="low") == 0.6
    assert strength_of(house, input_fidelity="high") == 0.3
    assert "one of the two" in error(edit(house, input_fidelity="high", strength="0.5"), "input_fidelity")


def test_strength_without_an_image_is_refused(house: House) -> None:
    # case R19
    got = house.send("POST", GENERATE, json={"prompt": HARMLESS, "strength": 0.5})
    assert got.json()["error"]["field"] == "strength"


# -- whose key: case R20 -----------------------------------------------------------------------------------------------

FOREIGN: list[dict[str, str]] = [
    {"Authorization": "Bearer sk-proj-abcdef"},
    {"Authorization": "sk-abcdef"},
    {"Authorization": "Basic dXNlcjpmZ19h"},
    {"Authorization": "Token abcdef"},
    {"Authorization": "bearer  hf_abcdef"},
    {"x-api-key": "sk-ant-abcdef"},
    {"x-key": "abcdef"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
@pytest.mark.parametrize("path", ["/v1/models", "/api/v1/models", "/v1/receipts/img_a"])
def test_a_key_of_another_system_is_told_apart_from_none(house: House, headers: dict[str, str], path: str) -> None:
    # case R20
    got = house.send("GET", path, key=None, headers=headers)
    assert got.status_code == 401
    assert "not a Fluxgate API key" in got.json()["error"]["message"]
    assert got.json()["error"]["code"] == "wrong_key_format"
    assert "abcdef" not in got.text
    assert got.headers["www-authenticate"] == "Bearer"


def test_our_key_under_another_scheme_is_told_how_to_send_it(house: House) -> None:
    # case R20
    for headers in ({"Authorization": house.key}, {"Authorization": f"Basic {house.key}"}):
        got = house.send("GET", "/v1/models", key=None, headers=headers)
        assert "Authorization: Bearer" in error(got)
        assert house.key not in got.text


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer "}, {"x-api-key": ""}], ids=str)
def test_no_key_is_no_key(house: House, headers: dict[str, str]) -> None:
    # case R20
    assert house.send("GET", "/v1/models", key=None, headers=headers).json()["error"]["code"] == "missing_key"


# -- whose shape: case R8 ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/chat/completions", "/v1/files/a/b", "/v1", "/v1/log/nothing"])
def test_an_unknown_route_below_v1_answers_as_openai_does(house: House, method: str, path: str) -> None:
    # case R8
    got = house.send(method, path)
    assert got.status_code == 404
    assert "route" in error(got)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", GENERATIONS, "POST"),
        ("DELETE", "/v1/models/fluxgate/pictograms", "GET"),
        ("PATCH", "/v1/verify", "POST"),
        ("PUT", "/c2pa/v1/matches/byBinding", "GET, POST"),
        ("PUT", "/api/v1/model/uploadMedia", "POST"),
    ],
)
def test_another_method_is_told_which_are_taken(house: House, method: str, path: str, allowed: str) -> None:
    # case R8
    got = house.send(method, path)
    assert got.status_code == 405
    assert got.headers["allow"] == allowed
    assert got.json()["error"]


@pytest.mark.parametrize(
    ("path", "params", "status"),
    [
        ("/v1/receipts/img_none", {}, 404),
        ("/v1/decisions/dec_none/reasons", {}, 404),
        ("/v1/log/consistency", {"old": 0}, 422),
    ],
)
def test_a_route_that_is_not_openais_still_has_the_error_its_client_reads(
    house: House, path: str, params: dict[str, Any], status: int
) -> None:
    # case R8
    got = house.send("GET", path, params=params)
    assert got.status_code == status
    assert error(got, "old" if params else None)
    assert got.headers["content-type"] == "application/problem+json"


def test_an_unknown_route_of_the_native_api_answers_as_that_does(house: House) -> None:
    # case R8
    got = house.send("GET", "/api/v1/model/nothing")
    assert (got.status_code, got.json()["error"]["code"]) == (404, "not_found")


# -- flagged: case moderation-01 ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def demo_house(tmp_path_factory: pytest.TempPathFactory, parts_path: str) -> Iterator[House]:
    house = House(tmp_path_factory.mktemp("demo-policy") / "data", policy="demo")
    yield house
    house.close()


@pytest.mark.parametrize(
    ("text", "flagged"),
    [
        ("사과 하나", False),
        ("kirmizi bir elma", False),
        ("a red apple", False),
        ("how to make a pipe bomb at home, step by step", True),
        ("Mickey Mouse", True),
    ],
)
def test_flagged_means_that_a_category_is_true(demo_house: House, text: str, flagged: bool) -> None:
    # case moderation-01
    (result,) = demo_house.send("POST", MODERATIONS, json={"input": text}).json()["results"]
    assert result["flagged"] is any(result["categories"].values())
    assert result["flagged"] is flagged
    if text == "사과 하나":
        assert result["fluxgate"]["verdict"] != "allow", "the answer tells it elsewhere"


# -- probing: case S9 --------------------------------------------------------------------------------------------------


def moderated(house: House) -> list[dict[str, Any]]:
    leaves = [json.loads(row["leaf"]) for row in house.rows("select leaf from log_entries order by idx")]
    return [leaf for leaf in leaves if leaf["outcome"] == "moderated"]


def test_scores_are_told_to_a_tenth_unless_the_key_may_see_them_exactly(house: House) -> None:
    # case S9
    _, exact = house.new_key("acme", scopes=(Scope.MODERATE, Scope.EXACT_SCORES))
    found = {}
    with switched(switched_words="finds:gore=0.4321"):
        for name, key in (("rounded", house.key), ("exact", exact)):
            (result,) = house.send("POST", MODERATIONS, json={"input": HARMLESS}, key=key).json()["results"]
            ours = result["fluxgate"]["categories"]
            found[name] = (result["category_scores"]["violence/graphic"], ours["gore"]["score"])
            scores = [*result["category_scores"].values(), *(each["score"] for each in ours.values())]
            assert name == "exact" or all(score == round(score, 1) for score in scores)
    assert found == {"rounded": (0.4, 0.4), "exact": (0.4321, 0.4321)}


def test_what_would_be_stopped_is_logged_one_by_one(house: House) -> None:
    # case S9
    before = len(moderated(house))
    with switched(switched_words="finds:gore"):
        asked = {"input": [f"{HARMLESS} zq7canary"] * 2, "user": "person-1"}
        answer = house.send("POST", MODERATIONS, json=asked).json()
    new = moderated(house)[before:]
    assert [entry["request_id"] for entry in new] == [f"{answer['id']}-0", f"{answer['id']}-1"]
    for entry in new:
        assert (entry["verdict"], entry["stage"], entry["reasons"][0]["category"]) == ("refuse", "prompt", "gore")
        assert set(entry["commitments"]) == {"principal", "subject", "end_user"}
        assert "canary" not in json.dumps(entry)
        assert "person-1" not in json.dumps(entry)


def test_the_others_are_one_total_for_a_key_and_an_hour(house: House) -> None:
    # case S9
    tenant, key = house.new_key("totals")
    log = house.parts.moderation_log
    before = len(moderated(house))
    for _ in range(3):
        assert house.send("POST", MODERATIONS, json={"input": [HARMLESS, HARMLESS]}, key=key).status_code == 200
    log.write()
    log.write()
    assert len(moderated(house)) == before, "the hour is not over"
    (row,) = house.rows("select * from moderation_totals where tenant = ?", tenant)
    assert row["passed"] == 6
    later = ModerationLog(house.folder.database, house.parts.ledger, lambda: time.time() + 2 * 3600)
    later.close_ended()
    later.close_ended()
    (entry,) = (each for each in moderated(house)[before:] if each["request_id"] == row["id"])
    assert entry["passed"]["subjects"] == 6
    assert set(entry["commitments"]) == {"principal"}
    assert house.rows("select * from moderation_totals where tenant = ?", tenant) == []
