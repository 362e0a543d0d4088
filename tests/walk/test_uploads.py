"""Pictures sent in pass the same stations as pictures drawn; one that is not taken leaves reasons and an entry."""

import asyncio
import hashlib
import io
import json
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from diffusers.pipelines.stable_diffusion_xl.watermark import WATERMARK_BITS
from imwatermark import WatermarkEncoder
from PIL import Image, ImageFilter

from gateway.errors import NotFound
from gateway.stations.seen import Seen
from tests.walk import independent
from tests.walk.dialogues import Native
from tests.walk.house import HARMLESS, SIZE, House, walk_settings
from tests.walk.switched_parts import SwitchedEyes, switched


def a_picture() -> bytes:
    file = io.BytesIO()
    Image.effect_noise((64, 64), 60).convert("RGB").save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("mood", "status", "code", "outcome"),
    [("finds:gore", 400, "moderation_blocked", "refused"), ("raises", 503, "screening_unanswered", "failed")],
)
def test_a_picture_that_is_not_taken_is_not_kept_and_is_in_the_log(
    house: House, mood: str, status: int, code: str, outcome: str
) -> None:
    before = house.written()
    with switched(switched_eyes=mood):
        answer = house.send("POST", "/api/v1/model/uploadMedia", files={"file": ("secret-name.png", a_picture())})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    after = house.written()
    assert (after[0], after[1] - before[1], after[2:]) == (before[0], 1, before[2:])
    (last,) = house.rows("select leaf from log_entries order by idx desc limit 1")
    entry = json.loads(last["leaf"])
    assert (entry["outcome"], entry["stage"]) == (outcome, "input_image")
    assert set(entry["commitments"]) == {"principal", "upload"}
    assert "secret-name" not in last["leaf"].decode()


def test_an_uploaded_picture_keeps_its_bytes(house: House) -> None:
    data = a_picture()
    sent = house.send("POST", "/api/v1/model/uploadMedia", files={"file": ("../../etc/passwd.png", data)}).json()[
        "data"
    ]
    assert (sent["file_name"], sent["foreign_marks"]) == ("passwd.png", [])
    assert house.send("GET", sent["download_url"], key=None).content == data


def test_the_sender_is_told_whose_mark_a_picture_carries_and_it_is_kept(house: House) -> None:
    encoder = WatermarkEncoder()
    encoder.set_watermark("bits", WATERMARK_BITS)
    noise = Image.effect_noise((320, 320), 60).convert("RGB").filter(ImageFilter.GaussianBlur(3))
    marked = encoder.encode(np.asarray(noise, np.float32)[..., ::-1].copy(), "dwtDct")
    file = io.BytesIO()
    Image.fromarray(np.clip(np.rint(marked), 0, 255).astype(np.uint8)[..., ::-1]).save(file, "PNG")

    sent = house.send("POST", "/api/v1/model/uploadMedia", files={"file": ("a.png", file.getvalue())}).json()["data"]

    assert sent["foreign_marks"] == ["Stable Diffusion XL"]
    assert house.send("GET", sent["download_url"], key=None).content == file.getvalue()


def test_a_known_picture_is_stopped_with_reasons(house: House) -> None:
    card = files("policies").joinpath("data/hashes/test_card.png").read_bytes()
    before = house.written()
    answer = house.send("POST", "/api/v1/model/uploadMedia", files={"file": ("card.png", card)})
    error = answer.json()["error"]
    assert answer.status_code == 400
    assert error["statement_of_reasons"]["categories"] == ["intellectual_property"]
    assert error["statement_of_reasons"]["stage"] == "input_image"
    assert house.written() == (before[0], before[1] + 1, before[2], before[3])
    entry = independent.check_whole_log(house.database, house.vkey)[-1]
    assert (entry["outcome"], entry["reasons"][0]["classifier"]) == ("refused", "pdq_list")


