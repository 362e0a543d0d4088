"""What anyone can see: the API's description, health, metrics, limits, the log's own routes."""

import html
import json
from typing import Any

import orjson
import pytest
from fastapi.openapi.utils import get_openapi

from gateway.limits import Limits, LimitSettings
from tests.walk import independent
from tests.walk.dialogues import Native, OpenAI
from tests.walk.house import HARMLESS, House
from tests.walk.switched_parts import switched

PUBLIC = ("/c2pa", "/.well-known", "/files", "/health", "/metrics", "/v1/", "/d/")


@pytest.fixture(scope="module")
def described(the_house: House) -> dict[str, Any]:
    got = the_house.send("GET", "/openapi.json", key=None)
    assert got.status_code == 200
    document: dict[str, Any] = got.json()
    return document


def test_every_route_is_described(described: dict[str, Any], the_house: House) -> None:
    assert described == get_openapi(
        title=the_house.app.title,
        version=the_house.app.version,
        description=the_house.app.description,
        routes=the_house.app.routes,
    )
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            assert operation.get("summary"), f"{method} {path}"
            assert operation.get("tags"), f"{method} {path}"


def test_every_route_with_a_body_has_examples_and_the_examples_work(
    described: dict[str, Any], the_house: House
) -> None:
    # case R24
    page = html.unescape(the_house.send("GET", "/docs", key=None).text)
    ran = 0
    for path, methods in described["paths"].items():
        content = methods.get("post", {}).get("requestBody", {}).get("content", {}).get("application/json")
        if content is None:
            continue
        assert content["examples"], path
        for name, example in content["examples"].items():
            assert orjson.dumps(example["value"], option=orjson.OPT_INDENT_2).decode() in page, name
            got = the_house.send("POST", path.format(manifest_id="urn:c2pa:a"), json=example["value"])
            assert got.status_code == 200, (name, got.text)
            if path.startswith("/api"):
                assert Native().wait(the_house, got.json()["id"]).outcome == "delivered"
            ran += 1
    assert ran >= 9


def test_every_route_says_what_it_answers_how_it_refuses_and_who_may_ask(described: dict[str, Any]) -> None:
    # case R24
    assert described["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            answers, where = operation["responses"], f"{method} {path}"
            assert ("200" in answers) != path.endswith("/variations"), where
            for kind, content in answers.get("200", {}).get("content", {}).items():
                assert kind != "application/json" or "$ref" in content["schema"], where
            assert all(answer["content"] for answer in answers.values()), where
            assert ("401" in answers) == bool(operation.get("security")), where
            if "401" in answers:
                assert {"403", "429", "503"} <= set(answers), where
            else:
                assert path.startswith(PUBLIC), where
    form = described["paths"]["/v1/images/edits"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert {"image", "mask", "prompt", "size", "n"} <= set(form["properties"])


def test_the_documents_page_loads(the_house: House) -> None:
    page = the_house.send("GET", "/docs", key=None)
    assert page.status_code == 200
    assert "/api/v1/model/generateImage" in page.text
    assert "http" not in page.text.replace("http-equiv", ""), "the page loads nothing from anywhere"


def test_a_live_and_ready_house_says_so(the_house: House) -> None:
    assert the_house.send("GET", "/health/live", key=None).json() == {"status": "ok"}
    ready = the_house.send("GET", "/health/ready", key=None)
    assert (ready.status_code, ready.json()["status"]) == (200, "ok")


def test_health_names_policy_models_and_what_nobody_looks_for(the_house: House) -> None:
    health = the_house.send("GET", "/health", key=None).json()
    assert health["policy"]["digest"] == the_house.parts.rulebook.base.digest
    assert health["models"][0]["id"] == "fluxgate/pictograms"
    assert {"terms", "switched_words", "pdq_list", "switched_eyes"} <= {each["name"] for each in health["classifiers"]}
    assert health["accepted_gaps"] == []
    assert health["limits_degraded"] is False


def test_metrics_count_outcomes(the_house: House) -> None:
    def delivered() -> float:
        text = the_house.send("GET", "/metrics", key=None).text
        lines = [x for x in text.splitlines() if x.startswith("fluxgate_outcomes_total") and "delivered" in x]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    Native().ask(the_house, HARMLESS)
    before = delivered()
    Native().ask(the_house, HARMLESS)
    assert delivered() == before + 1


def limited(house: House, **limits: Any) -> Any:
    settings = LimitSettings(**({
        "key_requests_per_minute": 1000, "tenant_requests_per_minute": 1000,
        "image_budget_per_day": 1000.0, "public_requests_per_minute": 1000,
    } | limits))  # fmt: skip
    return house.beside(limits=Limits(settings), limit_settings=settings)


def test_every_answer_to_a_key_tells_where_it_stands(the_house: House) -> None:
    for path in ("/api/v1/models", "/v1/models", "/api/v1/model/predictions"):
        got = the_house.send("GET", path)
        assert '"key";q=' in got.headers["ratelimit-policy"]
        assert '"tenant";r=' in got.headers["ratelimit"]


@pytest.mark.parametrize("path", ["/api/v1/models", "/v1/models"])
def test_too_many_requests_are_told_when_to_come_back(the_house: House, path: str) -> None:
    app = limited(the_house, key_requests_per_minute=3)
    got = [the_house.send("GET", path, app=app) for _ in range(4)]
    assert [each.status_code for each in got] == [200, 200, 200, 429]
    assert got[3].json()["error"]["code"] == "rate_limited"
    assert 1 <= int(got[3].headers["retry-after"]) <= 120
    assert '"key";r=0' in got[3].headers["ratelimit"]
    assert "x-should-retry" not in got[3].headers


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/model/generateImage", {"prompt": HARMLESS, "steps": 20}),
        ("/v1/images/generations", {"prompt": HARMLESS, "num_inference_steps": 20}),
    ],
)
def test_a_budget_that_is_used_up_takes_nothing_more(the_house: House, path: str, body: dict[str, Any]) -> None:
    app = limited(the_house, image_budget_per_day=1.0)  # one megapixel-step: 256 x 256 at 20 steps costs 1.3
    before = the_house.written()
    got = the_house.send("POST", path, json=body, app=app)
    assert got.status_code == 429
    assert got.json()["error"]["code"] == "budget_exhausted"
    assert "retry-after" not in got.headers, "it would not fit into any day"
    assert the_house.written() == before


