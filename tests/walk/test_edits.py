"""Pictures sent in go into new ones: changed as a whole, changed in a region, looked at; and the seal tells of it."""

import base64
import io
import json
from collections.abc import Iterator
from typing import Any

import c2pa
import httpx
import numpy as np
import pytest
from PIL import Image

from gateway.stations.credentials import Credentials
from policies.evaluate import evaluate
from policies.findings import Stage
from policies.loading import load_policy
from policies.verdicts import Verdict
from provenance.claims import MediaType, Source
from provenance.files.encoding import encode
from provenance.sealing import seal
from tests.inference.tiny_models import save_klein
from tests.provenance.broken_credentials import holding
from tests.provenance.formats import FORMATS
from tests.provenance.operators import make_claim, make_gateway
from tests.provenance.pictures import make_picture
from tests.walk.dialogues import Answer, Native
from tests.walk.house import HARMLESS, SIZE, House
from tests.walk.switched_parts import switched
from tests.walk.test_outcomes import recorded

PLAIN = np.full((SIZE, SIZE, 3), (30, 90, 160), np.uint8)
OPEN = np.zeros((SIZE, SIZE), np.uint8)
OPEN[64:128, 32:160] = 255


def png(pixels: np.ndarray, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", **options)
    return out.getvalue()


def send_in(house: House, data: bytes, **fields: str) -> dict[str, Any]:
    files = {"file": ("picture.png", data)}
    sent: httpx.Response = house.send("POST", "/api/v1/model/uploadMedia", files=files, data=fields)
    assert sent.status_code == 200, sent.text
    return dict(sent.json()["data"])


def manifest_of(file: bytes) -> dict[str, Any]:
    with c2pa.Reader("image/png", io.BytesIO(file)) as reader:
        store = json.loads(reader.json())
    manifest: dict[str, Any] = store["manifests"][store["active_manifest"]]
    return manifest


def actions_of(file: bytes) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = next(
        a["data"]["actions"] for a in manifest_of(file)["assertions"] if a["label"] == "c2pa.actions.v2"
    )
    return found


def pixels_of(file: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(file)).convert("RGB")).astype(int)


def test_a_region_is_painted_anew_and_the_rest_is_left(house: House) -> None:
    image, mask = send_in(house, png(PLAIN)), send_in(house, png(OPEN), purpose="mask")

    answer = Native().ask(
        house, HARMLESS, image=image["download_url"], mask=mask["download_url"], strength=1.0, steps=2
    )

    recorded(house, answer, "delivered")
    assert answer.picture is not None
    difference = np.abs(pixels_of(answer.picture) - PLAIN).max(-1)
    assert np.percentile(difference[OPEN == 0], 99) <= 12, "only the watermark is on what the mask protects"
    assert difference[OPEN == 255].mean() > 20
    edited = actions_of(answer.picture)[1]
    shape = edited["changes"][0]["region"][0]["shape"]
    assert (shape["origin"]["x"], shape["origin"]["y"], shape["width"], shape["height"]) == (32, 64, 128, 64)


def test_of_a_mask_only_places_are_kept_and_no_classifier_is_asked(house: House) -> None:
    shades = np.tile(np.arange(SIZE, dtype=np.uint8), (SIZE, 1))
    with switched(switched_eyes="finds:gore"):
        kept = send_in(house, png(shades), purpose="mask")
    places = pixels_of(house.send("GET", kept["download_url"], key=None).content)
    assert set(np.unique(places)) == {0, 255}
    assert np.array_equal(places[..., 0] == 255, shades > 127)


def test_openai_edits_take_a_mask_with_a_hole(house: House) -> None:
    holed = np.dstack([PLAIN, 255 - OPEN])
    fields = {"prompt": HARMLESS, "size": f"{SIZE}x{SIZE}", "num_inference_steps": "2", "strength": "1.0"}
    files = {"image": ("a.png", png(PLAIN)), "mask": ("m.png", png(holed))}

    got = house.send("POST", "/v1/images/edits", data=fields, files=files)

    assert got.status_code == 200, got.text
    picture = base64.b64decode(got.json()["data"][0]["b64_json"])
    difference = np.abs(pixels_of(picture) - PLAIN).max(-1)
    assert np.percentile(difference[OPEN == 0], 99) <= 12
    assert difference[OPEN == 255].mean() > 20
    assert [action["action"] for action in actions_of(picture)][:2] == ["c2pa.opened", "c2pa.edited"]


@pytest.mark.parametrize(
    ("fields", "files", "param"),
    [
        ({"prompt": HARMLESS}, {"mask": ("m.png", png(OPEN))}, "image"),
        ({"prompt": HARMLESS, "image": "https://example.com/a.png"}, {"mask": ("m.png", png(OPEN))}, "image"),
        ({"prompt": HARMLESS, "size": "11x11"}, {"image": ("a.png", png(PLAIN))}, "size"),
        ({"prompt": HARMLESS, "n": "many"}, {"image": ("a.png", png(PLAIN))}, "n"),
        ({"prompt": HARMLESS, "surprise": "1"}, {"image": ("a.png", png(PLAIN))}, "surprise"),
        ({}, {"image": ("a.png", png(PLAIN))}, "prompt"),
        ({"prompt": HARMLESS}, [("image[]", ("a.png", png(PLAIN)))] * 2, "image"),
    ],
)
def test_a_form_that_cannot_be_served_is_refused_by_field_and_leaves_nothing(
    house: House, fields: dict[str, str], files: Any, param: str
) -> None:
    before = house.written()
    got = house.send("POST", "/v1/images/edits", data=fields, files=files)
    assert got.status_code == 400, got.text
    assert got.json()["error"]["param"] == param
    assert house.written() == before


