"""A sealed file says what was put into it, to us and to a plain C2PA reader; every change to it is reported."""

import dataclasses
import io
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import c2pa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from moderation.pdq import pdq
from provenance.claims import MediaType, SealedImage
from provenance.encoding import Limits, decode
from provenance.errors import MarkUnreadable, ReadBackFailed, SealError
from provenance.reading import CredentialState
from provenance.reports import Verdict
from provenance.sealing import SealingParts, seal
from provenance.verification import VerifyingParts, verify
from provenance.watermarkers import Detection, Pixels, UnsafeUnmarked
from tests.provenance.operators import MARK, Gateway, make_claim, record_of
from tests.provenance.pictures import jpeg, make_picture

Sealed = Callable[[MediaType], SealedImage]
FORMATS: tuple[MediaType, ...] = ("image/png", "image/jpeg", "image/webp")
every_format = pytest.mark.parametrize("media_type", FORMATS)


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


@every_format
def test_the_delivered_file_is_ours_and_intact(gateway: Gateway, sealed: Sealed, media_type: MediaType) -> None:
    file = sealed(media_type)

    report = verify(gateway.verifying(record_of(file)), file.data)

    assert (report.verdict, report.exit_code) == (Verdict.OURS_INTACT, 0)
    assert report.credential.state is CredentialState.TRUSTED
    assert report.credential.issuer == "Example Operator"
    assert report.detection is not None
    assert report.detection.mark == MARK
    assert report.record is not None
    assert report.record.same_bytes
    assert file.psnr_db > 40
    assert not file.timestamped
    assert "Time-stamping is off" in dict(report.statements)["metadata"]


@every_format
def test_without_records_the_credential_alone_speaks(gateway: Gateway, sealed: Sealed, media_type: MediaType) -> None:
    report = verify(gateway.without_records(), sealed(media_type).data)

    assert report.verdict is Verdict.OURS_INTACT
    assert "Only a record can tell of every byte" in dict(report.statements)["verdict"]


