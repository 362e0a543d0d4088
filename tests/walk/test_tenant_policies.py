"""A tenant's overlay decides wherever something is decided about that tenant, and about nobody else."""

import json
from pathlib import Path

import pytest

from gateway.parts import BootError
from gateway.rulebook import rulebook
from policies.loading import load_policy
from tests.walk.dialogues import Dialogue
from tests.walk.house import HARMLESS, POLICY, House
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


def test_an_overlay_for_what_is_no_tenants_name_does_not_start() -> None:
    with pytest.raises(BootError, match="fluxgate keys list"):
        rulebook(load_policy(POLICY), {"no tenant": Path("overlay.toml")})