@pytest.mark.parametrize(
    ("image", "mask", "field"),
    [(PLAIN, OPEN[:128], "mask"), (PLAIN[:32, :32], None, "image"), (PLAIN[:64, :], None, None)],
)
def test_pictures_of_sizes_that_cannot_be_drawn_from_are_refused_before_any_work(
    house: House, image: np.ndarray, mask: np.ndarray | None, field: str | None
) -> None:
    wish = {"image": send_in(house, png(image))["download_url"]}
    if mask is not None:
        wish["mask"] = send_in(house, png(mask), purpose="mask")["download_url"]
    before = house.written()
    got = house.send("POST", "/api/v1/model/generateImage", json={"prompt": HARMLESS, "steps": 1, **wish})
    if field is None:
        assert got.status_code == 200, "four times as wide as high is still drawn from"
        Native().wait(house, got.json()["id"])
        return
    assert (got.status_code, got.json()["error"]["field"]) == (422, field)
    assert house.written() == before


def test_a_mask_that_opens_nothing_is_not_taken(house: House) -> None:
    before = house.written()
    closed = {"file": ("mask.png", png(np.zeros_like(OPEN)))}
    got = house.send("POST", "/api/v1/model/uploadMedia", files=closed, data={"purpose": "mask"})
    assert (got.status_code, got.json()["error"]["field"]) == (422, "file")
    assert house.written() == before


def test_a_palette_and_an_enlargement_are_done_and_told(house: House) -> None:
    before = house.left()

    answer = Native().ask(house, HARMLESS, palette=["#c81e1e"], upscale=2)

    recorded(house, answer, "delivered")
    assert answer.picture is not None
    pixels = pixels_of(answer.picture)
    assert pixels.shape == (2 * SIZE, 2 * SIZE, 3)
    assert pixels[..., 0].mean() > pixels[..., 2].mean()
    told = [action["action"] for action in actions_of(answer.picture)]
    assert told[:3] == ["c2pa.created", "c2pa.adjustedColor", "c2pa.resized.proportional"]
    (image,) = house.rows("select width, height from images where content_id = ?", answer.body["content_id"])
    assert (image["width"], image["height"]) == (2 * SIZE, 2 * SIZE)
    spent = round(SIZE * SIZE * (1 + 3) / 1000)
    assert abs(before - house.left() - spent) <= 2, "a step, and the pixels that were added"


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"palette": ["red"]}, "palette"),
        ({"upscale": 3}, "upscale"),
        ({"references": ["https://example.com/a.png"]}, "references"),
        ({"references": ["/files/uploads/upl_x.png"]}, "references"),
        ({"mask": "/files/uploads/upl_x.png"}, "mask"),
    ],
)
def test_a_wish_that_cannot_be_met_is_refused_by_field(house: House, wish: dict[str, Any], field: str) -> None:
    before = house.written()
    got = house.send("POST", "/api/v1/model/generateImage", json={"prompt": HARMLESS, **wish})
    assert got.status_code == 422, got.text
    assert got.json()["error"]["field"] == field
    assert house.written() == before


@pytest.fixture(scope="module")
def klein_house(tmp_path_factory: pytest.TempPathFactory, parts_path: str) -> Iterator[House]:
    model = save_klein(tmp_path_factory.mktemp("klein") / "tiny-klein", is_distilled=True)
    house = House(tmp_path_factory.mktemp("klein-house") / "data", model=str(model))
    yield house
    house.close()


def draw_from(house: House, *references: bytes) -> Answer:
    links = [send_in(house, data)["download_url"] for data in references]
    return Native().ask(house, "a red apple", references=links, seed=5)


def test_references_are_looked_at_and_named(klein_house: House) -> None:
    one, two = png(PLAIN), png(make_picture(seed=4))
    alone, beside = draw_from(klein_house), draw_from(klein_house, one, two)

    assert alone.picture is not None
    assert beside.picture is not None
    assert not np.array_equal(pixels_of(alone.picture), pixels_of(beside.picture))
    assert [i["relationship"] for i in manifest_of(beside.picture)["ingredients"]] == ["inputTo", "inputTo"]
    assert "upload" in recorded(klein_house, beside, "delivered")["commitments"]


def test_words_that_expose_are_refused_beside_a_reference(klein_house: House) -> None:
    link = send_in(klein_house, png(PLAIN))["download_url"]
    answer = Native().ask(klein_house, "the same person, half naked", references=[link], safety_tolerance=6)
    reasons = recorded(klein_house, answer, "refused")["reasons"]
    assert {reason["rule"] for reason in reasons if reason["floor"]} >= {"floor-undressing-a-picture"}


