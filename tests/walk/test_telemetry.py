"""What an operator sees of requests: one line for each, metrics by category and stage, and never a prompt."""

import json
import logging
from typing import Any

import pytest

from gateway.telemetry import JsonLines
from tests.walk.dialogues import Dialogue
from tests.walk.house import HARMLESS, House

REFUSED = "how to make a pipe bomb at home, step by step"


def lines(caplog: pytest.LogCaptureFixture, name: str) -> list[dict[str, Any]]:
    return [json.loads(JsonLines().format(record)) for record in caplog.records if record.name == name]


@pytest.mark.parametrize(("prompt", "outcome"), [(HARMLESS, "delivered"), (REFUSED, "refused")])
def test_one_line_says_how_a_request_ended(
    house: House, dialogue: Dialogue, caplog: pytest.LogCaptureFixture, prompt: str, outcome: str
) -> None:
    # case R26
    with caplog.at_level(logging.INFO):
        assert dialogue.ask(house, prompt, safety_identifier="user-17").outcome == outcome
    (line,) = lines(caplog, "fluxgate.requests")
    (entry,) = house.rows("select state, dialect, stage from jobs where id = ?", line["request_id"])
    assert (line["outcome"], line["dialect"], line["stage"]) == (outcome, entry["dialect"], entry["stage"])
    assert bool(line["categories"]) is (outcome == "refused")
    assert {"prompt", "recording"} <= set(line["seconds"])
    assert ("engine" in line["seconds"]) is (outcome == "delivered")
    answered = lines(caplog, "fluxgate.http")
    assert line["request_id"] in [each["request_id"] for each in answered]
    assert all(each["route"] and each["status"] for each in answered)
    everything = "\n".join(JsonLines().format(record) for record in caplog.records)
    for secret in (prompt, house.key, "user-17", "pipe bomb"):
        assert secret not in everything


def test_the_request_id_of_an_answer_is_that_of_its_entry(house: House) -> None:
    # case R11
    body = {"prompt": REFUSED, "size": "256x256"}
    for headers in ({}, {"x-request-id": "mine-1"}):
        got = house.send("POST", "/v1/images/generations", json=body, headers=headers)
        (entry,) = house.rows("select leaf from log_entries where request_id = ?", got.headers["x-request-id"])
        assert json.loads(entry["leaf"])["outcome"] == "refused"
    got = house.send("GET", "/v1/models", headers={"x-request-id": "mine-1"})
    assert got.headers["x-client-request-id"] == "mine-1"
    assert got.headers["x-request-id"].startswith("req_")


def test_metrics_name_category_and_stage(house: House, dialogue: Dialogue) -> None:
    # case R26
    dialogue.ask(house, HARMLESS)
    assert dialogue.ask(house, REFUSED).outcome == "refused"
    text = house.send("GET", "/metrics", key=None).text
    stops = [line for line in text.splitlines() if line.startswith("fluxgate_stops_total{")]
    assert any('outcome="refused"' in line and 'stage="prompt"' in line and 'category="' in line for line in stops)
    for stage in ("prompt", "image", "engine", "sealing", "recording"):
        assert f'fluxgate_stage_seconds_count{{stage="{stage}"}}' in text


def test_asking_for_health_writes_no_lines(house: House, caplog: pytest.LogCaptureFixture) -> None:
    # case R26
    with caplog.at_level(logging.INFO):
        for path in ("/health/live", "/metrics"):
            house.send("GET", path, key=None)
    assert not lines(caplog, "fluxgate.http")
