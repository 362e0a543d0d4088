"""Each layer says how far it can be relied on, and what was done to the file, in words a program can read too."""

import io
from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image

from gateway.verifying.verifier import to_dict
from moderation.known_pictures.pdq import pdq
from provenance import confidence
from provenance.claims import SealedImage
from provenance.credentials.reading import NOT_PRESENT
from provenance.files.encoding import decode_own, encode
from provenance.looks.likeness import Change, likeness
from provenance.marks.tile_watermark import TileKey, TileWatermark
from provenance.marks.watermarkers import Detection, Pixels
from provenance.reports import KnownImage, RecordMatch, Verification
from provenance.sealing import seal
from provenance.verification import verify
from tests.provenance.operators import Gateway, make_claim, record_of
from tests.provenance.pictures import make_picture, photographs

STRIPPED, ANEW = Change.METADATA_STRIPPED, Change.RE_ENCODED

CHANGES: dict[str, tuple[Callable[[Pixels], Pixels], set[Change]]] = {
    "saved as PNG": (lambda a: a, {STRIPPED}),
    "a little noise": (lambda a: a ^ 1, {STRIPPED, ANEW}),
    "half size": (lambda a: cv2.resize(a, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), {Change.SCALED}),
    "a part": (lambda a: a[40:, 30:], {Change.CROPPED}),
    "a quarter turn": (lambda a: np.rot90(a), {Change.TURNED}),
    "mirrored": (lambda a: a[:, ::-1], {Change.MIRRORED}),
    "brighter": (lambda a: np.clip(a * 1.15, 0, 255).astype(np.uint8), {Change.COLOUR}),
    "grey": (lambda a: np.repeat(a.mean(2, keepdims=True), 3, axis=2).astype(np.uint8), {Change.COLOUR}),
}


@pytest.fixture(scope="module")
def photograph(shared_data: object) -> Pixels:
    return next(pixels for name, pixels in photographs("kodak") if name == "kodim03.png")


@pytest.mark.data
@pytest.mark.parametrize("change", CHANGES)
def test_every_kind_of_change_is_named_and_no_other(photograph: Pixels, change: str) -> None:
    alter, wanted = CHANGES[change]
    copy = np.ascontiguousarray(alter(photograph))
    laid = likeness(copy, photograph)
    assert laid.overlay is not None
    same_pixels = np.array_equal(copy, photograph)
    record = RecordMatch(_known(photograph), False, None, True, laid.overlay, same_pixels)

    named = {kind for kind, _ in record.changes(NOT_PRESENT)}

    assert named - {STRIPPED, ANEW} == wanted - {STRIPPED, ANEW}
    assert STRIPPED in named
    assert (ANEW in named) is not same_pixels


def _known(pixels: Pixels) -> KnownImage:
    return KnownImage("fg_one", "0" * 64, b"8 bytes.", *pdq(pixels), "urn:c2pa:one")


@pytest.fixture(scope="module")
def ours(gateway: Gateway) -> SealedImage:
    """A sealed picture of coloured squares, which points and hashes tell from others."""
    squares = np.random.default_rng(2).integers(30, 220, (16, 16, 3), np.uint8)
    return seal(gateway.sealing, cv2.resize(squares, (512, 512), interpolation=cv2.INTER_CUBIC), make_claim())


@pytest.fixture
def checked(gateway: Gateway, ours: SealedImage) -> Callable[[bytes], Verification]:
    """Against the record of the sealed picture, whose file is kept."""
    record = record_of(ours)
    parts = replace(gateway, originals={record.content_id: decode_own(ours.data, "image/png")}).verifying(record)
    return lambda data: verify(parts, data)


def test_the_delivered_file_is_certain_in_every_layer(checked: Callable[..., Verification], ours: SealedImage) -> None:
    layers = to_dict(checked(ours.data))["layers"]

    assert layers["metadata"]["confidence"] == 1.0
    assert 1 - 1e-7 < layers["watermark"]["confidence"] < 1
    assert layers["record"]["confidence"] == 1.0
    assert (layers["record"]["changes"], layers["record"]["alterations"]) == ([], [])


def test_a_stripped_copy_with_the_same_pixels_is_told_from_one_saved_anew(
    checked: Callable[..., Verification], ours: SealedImage
) -> None:
    pixels = Image.open(io.BytesIO(ours.data)).convert("RGB")
    for media_type, wanted in (("PNG", ["metadata_stripped"]), ("JPEG", ["metadata_stripped", "re_encoded"])):
        out = io.BytesIO()
        pixels.save(out, media_type, quality=92)

        layers = to_dict(checked(out.getvalue()))["layers"]

        assert layers["metadata"]["confidence"] == 0.0
        assert layers["record"]["alterations"] == wanted
        assert 0.99 < layers["record"]["confidence"] <= 1
        assert "its content credential removed" in layers["record"]["explanation"]


def test_what_nothing_was_found_in_vouches_for_nothing(checked: Callable[..., Verification]) -> None:
    layers = to_dict(checked(encode(make_picture(seed=9), "image/png", 95)))["layers"]

    assert [layer["confidence"] for layer in layers.values()] == [0.0] * 4


def test_confidence_is_the_complement_of_the_stated_chance_or_not_said() -> None:
    mark = TileWatermark(TileWatermark.Options(keys=(TileKey(id="own", hex="00" * 32),)))  # type: ignore[arg-type]
    found = mark.detect(mark.embed(make_picture(), b"8 bytes.", 1.0))
    assert found is not None
    assert confidence.of_watermark(found) == pytest.approx(1 - 1.2e-7, abs=1e-8)
    assert confidence.of_watermark(Detection(b"8 bytes.", "org.stranger.1", 1.0, 0)) is None
    plain = RecordMatch(_known(make_picture()), False, None, None)
    assert confidence.of_record(plain) is None
    assert confidence.of_record(replace(plain, same_picture=False)) == 0.0
