"""A sealed file says what was put into it, to us and to a plain C2PA reader; what cannot be sealed is not delivered."""

import dataclasses
import io
import json
from concurrent.futures import ThreadPoolExecutor

import c2pa
import numpy as np
import pytest
from PIL import Image

from moderation.known_pictures.pdq import pdq
from provenance.claims import MediaType, SealedImage, Source
from provenance.errors import MarkUnreadable, ReadBackFailed, SealError
from provenance.files.encoding import FileBounds, decode
from provenance.marks.watermarkers import Pixels, UnsafeUnmarked
from provenance.sealing import SealerSetup, seal
from provenance.standings import Standing
from provenance.verification import verify
from tests.provenance.formats import Sealed, every_format
from tests.provenance.operators import MARK, Gateway, make_claim, record_of
from tests.provenance.pictures import jpeg, make_picture


def plainly_read(data: bytes, media_type: str, anchors_pem: str | None) -> tuple[str, dict[str, object]]:
    """The state and the active manifest, by c2pa alone."""
    settings = {"trust": {"user_anchors": anchors_pem}} if anchors_pem else {"verify": {"verify_trust": True}}
    with c2pa.Reader(media_type, io.BytesIO(data), context=c2pa.Context.from_dict(settings)) as reader:
        return reader.get_validation_state(), reader.get_active_manifest()


@every_format
def test_a_plain_reader_with_our_anchor_trusts_the_file(
    gateway: Gateway, sealed: Sealed, media_type: MediaType
) -> None:
    file = sealed(media_type)

    state, manifest = plainly_read(file.data, media_type, gateway.anchors_pem)

    assert state == "Trusted"
    assert manifest["label"] == file.manifest_id


@every_format
def test_a_plain_reader_without_our_anchor_says_valid_and_untrusted(sealed: Sealed, media_type: MediaType) -> None:
    context = c2pa.Context.from_dict({"verify": {"verify_trust": True}})
    with c2pa.Reader(media_type, io.BytesIO(sealed(media_type).data), context=context) as reader:
        assert reader.get_validation_state() == "Valid"
        failures = reader.get_validation_results()["activeManifest"]["failure"]

    assert [failure["code"] for failure in failures] == ["signingCredential.untrusted"]


@every_format
def test_the_manifest_tells_how_the_picture_was_made_and_nothing_private(sealed: Sealed, media_type: MediaType) -> None:
    manifest = json.loads(sealed(media_type).manifest_json)["manifests"][sealed(media_type).manifest_id]
    data = {assertion["label"]: assertion["data"] for assertion in manifest["assertions"]}

    assert manifest["claim_generator_info"][0]["specVersion"] == "2.4.0"
    assert [action["action"] for action in data["c2pa.actions.v2"]["actions"]] == [
        "c2pa.created",
        "c2pa.watermarked.bound",
    ]
    assert data["c2pa.actions.v2"]["actions"][0]["digitalSourceType"].endswith("/trainedAlgorithmicMedia")
    assert data["c2pa.actions.v2"]["allActionsIncluded"] is True
    assert data["c2pa.soft-binding"]["alg"] == "dev.fluxgate.dwtdctsvd.1"
    assert "untrained" in data["c2pa.ai-disclosure"]["modelName"]
    assert data["cawg.training-mining"]["entries"]["cawg.ai_training"] == {"use": "notAllowed"}
    assert data["cawg.metadata"]["dc:publisher"] == "Example & Sons"
    assert all(assertion.get("created") for assertion in manifest["assertions"])
    assert "thumbnail" not in json.dumps(manifest)
    assert "prompt" not in json.dumps(manifest).replace("prompt_guided", "")


@every_format
def test_the_label_is_read_by_a_common_tool(sealed: Sealed, media_type: MediaType) -> None:
    picture = Image.open(io.BytesIO(sealed(media_type).data))
    xmp = picture.info.get("xmp") or picture.info["XML:com.adobe.xmp"].encode()

    assert b"digitalsourcetype/trainedAlgorithmicMedia</" in xmp
    assert b"<Iptc4xmpExt:AISystemUsed>Fluxgate</" in xmp
    assert b"Example &amp; Sons" in xmp