def test_a_listed_file_is_stopped_by_its_digest_also_when_it_is_listed_after_it_was_sent(
    tmp_path: Path, parts_path: str
) -> None:
    sent, listed = io.BytesIO(), tmp_path / "list.csv"
    Image.effect_noise((SIZE, SIZE), 60).convert("RGB").save(sent, "PNG")
    rows = ["collab,signal_type,signal_str,category,tags", "ours,md5," + "0" * 32 + ",POSITIVE_CLASS,"]
    listed.write_text("\n".join(rows))
    path = tmp_path / "data"
    known = {"lists": [{"id": "feed", "category": "csae", "path": str(listed)}]}
    house = House(path, parts=walk_settings(path)["parts"] | {"pdq_list": known})
    try:
        file = {"file": ("a.png", sent.getvalue())}
        taken = house.send("POST", "/api/v1/model/uploadMedia", files=file).json()["data"]["download_url"]
        rows.append(f"ours,md5,{hashlib.md5(sent.getvalue()).hexdigest()},POSITIVE_CLASS,")
        listed.write_text("\n".join(rows))
        got = house.send("POST", "/api/v1/model/uploadMedia", files=file).json()["error"]
        assert got["statement_of_reasons"]["categories"] == ["csae"]
        body = {"prompt": HARMLESS, "image": taken, "steps": 4, "width": SIZE, "height": SIZE}
        started = house.send("POST", "/api/v1/model/generateImage", json=body).json()
        assert Native().wait(house, started["id"]).outcome == "refused", "what was taken in before is looked at again"
    finally:
        house.close()


def test_an_upload_expires_and_is_deleted_but_not_under_a_job_that_works_on_it(house: House) -> None:
    # case S15
    sent = house.send("POST", "/api/v1/model/uploadMedia", files={"file": ("a.png", a_picture(), "image/png")})
    assert sent.status_code == 200, sent.text
    (row,) = house.rows("select * from uploads order by created_at desc limit 1")
    uploads = house.parts.uploads
    own_clock = uploads._clock
    try:
        for hours, usable, kept in ((23.5, True, True), (24.5, False, True), (25.5, False, False)):
            uploads._clock = lambda hours=hours: own_clock() + timedelta(hours=hours)
            house.run(asyncio.to_thread(uploads.delete_expired))
            assert bool(house.rows("select id from uploads where id = ?", row["id"])) is kept
            assert any(row["id"] in name for name in house.blobs()) is kept
            if not usable:
                with pytest.raises(NotFound):
                    uploads.row(row["id"], "acme")
            if kept:
                assert uploads.row(row["id"], "acme", in_work=True).id == row["id"]
    finally:
        uploads._clock = own_clock


def test_what_a_tenant_keeps_here_is_bounded(house: House) -> None:
    # case S15
    uploads, before = house.parts.uploads, house.written()
    quota, uploads._quota_bytes = uploads._quota_bytes, 10
    try:
        refused = house.send("POST", "/api/v1/model/uploadMedia", files={"file": ("a.png", a_picture(), "image/png")})
    finally:
        uploads._quota_bytes = quota
    assert refused.status_code == 422, refused.text
    assert "kept for you" in refused.text
    assert house.written() == before


@pytest.mark.parametrize(("steady", "asked"), [(True, [1, 1, 1]), (False, [1, 2, 3])])
def test_an_upload_is_looked_at_once_by_steady_parts_and_each_time_by_others(
    house: House, monkeypatch: pytest.MonkeyPatch, *, steady: bool, asked: list[int]
) -> None:
    monkeypatch.setattr(SwitchedEyes, "steady", steady)
    monkeypatch.setattr(SwitchedEyes, "asked", 0)
    taken = house.send("POST", "/api/v1/model/uploadMedia", files={"file": ("a.png", a_picture())}).json()["data"]
    counted = [SwitchedEyes.asked]
    for _ in range(2):
        body = {"prompt": HARMLESS, "image": taken["download_url"], "steps": 4, "width": SIZE, "height": SIZE}
        started = house.send("POST", "/api/v1/model/generateImage", json=body).json()
        assert Native().wait(house, started["id"]).outcome == "delivered"
        counted.append(SwitchedEyes.asked)
    assert counted == asked


def test_what_was_seen_holds_for_its_file_its_policy_and_its_day_and_silence_is_never_kept(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SwitchedEyes, "steady", True)
    monkeypatch.setattr(SwitchedEyes, "asked", 0)
    now, pixels = [datetime(2026, 12, 1, 23, tzinfo=UTC)], np.asarray(Image.open(io.BytesIO(a_picture())))
    one, other = (Seen(house.parts.screening, f"sha256:{name}", lambda: now[0]) for name in ("one", "other"))

    def asked_by(seen: Seen, data: bytes) -> int:
        before = SwitchedEyes.asked
        house.run(seen.findings(data, pixels))
        return SwitchedEyes.asked - before

    with switched(switched_eyes="raises"):
        assert (asked_by(one, b"a"), asked_by(one, b"a")) == (1, 1)
    assert (asked_by(one, b"a"), asked_by(one, b"a")) == (1, 0)
    assert (asked_by(one, b"b"), asked_by(other, b"a")) == (1, 1)
    now[0] += timedelta(hours=1)
    assert (asked_by(one, b"a"), asked_by(one, b"a")) == (1, 0)
