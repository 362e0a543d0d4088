"""One request end to end, per dialect and outcome; its log entry and proof checked by a second implementation."""

import hashlib

import pytest

from tests.walk import independent
from tests.walk.dialogues import Answer, Dialogue
from tests.walk.house import HARMLESS, SIZE, House
from tests.walk.switched_parts import switched

REFUSED_WORDS = "how to make a pipe bomb at home, step by step"


def recorded(house: House, answer: Answer, outcome: str) -> dict:
    """The request's one log entry, proven twice; the job that ended with it."""
    assert answer.outcome == outcome
    assert answer.header is not None
    entry = independent.check_tlog_proof(answer.header, house.vkey)
    if answer.receipt is not None:
        assert independent.check_receipt(answer.receipt, house.vkey) == entry
    everything = independent.check_whole_log(house.database, house.vkey)
    assert [each for each in everything if each["request_id"] == entry["request_id"]] == [entry]
    assert entry["outcome"] == outcome
    (job,) = house.rows("select * from jobs where id = ?", entry["request_id"])
    assert job["state"] == outcome
    assert job["order"] is None, "the words are kept no longer than the work"
    assert job["lease_until"] is None
    assert job["completed_at"] >= job["created_at"]
    return entry


def files_of(house: House, entry: dict) -> set[str]:
    return house.kept(entry["request_id"])


def test_a_delivered_picture_is_in_the_log_byte_for_byte(house: House, dialogue: Dialogue) -> None:
    answer = dialogue.ask(house, HARMLESS, safety_identifier="user-17")
    entry = recorded(house, answer, "delivered")
    assert answer.picture is not None
    assert hashlib.sha256(answer.picture).hexdigest() == entry["output_sha256"]
    assert (entry["dialect"], entry["stage"], entry["verdict"]) == (dialogue.name, "output_image", "allow")
    assert entry["weights_digest"].startswith("sha256:")
    assert entry["policy_digest"] == house.parts.rulebook.base.digest
    assert entry["timestamped"] is False
    (image,) = house.rows("select * from images where job_id = ?", entry["request_id"])
    assert image["content_id"] == entry["content_id"]
    assert not image["held"]


def test_a_commitment_in_the_log_opens_for_the_prompt_and_for_nothing_else(house: House, dialogue: Dialogue) -> None:
    entry = recorded(house, dialogue.ask(house, HARMLESS, safety_identifier="user-17"), "delivered")
    (opening,) = house.rows("select salt from log_openings where request_id = ?", entry["request_id"])
    (job,) = house.rows("select key_id from jobs where id = ?", entry["request_id"])
    key = (house.path / "keys" / "openings.key").read_bytes()
    salt, made = independent.read_salt(opening["salt"], key, entry["request_id"]), entry["commitments"]
    assert independent.opens(made["prompt"], salt, "prompt", HARMLESS.encode())
    assert independent.opens(made["principal"], salt, "principal", f"acme/{job['key_id']}".encode())
    assert independent.opens(made["end_user"], salt, "end_user", b"acme\0user-17")
    assert not independent.opens(made["prompt"], salt, "prompt", b"a green apple on a wooden table")


def test_a_refused_prompt_gets_reasons_and_no_picture(house: House, dialogue: Dialogue) -> None:
    answer = dialogue.ask(house, REFUSED_WORDS)
    entry = recorded(house, answer, "refused")
    assert answer.code == "moderation_blocked"
    assert (entry["stage"], entry["verdict"], entry["automated"]) == ("prompt", "refuse", True)
    assert entry["reasons"][0]["rule"] == "out-of-scope"
    assert "output_sha256" not in entry
    assert answer.reasons is not None
    assert answer.reasons["automated"] is True
    assert answer.reasons["appeal"]
    assert {"category", "stage", "rule", "ground", "text"} <= set(answer.reasons["reasons"][0])
    assert "score" not in str(answer.reasons), "a score would help someone probe the threshold"
    assert "bomb" not in str(answer.body), "the subject is never quoted"
    assert not files_of(house, entry)
    told = house.send("GET", f"/v1/decisions/{answer.reasons['decision']}/reasons")
    assert told.json() == answer.reasons


def test_a_picture_refused_after_drawing_is_not_stored(house: House, dialogue: Dialogue) -> None:
    with switched(switched_eyes="finds:gore"):
        answer = dialogue.ask(house, HARMLESS)
    entry = recorded(house, answer, "refused")
    assert (entry["stage"], entry["reasons"][0]["category"]) == ("output_image", "gore")
    assert "output_sha256" not in entry
    assert not files_of(house, entry)
    assert not house.rows("select * from images where job_id = ?", entry["request_id"])


def test_words_that_are_held_are_not_drawn(house: House, dialogue: Dialogue) -> None:
    with switched(switched_words="finds:intellectual_property"):
        answer = dialogue.ask(house, HARMLESS)
    entry = recorded(house, answer, "held")
    assert answer.code == "held_for_review"
    assert (entry["stage"], entry["verdict"]) == ("prompt", "hold")
    assert not files_of(house, entry)


def test_a_held_picture_waits_inside_sealed_and_logged(house: House, dialogue: Dialogue) -> None:
    with switched(switched_eyes="finds:intellectual_property"):
        answer = dialogue.ask(house, HARMLESS)
    entry = recorded(house, answer, "held")
    (image,) = house.rows("select * from images where job_id = ?", entry["request_id"])
    assert image["held"]
    assert image["sha256"] == entry["output_sha256"]
    kept = [name for name in files_of(house, entry) if name.endswith(".png")]
    assert hashlib.sha256((house.path / "blobs" / kept[0]).read_bytes()).hexdigest() == entry["output_sha256"]
    path = f"/files/images/{image['content_id']}.png"
    link = house.parts.links.link("https://gate.test", path)
    got = house.send("GET", link, key=None)
    assert got.status_code == 404, "even a rightly signed link does not give a held picture away"
    assert "image" not in got.headers["content-type"]


def test_a_failure_has_its_entry_and_its_code(house: House, dialogue: Dialogue) -> None:
    with switched(switched_flux="raises"):
        answer = dialogue.ask(house, HARMLESS)
    entry = recorded(house, answer, "failed")
    assert answer.code == entry["failure"] == "engine_failed"
    assert "CUDA" not in str(answer.body)


def test_an_edit_names_its_parent_and_commits_to_it(house: House) -> None:
    from PIL import Image

    from tests.walk.dialogues import Native

    file = house.path / "parent.png"
    Image.effect_noise((SIZE, SIZE), 60).convert("RGB").save(file)
    sent = house.send("POST", "/api/v1/model/uploadMedia", files={"file": ("parent.png", file.read_bytes())})
    link = sent.json()["data"]["download_url"]
    assert house.send("GET", link, key=None).content == file.read_bytes()
    card = house.send("GET", "/api/v1/models").json()["data"][0]
    if "image" not in card["modes"]:
        pytest.skip("this model does not start from a picture")
    answer = Native().ask(house, HARMLESS, image=link, strength=0.5, steps=4)
    entry = recorded(house, answer, "delivered")
    assert "upload" in entry["commitments"]
    assert b"compositeWithTrainedAlgorithmicMedia" in (answer.picture or b"")