@every_format
@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_any_flipped_bit_is_reported(
    gateway: Gateway, sealed: Sealed, media_type: MediaType, data: st.DataObject
) -> None:
    file = sealed(media_type)
    position = data.draw(st.integers(0, len(file.data) * 8 - 1))
    altered = bytearray(file.data)
    altered[position // 8] ^= 1 << position % 8

    report = verify(gateway.verifying(record_of(file)), bytes(altered))

    assert report.verdict in (Verdict.OURS_ALTERED, Verdict.UNCHECKABLE)


@every_format
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_stranger_with_the_anchor_sees_every_flipped_bit_of_the_picture(
    gateway: Gateway, sealed: Sealed, media_type: MediaType, data: st.DataObject
) -> None:
    file = sealed(media_type)
    store = file.data.index(b"jumb") - 4
    length = int.from_bytes(file.data[store : store + 4], "big")
    outside = [*range(store - 64), *range(store + length + 64, len(file.data))]  # 64: the container's own framing
    position = data.draw(st.sampled_from(outside))
    altered = bytearray(file.data)
    altered[position] ^= 1 << data.draw(st.integers(0, 7))

    assert verify(gateway.without_records(), bytes(altered)).verdict is not Verdict.OURS_INTACT


@every_format
def test_truncated_files_are_reported(gateway: Gateway, sealed: Sealed, media_type: MediaType) -> None:
    file = sealed(media_type)
    for kept in (0, 3, 40, len(file.data) // 2, len(file.data) - 1):
        report = verify(gateway.verifying(record_of(file)), file.data[:kept])
        assert report.verdict in (Verdict.OURS_ALTERED, Verdict.UNCHECKABLE), kept


def test_a_stripped_and_reencoded_copy_is_recognised_by_its_watermark(gateway: Gateway, sealed: Sealed) -> None:
    file = sealed("image/png")
    copy = jpeg(decode(file.data, Limits()), 90)

    report = verify(gateway.verifying(record_of(file)), copy)

    assert (report.verdict, report.exit_code) == (Verdict.OURS_ALTERED, 2)
    assert report.credential.state is CredentialState.NOT_PRESENT
    assert report.record is not None
    assert report.record.known.sha256 == file.sha256
    assert "recognised by its watermark; its content credential was stripped" in dict(report.statements)["verdict"]


def test_a_stripped_copy_without_records_could_not_be_checked(gateway: Gateway, sealed: Sealed) -> None:
    report = verify(gateway.without_records(), jpeg(decode(sealed("image/png").data, Limits()), 90))

    assert (report.verdict, report.exit_code) == (Verdict.UNCHECKABLE, 3)


def test_a_mark_copied_onto_another_picture_is_said_so(gateway: Gateway) -> None:
    file = seal(gateway.sealing, make_photo_like(1), make_claim())
    forged = gateway.sealing.watermarker.embed(make_photo_like(2), MARK, 1.0)

    report = verify(gateway.verifying(record_of(file)), jpeg(forged, 95))

    assert (report.verdict, report.exit_code) == (Verdict.COPIED_MARK, 1)
    assert report.record is not None
    assert report.record.same_picture is False
    assert "copied onto another picture" in dict(report.statements)["record"]


def test_a_credential_moved_to_another_picture_is_reported(gateway: Gateway, sealed: Sealed) -> None:
    file, store_name = sealed("image/png").data, b"caBX"
    other = seal(gateway.sealing, make_picture(seed=9), make_claim(mark=b"another.")).data
    start, start_other = file.index(store_name) - 4, other.index(store_name) - 4
    end = start + 12 + int.from_bytes(file[start : start + 4], "big")
    end_other = start_other + 12 + int.from_bytes(other[start_other : start_other + 4], "big")
    swapped = other[:start_other] + file[start:end] + other[end_other:]

    report = verify(gateway.without_records(), swapped)

    assert report.verdict is Verdict.OURS_ALTERED
    assert report.credential.state is CredentialState.INVALID
    assert "assertion.dataHash.mismatch" in report.credential.codes


def test_another_operators_file_is_foreign_and_its_words_are_honest(gateway: Gateway, stranger: Gateway) -> None:
    theirs = seal(stranger.sealing, make_picture(), make_claim(mark=b"theirs..")).data

    report = verify(gateway.verifying(), theirs)

    assert (report.verdict, report.exit_code) == (Verdict.FOREIGN, 1)
    assert report.credential.state is CredentialState.VALID
    assert report.credential.codes == ("signingCredential.untrusted",)
    assert "does not know its signer" in dict(report.statements)["metadata"]


def test_nothing_found_never_says_that_no_ai_was_used(gateway: Gateway) -> None:
    report = verify(gateway.verifying(), jpeg(make_picture(), 95))

    assert (report.verdict, report.exit_code) == (Verdict.NOT_FOUND, 1)
    words = " ".join(sentence for _, sentence in report.statements).lower()
    assert "does not tell how the picture was made" in words
    for claim in ("not ai", "not made by", "not generated", "human", "authentic", "real photo"):
        assert claim not in words


@pytest.mark.parametrize("data", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0" * 40])
def test_what_is_no_picture_could_not_be_checked(gateway: Gateway, data: bytes) -> None:
    assert verify(gateway.verifying(), data).exit_code == 3


def test_a_file_over_the_limits_could_not_be_checked(gateway: Gateway, sealed: Sealed) -> None:
    parts = dataclasses.replace(gateway.without_records(), limits=Limits(max_pixels=1000))

    assert verify(parts, sealed("image/png").data).verdict is Verdict.UNCHECKABLE


def test_another_organisation_under_the_same_anchor_is_not_us(gateway: Gateway, sealed: Sealed) -> None:
    parts = dataclasses.replace(gateway.without_records(), organisation="Somebody Else")

    assert verify(parts, sealed("image/png").data).verdict is Verdict.FOREIGN


def test_an_edited_picture_keeps_its_parents_credential(gateway: Gateway, sealed: Sealed) -> None:
    parent = sealed("image/jpeg")
    claim = make_claim(operation="edited", parent=parent.data, parent_media_type="image/jpeg", mark=b"the edit")

    file = seal(gateway.sealing, make_picture(seed=3), claim)

    store = json.loads(file.manifest_json)
    manifest = store["manifests"][file.manifest_id]
    actions = next(a["data"]["actions"] for a in manifest["assertions"] if a["label"] == "c2pa.actions.v2")
    assert [action["action"] for action in actions] == ["c2pa.opened", "c2pa.edited", "c2pa.watermarked.bound"]
    assert actions[1]["digitalSourceType"].endswith("/compositeWithTrainedAlgorithmicMedia")
    assert actions[0]["parameters"]["ingredients"]
    assert parent.manifest_id in store["manifests"]
    assert plainly_read(file.data, "image/png", gateway.anchors_pem)[0] == "Trusted"
    assert verify(gateway.verifying(record_of(file)), file.data).verdict is Verdict.OURS_INTACT


def test_an_unmarked_parent_is_still_named(gateway: Gateway) -> None:
    claim = make_claim(operation="edited", parent=jpeg(make_picture(), 90), parent_media_type="image/jpeg")

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
        found = gateway.sealing.watermarker.detect(decode(file.data, Limits()))
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
        SealingParts(watermarker, gateway.sealing.signer, gateway.sealing.reader, pdq), make_picture(), make_claim()
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
    assert {report.verdict for report in reports} == {Verdict.OURS_INTACT}
    assert len({file.manifest_id for file in files}) == len(marks)


def test_a_lookup_that_cannot_answer_is_not_taken_for_no_record(gateway: Gateway, sealed: Sealed) -> None:
    def gone(_: object) -> None:
        raise ConnectionError

    verifying = gateway.verifying()
    assert verifying.lookups is not None
    parts: VerifyingParts = dataclasses.replace(verifying, lookups=dataclasses.replace(verifying.lookups, by_mark=gone))

    with pytest.raises(ConnectionError):
        verify(parts, sealed("image/png").data)


def make_photo_like(seed: int) -> Pixels:
    """Enough structure for a perceptual hash of high quality."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (24, 24, 3), np.uint8)).resize(
        (512, 512), Image.Resampling.BICUBIC
    )
    return np.asarray(coarse)


@pytest.fixture
def keeping(gateway: Gateway) -> tuple[Gateway, SealedImage]:
    """A sealed photo-like picture, and the gateway that keeps it as an original."""
    file = seal(gateway.sealing, make_photo_like(1), make_claim())
    original = decode(file.data, Limits())
    return dataclasses.replace(gateway, originals={record_of(file).content_id: original}), file


def test_a_crop_is_the_same_picture_and_its_change_is_named(keeping: tuple[Gateway, SealedImage]) -> None:
    gateway, file = keeping
    pixels = decode(file.data, Limits())
    height, width = pixels.shape[:2]
    known = record_of(file)
    crop = np.ascontiguousarray(pixels[height // 5 :, : width * 4 // 5])

    parts = dataclasses.replace(gateway.verifying(known), watermarkers=(FoundMark(file.mark),))
    report = verify(parts, jpeg(crop, 85))

    assert report.verdict is Verdict.OURS_ALTERED
    assert report.record is not None
    assert report.record.distance is not None
    assert report.record.distance > 31, "too far for the hash of the whole picture"
    assert report.record.same_picture is True
    assert any(words.startswith("cropped to 6") for _, words in report.record.overlay.changes)


def test_a_copied_mark_is_called_so_although_the_original_is_at_hand(keeping: tuple[Gateway, SealedImage]) -> None:
    gateway, file = keeping
    parts = dataclasses.replace(gateway.verifying(record_of(file)), watermarkers=(FoundMark(file.mark),))

    report = verify(parts, jpeg(make_photo_like(2), 95))

    assert report.verdict is Verdict.COPIED_MARK
    assert "the mark was copied" in dict(report.statements)["verdict"]


def test_a_copy_without_credential_and_mark_is_known_by_its_looks(keeping: tuple[Gateway, SealedImage]) -> None:
    gateway, file = keeping
    parts = dataclasses.replace(gateway.verifying(record_of(file)), watermarkers=())

    report = verify(parts, jpeg(decode(file.data, Limits()), 60))

    assert (report.verdict, report.exit_code) == (Verdict.LOOKS_LIKE_OURS, 2)
    assert verify(parts, jpeg(make_photo_like(3), 60)).verdict is Verdict.NOT_FOUND


class FoundMark:
    """A part that always reads the same mark: what lies behind detection is tested elsewhere."""

    name, version, algorithm, min_pixels, marks = "found", "1", "dev.fluxgate.found.1", 1, True
    strengths: tuple[float, ...] = (1.0,)

    def __init__(self, mark: bytes) -> None:
        self._mark = mark

    def embed(self, pixels: Pixels, mark: bytes, strength: float) -> Pixels:
        return pixels

    def detect(self, pixels: Pixels) -> Detection | None:
        return Detection(self._mark, self.algorithm, 1.0, 0)
