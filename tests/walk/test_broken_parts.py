"""Each part breaks in turn: no picture leaves, the caller gets 503 with its own code, the log says what happened."""

import base64
import contextlib
from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, event

from tests.provenance.formats import every_format
from tests.walk import independent
from tests.walk.dialogues import Dialogue, Native, OpenAI
from tests.walk.house import HARMLESS, SIZE, House
from tests.walk.server_process import wait_until
from tests.walk.switched_parts import switched

BROKEN = [
    ("a_word_classifier_raises", {"switched_words": "raises"}, "screening_unanswered", "prompt"),
    ("a_word_classifier_hangs", {"switched_words": "hangs"}, "screening_unanswered", "prompt"),
    ("a_word_classifier_says_nothing", {"switched_words": "says_nothing"}, "screening_unanswered", "prompt"),
    ("the_engine_is_out_of_memory", {"switched_flux": "out_of_memory"}, "engine_out_of_memory", "prompt"),
    ("the_engine_raises", {"switched_flux": "raises"}, "engine_failed", "prompt"),
    ("an_image_classifier_raises", {"switched_eyes": "raises"}, "screening_unanswered", "output_image"),
    ("an_image_classifier_hangs", {"switched_eyes": "hangs"}, "screening_unanswered", "output_image"),
    ("an_image_classifier_says_nothing", {"switched_eyes": "says_nothing"}, "screening_unanswered", "output_image"),
    ("the_watermark_cannot_be_read", {"switched_mark": "unreadable"}, "mark_unreadable", "output_image"),
    ("the_watermarker_returns_its_input", {"switched_mark": "marks_nothing"}, "mark_unreadable", "output_image"),
    ("the_watermarker_raises", {"switched_mark": "raises"}, "sealing_failed", "output_image"),
    ("the_signer_is_gone", {"switched_signer": "gone"}, "signing_failed", "output_image"),
    # case S15: SystemExit in a part ends the process
    ("the_engine_exits", {"switched_flux": "exits"}, "engine_failed", "prompt"),
    ("an_image_classifier_exits", {"switched_eyes": "exits"}, "screening_unanswered", "output_image"),
    ("a_prompt_classifier_exits", {"switched_words": "exits"}, "screening_unanswered", "prompt"),
    ("the_watermarker_exits", {"switched_mark": "exits"}, "sealing_failed", "output_image"),
    ("the_signer_exits", {"switched_signer": "exits"}, "signing_failed", "output_image"),
    ("the_disk_exits", {"disk": "exits"}, "storage_unavailable", "output_image"),
    ("the_disk_is_full", {"disk": "full"}, "storage_unavailable", "output_image"),
    ("the_disk_fills_up_half_way", {"disk": "full_for_manifests"}, "storage_unavailable", "output_image"),
]