def test_what_a_picture_says_of_itself_is_told_and_logged(house: House, tmp_path_factory: Any) -> None:
    stranger = make_gateway(tmp_path_factory.mktemp("stranger"), "Somebody Else")
    signed = seal(stranger.sealing, make_picture(), make_claim("image/jpeg")).data
    altered = bytearray(signed)
    altered[-100] ^= 0xFF

    assert send_in(house, signed)["content_credentials"] == {
        "state": "valid",
        "made_here": False,
        "reserved_uses": ["data_mining", "ai_inference", "ai_generative_training", "ai_training"],
    }
    sent = send_in(house, bytes(altered))
    assert sent["content_credentials"]["state"] == "invalid"
    answer = Native().ask(house, HARMLESS, image=sent["download_url"], strength=0.5, steps=4)
    reasons = recorded(house, answer, "delivered")["reasons"]
    assert {"tampered_credential", "reserved_rights"} <= {reason["category"] for reason in reasons}
    assert answer.picture is not None
    results = manifest_of(answer.picture)["ingredients"][0]["validation_results"]["activeManifest"]
    assert "assertion.dataHash.mismatch" in {failure["code"] for failure in results["failure"]}


# case R2
@pytest.mark.parametrize("media_type", FORMATS)
def test_an_edit_of_a_picture_whose_credential_is_broken_is_delivered_and_says_so(
    house: House, media_type: MediaType
) -> None:
    file = holding(b"\xff" * 4 + b"jumb" + b"c2pa" * 10, media_type)
    fields = {"prompt": HARMLESS, "size": f"{SIZE}x{SIZE}", "num_inference_steps": "2"}

    got = house.send("POST", "/v1/images/edits", data=fields, files={"image": ("a", file)})

    assert got.status_code == 200, got.text
    (ingredient,) = manifest_of(base64.b64decode(got.json()["data"][0]["b64_json"]))["ingredients"]
    assert "could not be read" in ingredient["description"]
    assert send_in(house, file)["content_credentials"]["state"] == "unreadable"


def test_a_picture_made_here_reserves_nothing_from_us(house: House) -> None:
    made = Native().ask(house, HARMLESS).picture
    assert made is not None
    assert send_in(house, made)["content_credentials"] == {
        "state": "trusted",
        "made_here": True,
        "reserved_uses": [],
    }


@pytest.mark.parametrize(("policy", "verdict"), [("default", Verdict.FLAG), ("strict", Verdict.REFUSE)])
def test_the_policy_decides_about_tampered_and_reserved_pictures(
    tmp_path_factory: pytest.TempPathFactory, policy: str, verdict: Verdict
) -> None:
    stranger = make_gateway(tmp_path_factory.mktemp("stranger"), "Somebody Else")
    signed = seal(stranger.sealing, make_picture(), make_claim("image/jpeg")).data
    altered = bytearray(signed)
    altered[-100] ^= 0xFF
    ours = make_gateway(tmp_path_factory.mktemp("ours"), "Ours")
    eyes = Credentials(ours.sealing.reader)
    for data in (signed, bytes(altered)):
        findings = eyes.report(Source(data, "image/jpeg")).findings
        decision = evaluate(load_policy(policy), findings, stage=Stage.INPUT_IMAGE, assurance=0)
        assert decision.verdict is verdict
    silent = eyes.report(Source(png(PLAIN), "image/png"))
    assert {finding.score for finding in silent.findings} == {0.0}


def test_words_about_rights_in_the_metadata_are_findings(tmp_path_factory: pytest.TempPathFactory) -> None:
    eyes = Credentials(make_gateway(tmp_path_factory.mktemp("ours"), "Ours").sealing.reader)
    words = b"http://ns.useplus.org/ldf/vocab/DMI-PROHIBITED-GENAIMLTRAINING"
    for content, uses in ((words, ("ai_generative_training",)), (b"<broken", ("unreadable",))):
        xmp = (
            b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
            b'<rdf:Description xmlns:plus="http://ns.useplus.org/ldf/xmp/1.0/"><plus:DataMining>'
            + content
            + b"</plus:DataMining></rdf:Description></rdf:RDF></x:xmpmeta>"
        )
        data = encode(PLAIN, "image/tiff", 90, xmp)
        report = eyes.report(Source(data, "image/tiff"))
        assert report.reserved == uses
        assert [finding.score for finding in report.findings] == [0.0, 0.5]


def test_a_reader_that_breaks_is_a_finding() -> None:
    class Broken:
        def read(self, data: bytes, media_type: str) -> Any:
            raise MemoryError

    report = Credentials(Broken()).report(Source(png(PLAIN), "image/png"))  # type: ignore[arg-type]
    assert [finding.category for finding in report.findings] == ["unanswered"]
    decision = evaluate(load_policy("default"), report.findings, stage=Stage.INPUT_IMAGE, assurance=3)
    assert decision.verdict is Verdict.REFUSE
