"""From a copy back to manifest and log: the C2PA Soft Binding Resolution API, asked as a stranger asks it."""

import base64
import hashlib
import io
import json
from typing import Any
from urllib.parse import quote

import c2pa
import numpy as np
import pytest
from PIL import Image

from provenance.log.receipts import Receipt, verify_receipt
from tests.walk.dialogues import Native
from tests.walk.house import House

ROOT = "/c2pa/v1"


@pytest.fixture(scope="module")
def delivered(the_house: House) -> dict[str, Any]:
    got = Native().ask(the_house, "a turtle and a crown on a purple background", seed=41)
    assert got.outcome == "delivered"
    with the_house.parts.database.connect() as connection:
        row = connection.exec_driver_sql("select * from images order by created_at desc limit 1").mappings().one()
    return {**row, "data": got.picture}


def stripped(data: bytes, **changes: Any) -> bytes:
    out = io.BytesIO()
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    picture.save(out, "JPEG", quality=changes.get("quality", 85))
    return out.getvalue()


def ask(house: House, method: str, path: str, **options: Any) -> Any:
    return house.send(method, ROOT + path, key=None, **options)


def test_a_stripped_copy_leads_to_its_manifest_and_its_receipt(the_house: House, delivered: dict[str, Any]) -> None:
    copy = stripped(delivered["data"])
    got = ask(the_house, "POST", "/matches/byContent", content=copy, headers={"Content-Type": "image/jpeg"})
    assert got.status_code == 200, got.text
    first = got.json()["matches"][0]
    assert first["manifestId"] == delivered["manifest_id"]
    assert first["similarityScore"] > 85

    store = ask(the_house, "GET", f"/manifests/{quote(first['manifestId'])}")
    assert store.headers["content-type"] == "application/c2pa"
    assert store.content in delivered["data"], "the store is the one that was signed into the file"
    with c2pa.Reader("application/c2pa", io.BytesIO(store.content)) as reader:
        assert reader.get_active_manifest()["label"] == first["manifestId"]

    receipt = ask(the_house, "GET", f"/manifests/{quote(first['manifestId'])}/receipts").json()
    assert receipt["@type"] == "org.c2pa.manifest-receipt"
    proven = Receipt.from_tlog_proof(receipt["anchor"]["proof"]["value"])
    verify_receipt(proven, the_house.parts.ledger.vkey)
    assert json.loads(proven.leaf)["manifest_id"] == first["manifestId"]
    assert "turtle" not in json.dumps(receipt)
    assert the_house.tenant not in json.dumps(receipt)


def test_binding_values_lead_there_too(the_house: House, delivered: dict[str, Any]) -> None:
    offered = ask(the_house, "GET", "/services/supportedAlgorithms").json()
    assert {"alg": delivered["mark_algorithm"]} in offered["watermarks"]
    for alg, value in (
        (delivered["mark_algorithm"], bytes.fromhex(delivered["mark"])),
        (offered["fingerprints"][0]["alg"], bytes.fromhex(delivered["pdq"])),
    ):
        query = {"alg": alg, "value": base64.b64encode(value).decode()}
        for got in (
            ask(the_house, "GET", "/matches/byBinding", params=query),
            ask(the_house, "POST", "/matches/byBinding", json=query),
        ):
            assert delivered["manifest_id"] in [match["manifestId"] for match in got.json()["matches"]]
    unknown = {"alg": delivered["mark_algorithm"], "value": base64.b64encode(b"8 others").decode()}
    assert ask(the_house, "GET", "/matches/byBinding", params=unknown).json() == {"matches": []}


def test_manifests_are_stored_by_their_content_and_the_log_names_it(
    the_house: House, delivered: dict[str, Any]
) -> None:
    path = f"/manifests/{quote(delivered['manifest_id'])}"
    digest = hashlib.sha256(ask(the_house, "GET", path).content).hexdigest()
    assert digest == delivered["manifest_sha256"]
    assert f"manifests/{digest}.c2pa" in the_house.blobs()
    receipt = ask(the_house, "GET", f"{path}/receipts").json()
    proven = Receipt.from_tlog_proof(receipt["anchor"]["proof"]["value"])
    assert json.loads(proven.leaf)["manifest_sha256"] == digest

    file = the_house.path / "blobs" / "manifests" / f"{digest}.c2pa"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + b"!")
    try:
        assert ask(the_house, "GET", path).status_code == 503, "a store that was changed is not given out"
    finally:
        file.write_bytes(whole)


