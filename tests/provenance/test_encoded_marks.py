"""The mark is in the bytes that leave, at the lowest quality that keeps it, whatever the watermarking part says."""

import numpy as np
import pytest

from provenance.claims import MediaType
from provenance.errors import MarkUnreadable
from provenance.files.encoding import decode_own
from provenance.marks.library import LibraryWatermark
from provenance.marks.marking import mark_and_encode
from provenance.marks.tile_watermark import TileWatermark
from provenance.marks.watermarkers import Detection, Pixels, Watermarker
from provenance.sealing import SealerSetup, seal
from tests.provenance.formats import every_format
from tests.provenance.operators import MARK, Gateway, make_claim
from tests.provenance.pictures import make_picture

TILE = TileWatermark(TileWatermark.Options(keys=[{"id": "own", "hex": "00" * 16}]))
LIBRARY = LibraryWatermark(LibraryWatermark.Options())
PICTURES = {"soft": make_picture(256, 256), "flat": np.full((256, 256, 3), (200, 120, 40), np.uint8)}


class MarksNothing(LibraryWatermark):
    """Whose `embed` returns its input."""

    def embed(self, pixels: Pixels, mark: bytes, strength: float) -> Pixels:
        return pixels


class MarksAnother(LibraryWatermark):
    """Whose `embed` writes some other mark."""

    def embed(self, pixels: Pixels, mark: bytes, strength: float) -> Pixels:
        return super().embed(pixels, b"another.", strength)


class Fragile:
    """Keeps its mark in the lowest bits, which no lossy encoding keeps."""

    name, version, algorithm, strengths, min_pixels, marks = "fragile", "1", "dev.test.fragile.1", (1.0, 2.0), 1, True

    def embed(self, pixels: Pixels, mark: bytes, strength: float) -> Pixels:
        marked = pixels.copy()
        bits = np.unpackbits(np.frombuffer(mark, np.uint8))
        marked.reshape(-1)[: bits.size] = marked.reshape(-1)[: bits.size] & 0xFE | bits
        return marked

    def detect(self, pixels: Pixels) -> Detection | None:
        mark = np.packbits(pixels.reshape(-1)[:64] & 1).tobytes()
        return Detection(mark, self.algorithm, 1.0, 0) if mark == MARK else None


# case S5
@every_format
@pytest.mark.parametrize("part", [MarksNothing, MarksAnother])
def test_a_part_that_does_not_write_its_mark_seals_nothing(
    gateway: Gateway, media_type: MediaType, part: type[LibraryWatermark]
) -> None:
    parts = gateway.sealing
    dishonest = SealerSetup(part(LibraryWatermark.Options()), parts.signer, parts.reader, parts.fingerprint)

    with pytest.raises(MarkUnreadable):
        seal(dishonest, PICTURES["soft"], make_claim(media_type))


# case R3
@pytest.mark.parametrize(
    ("watermarker", "media_type", "quality", "picture"),
    [
        (TILE, "image/webp", 70, "flat"),
        (LIBRARY, "image/webp", 70, "flat"),
        (LIBRARY, "image/jpeg", 1, "soft"),
        (LIBRARY, "image/avif", 1, "flat"),
        (LIBRARY, "image/webp", 1, "soft"),
    ],
)
def test_the_lowest_quality_that_keeps_the_mark_is_used(
    watermarker: Watermarker, media_type: MediaType, quality: int, picture: str
) -> None:
    claim = make_claim(media_type, quality=quality)

    found = mark_and_encode(watermarker, PICTURES[picture], claim)

    assert found.quality is not None
    assert found.quality >= quality
    read = watermarker.detect(decode_own(found.data, media_type))
    assert read is not None
    assert read.mark == MARK
    again = mark_and_encode(watermarker, PICTURES[picture], make_claim(media_type, quality=found.quality))
    assert again.quality == found.quality


# case R3
def test_a_mark_that_only_lossless_encoding_keeps_makes_a_lossless_webp_and_no_jpeg() -> None:
    found = mark_and_encode(Fragile(), PICTURES["soft"], make_claim("image/webp", quality=80))

    assert found.quality == 100
    assert np.array_equal(decode_own(found.data, "image/webp"), found.pixels)
    with pytest.raises(MarkUnreadable):
        mark_and_encode(Fragile(), PICTURES["soft"], make_claim("image/jpeg", quality=80))


@every_format
def test_the_quality_used_stands_with_the_sealed_picture(gateway: Gateway, media_type: MediaType) -> None:
    sealed = seal(gateway.sealing, PICTURES["soft"], make_claim(media_type, quality=90))

    assert sealed.quality == (None if media_type in ("image/png", "image/tiff") else 90)