def test_an_edited_picture_keeps_its_parents_credential(gateway: Gateway, sealed: Sealed) -> None:
    parent = sealed("image/jpeg")
    claim = make_claim(parent=Source(parent.data, "image/jpeg"), mark=b"the edit")

    file = seal(gateway.sealing, make_picture(seed=3), claim)

    store = json.loads(file.manifest_json)
    manifest = store["manifests"][file.manifest_id]
    actions = next(a["data"]["actions"] for a in manifest["assertions"] if a["label"] == "c2pa.actions.v2")
    assert [action["action"] for action in actions] == ["c2pa.opened", "c2pa.edited", "c2pa.watermarked.bound"]
    assert actions[1]["digitalSourceType"].endswith("/compositeWithTrainedAlgorithmicMedia")
    assert actions[0]["parameters"]["ingredients"]
    assert parent.manifest_id in store["manifests"]
    assert plainly_read(file.data, "image/png", gateway.anchors_pem)[0] == "Trusted"
    assert verify(gateway.verifying(record_of(file)), file.data).standing is Standing.OURS_INTACT


def test_an_unmarked_parent_is_still_named(gateway: Gateway) -> None:
    claim = make_claim(parent=Source(jpeg(make_picture(), 90), "image/jpeg"))

    assert "parentOf" in seal(gateway.sealing, make_picture(seed=3), claim).manifest_json


@pytest.mark.parametrize("quality", [70, 80, 90, 100])
def test_lossy_files_hold_the_mark_or_are_not_made(gateway: Gateway, quality: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    for media_type in ("image/jpeg", "image/webp"):
        try:
            file = seal(gateway.sealing, noise, make_claim(media_type, quality=quality))
        except MarkUnreadable:
            assert quality < 90, media_type
            continue
        found = gateway.sealing.watermarker.detect(decode(file.data, FileBounds()))
        assert found is not None
        assert found.mark == MARK


def test_a_picture_that_is_too_small_to_be_marked_is_not_sealed(gateway: Gateway) -> None:
    with pytest.raises(MarkUnreadable, match="too small"):
        seal(gateway.sealing, make_picture(128, 128), make_claim())


def test_a_file_that_our_own_reader_does_not_trust_is_not_delivered(gateway: Gateway, stranger: Gateway) -> None:
    parts = dataclasses.replace(gateway.sealing, reader=stranger.sealing.reader)

    with pytest.raises(ReadBackFailed, match=r"signingCredential\.untrusted"):
        seal(parts, make_picture(), make_claim())


class LyingWatermark:
    """A part that says it marks and does not."""

    name, version, algorithm, min_pixels, marks = "lying", "1", "dev.fluxgate.lying.1", 1, True
    strengths: tuple[float, ...] = (1.0,)

    def embed(self, pixels: Pixels, mark: bytes, strength: float) -> Pixels:
        return pixels

    def detect(self, pixels: Pixels) -> None:
        return None


def test_a_watermarker_that_only_says_it_marks_delivers_no_lossy_file(gateway: Gateway) -> None:
    parts = dataclasses.replace(gateway.sealing, watermarker=LyingWatermark())

    with pytest.raises(SealError):
        seal(parts, make_picture(), make_claim("image/jpeg"))


def test_unmarked_files_claim_no_watermark(gateway: Gateway) -> None:
    with pytest.warns(UserWarning, match="UnsafeUnmarked"):
        watermarker = UnsafeUnmarked(UnsafeUnmarked.Options())

    file = seal(
        SealerSetup(watermarker, gateway.sealing.signer, gateway.sealing.reader, pdq),
        make_picture(),
        make_claim(),
    )

    assert (file.mark, file.mark_algorithm) == (b"", "")
    assert "watermark" not in file.manifest_json
    assert "soft-binding" not in file.manifest_json


def test_many_threads_may_seal_and_verify_at_once(gateway: Gateway) -> None:
    marks = [number.to_bytes(8, "big") for number in range(12)]

    def seal_one(mark: bytes) -> SealedImage:
        return seal(gateway.sealing, make_picture(256, 256, mark[-1]), make_claim(mark=mark))

    with ThreadPoolExecutor(4) as pool:
        files = list(pool.map(seal_one, marks))
        reports = list(pool.map(lambda file: verify(gateway.without_records(), file.data), files))

    assert [report.detection and report.detection.mark for report in reports] == marks
    assert {report.standing for report in reports} == {Standing.OURS_INTACT}
    assert len({file.manifest_id for file in files}) == len(marks)