def test_a_hint_leads_to_its_picture_from_a_part_of_it_and_never_from_another(
    the_house: House, delivered: dict[str, Any]
) -> None:
    picture = Image.open(io.BytesIO(delivered["data"])).convert("RGB")
    corner = picture.crop((0, 0, picture.width * 3 // 4, picture.height * 3 // 4)).resize((200, 200))
    mark = base64.b64encode(bytes.fromhex(delivered["mark"])).decode()
    hint = {"hintAlg": delivered["mark_algorithm"], "hintValue": mark}
    kind = {"Content-Type": "image/png"}

    def matches(shown: Image.Image, **query: Any) -> list[str]:
        out = io.BytesIO()
        shown.save(out, "PNG")
        got = ask(the_house, "POST", "/matches/byContent", content=out.getvalue(), headers=kind, params=query)
        assert got.status_code == 200, got.text
        return [match["manifestId"] for match in got.json()["matches"]]

    assert delivered["manifest_id"] in matches(corner, **hint)
    noise = Image.fromarray(np.random.default_rng(4).integers(0, 256, (256, 256, 3), np.uint8))
    assert matches(noise, **hint) == [], "a hint is no proof"
    path, data = "/matches/byContent", delivered["data"]
    for bad, field in (({"hintAlg": "x"}, "hintAlg"), (hint | {"hintValue": "AA=="}, "hintValue")):
        got = ask(the_house, "POST", path, content=data, headers=kind, params=bad)
        assert (got.status_code, got.json()["field"]) == (400, field)


def test_receipts_are_checked_and_others_are_told_apart(the_house: House, delivered: dict[str, Any]) -> None:
    path = f"/manifests/{quote(delivered['manifest_id'])}/receipts"
    receipt = ask(the_house, "GET", path).json()
    assert receipt["verified"] is True
    assert ask(the_house, "POST", path, json=receipt).json() == {"verified": True}
    renamed = {**receipt, "repository": {**receipt["repository"], "manifestId": "urn:c2pa:other"}}
    assert ask(the_house, "POST", path, json=renamed).json()["verified"] is False
    forged = json.loads(json.dumps(receipt))
    lines = forged["anchor"]["proof"]["value"].split("\n")
    lines[2] = "index 0" if lines[2] != "index 0" else "index 1"
    forged["anchor"]["proof"]["value"] = "\n".join(lines)
    assert ask(the_house, "POST", path, json=forged).json()["verified"] is False
    for broken in ({"anchor": []}, {**receipt, "repository": "text"}, {**receipt, "anchor": {"proof": {"value": 7}}}):
        assert ask(the_house, "POST", path, json=broken).json()["verified"] is False


def test_bad_questions_get_clear_answers(the_house: House) -> None:
    bad = ask(the_house, "GET", "/matches/byBinding", params={"alg": "com.example.none", "value": "AA=="})
    assert (bad.status_code, bad.json()["field"]) == (400, "alg")
    bad = ask(the_house, "GET", "/matches/byBinding", params={"alg": "dev.fluxgate.pdq.1", "value": "!"})
    assert (bad.status_code, bad.json()["field"]) == (400, "value")
    kind = {"Content-Type": "text/html"}
    assert ask(the_house, "POST", "/matches/byContent", content=b"<p>", headers=kind).status_code == 415
    kind = {"Content-Type": "image/png"}
    assert ask(the_house, "POST", "/matches/byContent", content=b"no picture", headers=kind).status_code == 400
    assert ask(the_house, "GET", "/manifests/urn:c2pa:none").status_code == 404


def test_a_stranger_picture_matches_nothing(the_house: House) -> None:
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(3).integers(0, 256, (256, 256, 3), np.uint8)).save(out, "PNG")
    kind = {"Content-Type": "image/png"}
    got = ask(the_house, "POST", "/matches/byContent", content=out.getvalue(), headers=kind)
    assert got.json() == {"matches": []}


def test_the_service_is_found_and_says_what_it_can(the_house: House) -> None:
    known = the_house.send("GET", "/.well-known/c2pa-soft-binding-resolution", key=None).json()
    assert known["apiEndpoint"].endswith(ROOT)
    assert ask(the_house, "GET", "/services/status").json()["status"] == "ok"
    assert ask(the_house, "GET", "/services/capabilities").json()["supportedCapabilities"] == ["queryByContent"]