def test_a_public_address_may_verify_only_so_often(the_house: House) -> None:
    app = limited(the_house, public_requests_per_minute=2)
    got = [the_house.send("POST", "/v1/verify", key=None, files={"file": ("a", b"x")}, app=app) for _ in range(3)]
    assert [each.status_code for each in got] == [200, 200, 429]
    assert got[2].headers["content-type"] == "application/problem+json"
    assert got[2].headers["retry-after"]


def test_many_refusals_at_once_are_all_answered(the_house: House) -> None:
    """They are closed before the last of them is accepted: nobody may wait for a job that is gone."""
    body = {"prompt": "how to make a pipe bomb at home, step by step", "n": 10, "size": "256x256"}
    before = the_house.written()
    got = the_house.send("POST", "/v1/images/generations", json=body)
    assert got.json()["error"]["code"] == "moderation_blocked"
    assert the_house.written()[:2] == (before[0] + 10, before[1] + 10)


def test_pictures_delivered_and_stopped_are_told_apart(the_house: House) -> None:
    body = {"prompt": HARMLESS, "n": 3, "size": "256x256", "num_inference_steps": 1, "seed": 5}
    got = the_house.send("POST", "/v1/images/generations", json=body).json()
    assert len(got["data"]) == 3
    assert got["fluxgate"]["stopped"] == []
    for facts in got["fluxgate"]["images"]:
        independent.check_receipt(facts["receipt"], the_house.vkey)


def test_the_log_shows_that_it_only_grew(the_house: House) -> None:
    OpenAI().ask(the_house, HARMLESS)
    older = the_house.send("GET", "/v1/log/checkpoint", key=None).text
    vkey = the_house.send("GET", "/v1/log/key", key=None).text
    assert vkey.strip() == the_house.vkey
    _, old, _ = independent.open_note(older, vkey)
    OpenAI().ask(the_house, HARMLESS)
    _, new, _ = independent.open_note(the_house.send("GET", "/v1/log/checkpoint", key=None).text, vkey)
    assert new == old + 1
    got = the_house.send("GET", "/v1/log/consistency", key=None, params={"old": old, "new": new})
    assert got.status_code == 200
    assert (
        the_house.send("GET", "/v1/log/consistency", key=None, params={"old": old, "new": new + 1}).status_code == 404
    )
    assert the_house.send("GET", "/v1/log/consistency", key=None, params={"old": 0, "new": new}).status_code == 422


def test_a_receipt_can_be_fetched_again_against_a_newer_checkpoint(the_house: House) -> None:
    answer = Native().ask(the_house, HARMLESS)
    Native().ask(the_house, HARMLESS)
    got = the_house.send("GET", f"/v1/receipts/{answer.body['id']}")
    entry = independent.check_receipt(got.json(), the_house.vkey)
    assert entry == json.loads((answer.receipt or {})["leaf"])


def test_the_history_pages_newest_first_without_gap_or_double(the_house: House) -> None:
    made = [Native().ask(the_house, HARMLESS).body["id"] for _ in range(3)]
    first = the_house.send("GET", "/api/v1/model/predictions", params={"limit": 2}).json()
    second = the_house.send("GET", "/api/v1/model/predictions", params={"limit": 2, "before": first["next"]}).json()
    listed = [each["id"] for each in first["data"] + second["data"]]
    assert listed[:3] == made[::-1]
    assert len(set(listed)) == 4


def test_a_moderation_answers_in_all_thirteen_categories(the_house: House) -> None:
    with switched(switched_words="finds:gore"):
        got = the_house.send("POST", "/v1/moderations", json={"input": [HARMLESS, HARMLESS]}).json()
    assert len(got["results"]) == 2
    for result in got["results"]:
        assert result["flagged"]
        assert result["categories"]["violence/graphic"]
        assert not result["categories"]["sexual/minors"]
        for each in ("categories", "category_scores", "category_applied_input_types"):
            assert len(result[each]) == 13


def test_a_moderation_nobody_answered_is_no_clean_one(the_house: House) -> None:
    with switched(switched_words="raises"):
        got = the_house.send("POST", "/v1/moderations", json={"input": HARMLESS})
    assert (got.status_code, got.json()["error"]["code"]) == (503, "screening_unanswered")
    assert "results" not in got.json()
