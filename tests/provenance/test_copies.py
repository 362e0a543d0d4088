"""A copy is laid over the original before anything is claimed of it."""

import dataclasses

import numpy as np
import pytest

from provenance.claims import SealedImage
from provenance.files.encoding import FileBounds, decode
from provenance.marks.watermarkers import Detection, Pixels
from provenance.sealing import seal
from provenance.standings import Standing
from provenance.verification import verify
from tests.provenance.operators import Gateway, make_claim, record_of
from tests.provenance.pictures import jpeg, make_photo_like


@pytest.fixture
def keeping(gateway: Gateway) -> tuple[Gateway, SealedImage]:
    """A sealed photo-like picture, and the gateway that keeps it as an original."""
    file = seal(gateway.sealing, make_photo_like(1), make_claim())
    original = decode(file.data, FileBounds())
    return dataclasses.replace(gateway, originals={record_of(file).content_id: original}), file


def test_a_crop_is_the_same_picture_and_its_change_is_named(keeping: tuple[Gateway, SealedImage]) -> None:
    gateway, file = keeping
    pixels = decode(file.data, FileBounds())
    height, width = pixels.shape[:2]
    known = record_of(file)
    crop = np.ascontiguousarray(pixels[height // 5 :, : width * 4 // 5])

    parts = dataclasses.replace(gateway.verifying(known), watermarkers=(FoundMark(file.mark),))
    report = verify(parts, jpeg(crop, 85))

    assert report.standing is Standing.OURS_ALTERED
    assert report.record is not None
    assert report.record.distance is not None
    assert report.record.distance > 31, "too far for the hash of the whole picture"
    assert report.record.same_picture is True
    assert any(words.startswith("cropped to 6") for _, words in report.record.overlay.changes)


def test_a_copied_mark_is_called_so_although_the_original_is_at_hand(keeping: tuple[Gateway, SealedImage]) -> None:
    gateway, file = keeping
    parts = dataclasses.replace(gateway.verifying(record_of(file)), watermarkers=(FoundMark(file.mark),))

    report = verify(parts, jpeg(make_photo_like(2), 95))

    assert report.standing is Standing.COPIED_MARK
    assert "the mark was copied" in dict(report.statements)["verdict"]


def test_a_copy_without_credential_and_mark_is_known_by_its_looks(keeping: tuple[Gateway, SealedImage]) -> None:
    gateway, file = keeping
    parts = dataclasses.replace(gateway.verifying(record_of(file)), watermarkers=())

    report = verify(parts, jpeg(decode(file.data, FileBounds()), 60))

    assert (report.standing, report.exit_code) == (Standing.LOOKS_LIKE_OURS, 2)
    assert verify(parts, jpeg(make_photo_like(3), 60)).standing is Standing.NOT_FOUND


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