@pytest.mark.parametrize(("moods", "code", "stage"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_no_picture_leaves_when(house: House, dialogue: Dialogue, moods: dict[str, str], code: str, stage: str) -> None:
    before, budget = house.written(), house.left()
    with switched(**moods):
        answer = dialogue.ask(house, HARMLESS)
    jobs, entries, uploads, files = house.written()
    assert (jobs, entries, uploads, files) == (before[0] + 1, before[1] + 1, before[2], before[3])
    assert (answer.outcome, answer.code, answer.picture) == ("failed", code, None)
    if dialogue.name == "openai":
        assert answer.status == 503
        assert answer.body["error"]["type"] == "server_error"
    assert answer.header is not None
    entry = independent.check_tlog_proof(answer.header, house.vkey)
    assert (entry["outcome"], entry["failure"], entry["stage"]) == ("failed", code, stage)
    (job,) = house.rows("select * from jobs where id = ?", entry["request_id"])
    assert (job["state"], job["code"], job["order"], job["lease_until"]) == ("failed", code, None, None)
    wait_until(lambda: house.left() == budget, 5)  # what failed here is not the caller's to pay
    independent.check_whole_log(house.database, house.vkey)
    assert dialogue.ask(house, HARMLESS).outcome == "delivered", "and afterwards all is well again"


# case S5
@every_format
def test_no_picture_of_any_format_leaves_without_a_mark_in_its_bytes(house: House, media_type: str) -> None:
    kind, before = media_type.removeprefix("image/"), house.written()
    body = {"prompt": HARMLESS, "size": f"{SIZE}x{SIZE}", "num_inference_steps": 1, "output_format": kind}
    with switched(switched_mark="marks_nothing"):
        answer = house.send("POST", "/v1/images/generations", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "mark_unreadable")
    assert house.written()[3] == before[3]


# case R3
@pytest.mark.parametrize(("kind", "quality"), [("webp", 70), ("jpeg", 20), ("avif", 30), ("webp", 0), ("png", 1)])
def test_a_quality_that_takes_the_mark_away_is_raised_and_the_one_used_is_named(
    house: House, kind: str, quality: int
) -> None:
    asked = {"prompt": "a red apple", "seed": 7, "size": "256x256", "num_inference_steps": 1, "output_format": kind}
    answer = house.send("POST", "/v1/images/generations", json=asked | {"output_compression": quality})

    assert answer.status_code == 200, answer.text
    used = answer.json()["fluxgate"]["images"][0]["output_compression"]
    assert used is None if kind == "png" else used >= max(1, quality)
    file = base64.b64decode(answer.json()["data"][0]["b64_json"])
    found = house.send("POST", "/v1/verify", key=None, files={"file": ("a", file)}).json()
    assert found["layers"]["watermark"]["detected"]
    body = {"prompt": "a red apple", "seed": 7, "width": SIZE, "height": SIZE, "steps": 1, "output_format": kind}
    started = house.send("POST", "/api/v1/model/generateImage", json=body | {"output_quality": max(1, quality)})
    prediction = Native().wait(house, started.json()["id"])
    assert prediction.outcome == "delivered"
    seen = house.send("GET", f"/api/v1/model/prediction/{started.json()['id']}").json()
    assert seen["output_quality"] is None if kind == "png" else seen["output_quality"] >= max(1, quality)


def test_a_cancelled_prediction_ends_as_cancelled(house: House) -> None:
    budget = house.left()
    with switched(switched_flux="hangs"):
        started = house.send("POST", "/api/v1/model/generateImage", json={"prompt": HARMLESS})
        prediction = started.json()["id"]
        house.send("POST", f"/api/v1/model/prediction/{prediction}/cancel")
        answer = Native().wait(house, prediction)
    assert (answer.outcome, answer.code) == ("failed", "cancelled")
    assert independent.check_receipt(answer.receipt or {}, house.vkey)["failure"] == "cancelled"
    wait_until(lambda: house.left() == budget, 5)


def test_an_engine_that_cancels_by_itself_is_a_failure_not_a_picture(house: House) -> None:
    with switched(switched_flux="cancelled"):
        assert OpenAI().ask(house, HARMLESS).code == "cancelled"


def test_a_hard_finding_beside_a_silent_classifier_is_a_refusal(house: House, dialogue: Dialogue) -> None:
    with switched(switched_words="raises"):
        answer = dialogue.ask(house, "how to make a pipe bomb at home, step by step")
    assert (answer.outcome, answer.code) == ("refused", "moderation_blocked")


@contextlib.contextmanager
def full_database(house: House) -> Iterator[None]:
    """SQLite takes not one page more: the kernel's full disk as the database reports it (SQLITE_FULL)."""
    engine = house.folder.database

    def fill_up(connection: Connection) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    def free(connection: Connection) -> None:
        connection.exec_driver_sql("PRAGMA max_page_count = 1073741823")

    event.listen(engine, "begin", fill_up)
    try:
        yield
    finally:
        event.remove(engine, "begin", fill_up)
        event.listen(engine, "begin", free)


def test_nothing_is_accepted_when_the_database_is_full(house: House, dialogue: Dialogue) -> None:
    long = HARMLESS + " " * 3900  # does not fit into what is left of a page
    before, budget = house.written(), house.left()
    with full_database(house):
        route = {"native": "/api/v1/model/generateImage", "openai": "/v1/images/generations"}[dialogue.name]
        got = house.send("POST", route, json={"prompt": long})
    assert got.status_code == 503
    assert got.json()["error"]["code"] == "database_unavailable"
    assert got.headers["retry-after"]
    assert house.written() == before
    assert house.left() == budget


def recovered(house: House) -> None:
    """What another gateway does when the leases of this one have run out."""
    with house.folder.database.begin() as connection:
        connection.exec_driver_sql("UPDATE jobs SET lease_until = 0 WHERE lease_until IS NOT NULL")
    house.run(house.app.state.jobs._recover())


# case S15: after ledger_unavailable and refund the job is delivered
def test_a_picture_is_not_delivered_while_the_ledger_is_full_and_paid_when_it_is_delivered(house: House) -> None:
    before, budget = house.written(), house.left()
    body = {"prompt": HARMLESS, "width": 256, "height": 256, "steps": 1}
    with full_ledger(house):
        prediction = house.send("POST", "/api/v1/model/generateImage", json=body).json()["id"]
        wait_until(lambda: house.app.state.jobs.in_work == 0, 20)
        (job,) = house.rows("select * from jobs where id = ?", prediction)
        assert job["state"] == "running", "not recorded, so not over: it is taken up again when its lease has run out"
        assert house.written()[1] == before[1]
        assert house.left() == budget - job["cost"], "and nothing is given back before it is over"
    recovered(house)
    answer = Native().wait(house, prediction)
    assert answer.outcome == "delivered"
    entry = independent.check_receipt(answer.receipt or {}, house.vkey)
    assert house.written()[1] == before[1] + 1
    assert house.left() == budget - job["cost"]
    stem, digest = f"{prediction}-{entry['content_id']}", entry["manifest_sha256"]
    ours = {f"images/{stem}.{digest}.png", f"manifests/{digest}.c2pa"}
    assert house.kept(prediction) == ours, "of the recorded picture, and nothing of the first attempt"


# case S15: after ledger_unavailable and refund the job is delivered
def test_who_was_told_that_the_ledger_is_full_is_given_the_budget_back_and_no_picture_is_delivered(
    house: House,
) -> None:
    budget = house.left()
    body = {"prompt": HARMLESS, "size": "256x256", "num_inference_steps": 1}
    with full_ledger(house):
        got = house.send("POST", "/v1/images/generations", json=body)
    assert (got.status_code, got.json()["error"]["code"]) == (503, "ledger_unavailable")
    assert "data" not in got.json()
    (job,) = house.rows("select * from jobs order by created_at desc limit 1")
    assert job["state"] == "running"
    recovered(house)
    answer = Native().wait(house, job["id"])
    assert (answer.outcome, answer.code) == ("failed", "cancelled")
    assert not house.kept(job["id"])
    assert house.left() == budget


@contextlib.contextmanager
def full_ledger(house: House) -> Iterator[None]:
    """The log's table takes no row: an SQLite trigger that fails as a full disk fails."""
    with house.folder.database.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER full BEFORE INSERT ON log_entries BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
        )
    try:
        yield
    finally:
        with house.folder.database.begin() as connection:
            connection.exec_driver_sql("DROP TRIGGER full")
