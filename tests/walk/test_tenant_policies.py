"""A tenant's overlay decides wherever something is decided about that tenant, and about nobody else."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.parts import BootError
from gateway.stations.rulebook import Rulebook, rulebook
from policies.loading import load_policy
from tests.walk.dialogues import Dialogue, Native, OpenAI
from tests.walk.house import HARMLESS, POLICY, SIZE, House
from tests.walk.switched_parts import switched
from tests.walk.test_uploads import a_picture


@pytest.fixture(scope="module")
def stricter(the_house: House) -> str:
    return the_house.new_key("stricter")[1]


def last_entry(house: House) -> dict:
    (last,) = house.rows("select leaf from log_entries order by idx desc limit 1")
    return json.loads(last["leaf"])


def test_a_request_is_decided_by_its_tenants_policy_whose_digest_is_logged(
    house: House, stricter: str, dialogue: Dialogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = {}
    for key, outcome in ((house.key, "held"), (stricter, "refused")):
        monkeypatch.setattr(house, "key", key)
        with switched(switched_words="finds:intellectual_property"):
            answer = dialogue.ask(house, HARMLESS)
        entry = last_entry(house)
        assert (answer.outcome, entry["outcome"]) == (outcome, outcome)
        assert answer.reasons is not None
        assert (answer.reasons["policy"], answer.reasons["policy_digest"]) == (entry["policy"], entry["policy_digest"])
        digests[entry["policy"]] = entry["policy_digest"]
    assert digests == {
        "walk": house.parts.rulebook.base.digest,
        "walk+stricter": house.parts.rulebook.policy_for("stricter").digest,
    }
    assert len(set(digests.values())) == 2


def test_a_picture_sent_in_is_decided_by_its_tenants_policy(house: House, stricter: str) -> None:
    for key, policy, verdict in ((house.key, "walk", "hold"), (stricter, "walk+stricter", "refuse")):
        with switched(switched_eyes="finds:intellectual_property"):
            sent = {"file": ("a.png", a_picture())}
            answer = house.send("POST", "/api/v1/model/uploadMedia", key=key, files=sent)
        assert answer.json()["error"]["statement_of_reasons"]["policy"] == policy
        assert (last_entry(house)["policy"], last_entry(house)["verdict"]) == (policy, verdict)


def test_a_moderation_call_is_answered_by_its_tenants_policy(house: House, stricter: str) -> None:
    for key, verdict in ((house.key, "hold"), (stricter, "refuse")):
        with switched(switched_words="finds:intellectual_property"):
            got = house.send("POST", "/v1/moderations", key=key, json={"input": HARMLESS}).json()
        assert got["results"][0]["fluxgate"]["verdict"] == verdict


ASKED = [
    pytest.param("acme", {}, "flag", None, id="nothing asked"),
    pytest.param("acme", {"safety_tolerance": 2}, "flag", (2, 2), id="the usual"),
    pytest.param("acme", {"safety_tolerance": 0}, "refuse", (0, 1), id="stricter, for anybody"),
    pytest.param("acme", {"safety_tolerance": 6}, "flag", (6, 2), id="softer, not granted"),
    pytest.param("softer", {"safety_tolerance": 6}, "allow", (6, 4), id="softer, granted"),
    pytest.param("softer", {"moderation": "low"}, "allow", (6, 4), id="low, granted"),
    pytest.param("acme", {"moderation": "low"}, "flag", (6, 2), id="low, not granted"),
    pytest.param("softer", {"moderation": "auto"}, "flag", None, id="auto is as nothing asked"),
]


@pytest.mark.parametrize(("tenant", "wish", "verdict", "tolerance"), ASKED)
def test_what_is_asked_for_counts_as_far_as_it_was_granted_and_both_are_logged(
    house: House, monkeypatch: pytest.MonkeyPatch, tenant: str, wish: dict, verdict: str, tolerance: tuple | None
) -> None:
    monkeypatch.setattr(house, "key", house.new_key(tenant)[1])
    dialogue = OpenAI() if "moderation" in wish else Native()
    dialogue.ask(house, "a pistol in a museum", **wish)
    entry = last_entry(house)
    logged = entry.get("tolerance")
    assert entry["verdict"] == verdict
    assert logged == (tolerance and {"asked": tolerance[0], "counted": tolerance[1]})
    assert entry["policy_digest"] == house.parts.rulebook.base.digest


@pytest.mark.parametrize("dialogue", [Native(), OpenAI()], ids=["native", "openai"])
def test_no_parameter_reaches_the_floor(
    house: House, monkeypatch: pytest.MonkeyPatch, dialogue: Native | OpenAI
) -> None:
    monkeypatch.setattr(house, "key", house.new_key("softer")[1])
    wish = {"moderation": "low"} if isinstance(dialogue, OpenAI) else {"safety_tolerance": 6}
    for part in ("switched_words", "switched_eyes"):
        for category in ("csae", "ncii"):
            with switched(**{part: f"finds:{category}"}):
                assert dialogue.ask(house, HARMLESS, **wish).outcome == "refused"
            assert any(reason["floor"] for reason in last_entry(house)["reasons"])


def test_a_rule_on_trial_stands_in_the_entry_and_stops_nothing(
    house: House, stricter: str, dialogue: Dialogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(house, "key", stricter)
    answer = dialogue.ask(house, "a pistol in a museum")
    entry = last_entry(house)
    assert (answer.outcome, entry["verdict"]) == ("delivered", "flag")
    assert [(shadow["rule"], shadow["verdict"]) for shadow in entry["shadows"]] == [("on-trial", "refuse")]
    assert "on-trial" not in {reason["rule"] for reason in entry["reasons"]}


def test_a_canary_decides_and_the_log_and_health_name_it(house: House) -> None:
    base = house.parts.rulebook.base
    canary = replace(base, name="next", digest="sha256:" + "c" * 64)
    app = house.beside(rulebook=Rulebook(base, {}, Rulebook(canary, {}), 1.0))
    asked = {"prompt": HARMLESS, "size": f"{SIZE}x{SIZE}", "num_inference_steps": 1}
    assert house.send("POST", "/v1/images/generations", app=app, json=asked).status_code == 200
    entry = last_entry(house)
    assert (entry["policy"], entry["policy_digest"]) == ("next", canary.digest)
    health = house.send("GET", "/health", app=app).json()
    assert (health["policy"]["name"], health["canary"]["name"], health["canary"]["share"]) == ("walk", "next", 1.0)
    assert house.send("GET", "/health").json()["canary"] is None


def test_an_overlay_for_what_is_no_tenants_name_does_not_start() -> None:
    with pytest.raises(BootError, match="fluxgate keys list"):
        rulebook(load_policy(POLICY), {"no tenant": Path("overlay.toml")})
