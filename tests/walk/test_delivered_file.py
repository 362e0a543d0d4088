"""What a stranger finds in a delivered file, with plain tools; and what the free verifier says when it was changed."""

import io
import json
from typing import Any

import c2pa
import numpy as np
import pytest
from PIL import Image

from tests.walk.dialogues import Native, OpenAI
from tests.walk.house import HARMLESS, House

FORMATS = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp", "avif": "image/avif", "tiff": "image/tiff"}


@pytest.fixture(scope="module", params=FORMATS)
def delivered(request: pytest.FixtureRequest, the_house: House) -> tuple[bytes, str, dict[str, Any]]:
    """A delivered file, its media type, and the prediction it came with."""
    answer = Native().ask(the_house, HARMLESS, output_format=request.param, seed=7, steps=4)
    assert answer.picture is not None
    return answer.picture, FORMATS[request.param], answer.body


def read(data: bytes, media_type: str, anchor: str | None) -> dict[str, Any]:
    """The manifest store as c2pa's own Reader reports it."""
    settings: dict[str, Any] = {"verify": {"verify_trust": True, "remote_manifest_fetch": False}}
    if anchor is not None:
        settings["trust"] = {"user_anchors": anchor}
    with (
        c2pa.Context.from_dict(settings) as context,
        c2pa.Reader(media_type, io.BytesIO(data), context=context) as reader,
    ):
        store: dict[str, Any] = json.loads(reader.json())
        return store


def failures(store: dict[str, Any]) -> set[str]:
    return {entry["code"] for entry in store["validation_results"]["activeManifest"]["failure"]}


def verify(house: House, data: bytes) -> dict[str, Any]:
    got = house.send("POST", "/v1/verify", key=None, files={"file": ("anything", data)})
    assert got.status_code == 200, got.text
    report: dict[str, Any] = got.json()
    return report


def test_a_plain_reader_with_our_anchor_trusts_it(delivered: tuple[bytes, str, dict], the_house: House) -> None:
    data, media_type, _ = delivered
    anchor = (the_house.path / "keys" / "ca.pem").read_text()
    store = read(data, media_type, anchor)
    assert store["validation_state"] == "Trusted"
    assert not failures(store)


def test_a_plain_reader_without_it_finds_a_whole_file_of_an_unknown_signer(
    delivered: tuple[bytes, str, dict],
) -> None:
    data, media_type, _ = delivered
    store = read(data, media_type, None)
    assert store["validation_state"] == "Valid"
    assert failures(store) == {"signingCredential.untrusted"}


def test_the_manifest_says_what_it_must_and_nothing_of_the_prompt(
    delivered: tuple[bytes, str, dict], the_house: House
) -> None:
    data, media_type, view = delivered
    store = read(data, media_type, None)
    assert store["active_manifest"] == view["provenance"]["manifest_id"]
    manifest = store["manifests"][store["active_manifest"]]
    said = json.dumps(manifest)
    assert "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia" in said
    assert "c2pa.created" in said
    assert "c2pa.watermarked.bound" in said
    assert "cawg.training-mining" in said
    assert "fluxgate/pictograms" in said
    assert "FLUX.1" not in said, "the pictogram model never passes for another"
    assert "apple" not in said
    assert b"apple" not in data


def test_ours_and_unchanged_is_said_of_the_delivered_file(delivered: tuple[bytes, str, dict], the_house: House) -> None:
    data, _, view = delivered
    report = verify(the_house, data)
    assert report["verdict"] == "ours_intact"
    layers = report["layers"]
    assert layers["metadata"]["state"] == "trusted"
    assert (layers["watermark"]["detected"], layers["watermark"]["mark"]) == (True, view["provenance"]["watermark"])
    assert (layers["record"]["content_id"], layers["record"]["same_bytes"]) == (view["content_id"], True)


def test_stripped_and_re_encoded_it_is_led_back_to_its_record_by_the_mark(
    delivered: tuple[bytes, str, dict], the_house: House
) -> None:
    data, _, view = delivered
    stripped = io.BytesIO()
    Image.open(io.BytesIO(data)).convert("RGB").save(stripped, "JPEG", quality=90)
    report = verify(the_house, stripped.getvalue())
    assert report["verdict"] == "ours_altered"
    layers = report["layers"]
    assert layers["metadata"]["state"] == "not_present"
    assert layers["watermark"]["mark"] == view["provenance"]["watermark"]
    assert layers["record"]["content_id"] == view["content_id"]
    assert layers["record"]["same_picture"] is True


@pytest.mark.parametrize("place", [0.3, 0.45, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.99])
def test_a_flipped_byte_is_reported(delivered: tuple[bytes, str, dict], the_house: House, place: float) -> None:
    data = bytearray(delivered[0])
    data[int(len(data) * place)] ^= 1
    assert verify(the_house, bytes(data))["verdict"] == "ours_altered"


def test_of_a_strangers_picture_it_never_says_how_it_was_made(the_house: House) -> None:
    noise = np.random.default_rng(5).integers(0, 255, (256, 256, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG")
    report = verify(the_house, file.getvalue())
    assert report["verdict"] == "not_found"
    assert "not AI" not in json.dumps(report)
    assert "does not tell how the picture was made" in report["summary"]


@pytest.mark.parametrize("data", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_what_is_no_picture_cannot_be_checked(the_house: House, data: bytes) -> None:
    assert verify(the_house, data)["verdict"] == "uncheckable"


def test_verification_keeps_nothing(the_house: House) -> None:
    before = the_house.written()
    verify(the_house, b"some bytes of somebody")
    assert the_house.written() == before


def test_equal_orders_give_equal_pixels_and_different_marks(the_house: House) -> None:  # case R27
    """Only the watermark differs: it moves blue and takes from green, so red is as the engine drew it."""
    answers = [dialogue.ask(the_house, HARMLESS, seed=11) for dialogue in (Native(), OpenAI(), Native())]
    assert len({answer.picture for answer in answers}) == 3, "no two files are equal"
    first, second, third = (np.asarray(Image.open(io.BytesIO(answer.picture or b""))) for answer in answers)
    assert np.array_equal(first[..., 0], second[..., 0])
    assert np.array_equal(first[..., 0], third[..., 0])
    assert not np.array_equal(first, third), "each picture has a mark of its own"
    other = Native().ask(the_house, HARMLESS, seed=12)
    assert not np.array_equal(first[..., 0], np.asarray(Image.open(io.BytesIO(other.picture or b"")))[..., 0])
