"""Files become pixels and pixels files; hostile ones are refused by name before a codec works on them."""

import io
import struct
import zlib

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from provenance.errors import UnreadableImage
from provenance.files import encoding
from provenance.files.encoding import MEDIA_TYPES, FileBounds, decode, decode_own, encode
from provenance.files.headers import png_chunk, read_header
from tests.provenance.pictures import make_picture

LIMITS = FileBounds()


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


@settings(max_examples=25, deadline=None)
@given(height=st.integers(1, 40), width=st.integers(1, 40), seed=st.integers(0, 2**32 - 1))
def test_our_png_is_lossless_for_every_size_as_pillow_reads_it(height: int, width: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)

    data = encode(pixels, "image/png", 95)

    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), pixels)
    assert np.array_equal(decode(data, LIMITS), pixels)


@pytest.mark.parametrize("media_type", list(MEDIA_TYPES))
def test_own_files_are_read_back_as_any_decoder_reads_them(media_type: str) -> None:
    data = encode(make_picture(50, 70), media_type, 95)

    assert np.array_equal(decode_own(data, media_type), decode(data, LIMITS))


def test_reading_back_is_strict() -> None:
    data = encode(make_picture(50, 70), "image/png", 95)
    foreign = saved(Image.fromarray(make_picture(50, 70)), "PNG")

    for wrong in (data + b"\x00", data[:-1], data[:-12], foreign, b"", data.replace(b"IHDR", b"IHDr")):
        with pytest.raises(UnreadableImage):
            decode_own(wrong, "image/png")
    for position in range(0, len(data), 97):
        flipped = bytearray(data)
        flipped[position] ^= 1
        with pytest.raises(UnreadableImage):
            decode_own(bytes(flipped), "image/png")


def test_png_is_written_without_the_fast_library_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "_deflater", zlib)
    pixels = make_picture(64, 48)

    assert np.array_equal(decode(encode(pixels, "image/png", 95), LIMITS), pixels)


@pytest.mark.parametrize("media_type", list(MEDIA_TYPES))
def test_pixels_come_back_read_only_and_of_the_same_size(media_type: str) -> None:
    pixels = make_picture(96, 120)

    decoded = decode(encode(pixels, media_type, 95), LIMITS, declared_type=media_type)

    assert decoded.shape == pixels.shape
    assert not decoded.flags.writeable
    assert decoded.flags.c_contiguous
    assert np.abs(decoded.astype(int) - pixels).mean() < 3


@pytest.mark.parametrize(("media_type", "quality"), [("image/gif", 90), ("image/jpeg", 0), ("image/jpeg", 101)])
def test_unknown_formats_and_qualities_are_not_written(media_type: str, quality: int) -> None:
    with pytest.raises(ValueError):
        encode(make_picture(16, 16), media_type, quality)


def refusal(data: bytes, limits: FileBounds = LIMITS, declared_type: str | None = None) -> str:
    with pytest.raises(UnreadableImage) as caught:
        decode(data, limits, declared_type=declared_type)
    assert caught.value.remedy
    return caught.value.field


def test_too_many_bytes_are_refused() -> None:
    assert refusal(encode(make_picture(64, 64), "image/png", 95), FileBounds(max_bytes=1000)) == "bytes"


@pytest.mark.parametrize("media_type", list(MEDIA_TYPES))
def test_too_many_pixels_are_refused(media_type: str) -> None:
    assert refusal(encode(make_picture(64, 64), media_type, 95), FileBounds(max_pixels=64 * 64 - 1)) == "pixels"


def test_a_png_bomb_is_refused_before_it_is_inflated() -> None:
    side = 60_000
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(bytes(1 << 24))) + png_chunk(b"IEND", b"")

    assert refusal(bomb) == "pixels"


def test_a_jpeg_that_lies_about_its_size_is_refused() -> None:
    data = bytearray(saved(Image.new("RGB", (64, 64)), "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", 65500, 65500)

    assert refusal(bytes(data)) == "pixels"


def test_a_text_chunk_bomb_is_refused() -> None:
    bomb = zlib.compress(bytes(200 * 1024 * 1024), 9)
    plain = encode(make_picture(64, 64), "image/png", 95)
    data = plain[:33] + png_chunk(b"zTXt", b"Comment\x00\x00" + bomb) + plain[33:]

    assert refusal(data) == "data"


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("WEBP", {"lossless": True})])
def test_animations_are_refused(kind: str, options: dict[str, object]) -> None:
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]

    assert refusal(saved(frames[0], kind, save_all=True, append_images=frames[1:], **options)) == "frames"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GIF89a",
        b"<svg/>",
        b"%PDF-1.7",
        b"\x00" * 64,
        b"RIFF\x04\x00\x00\x00WAVE",
        saved(Image.new("L", (9, 9)), "BMP"),
    ],
)
def test_other_types_are_refused_whatever_they_are_called(data: bytes) -> None:
    assert refusal(data, declared_type="image/png") == "type"


def test_a_type_that_was_declared_wrongly_is_refused() -> None:
    assert refusal(encode(make_picture(16, 16), "image/jpeg", 95), declared_type="image/png") == "type"


@pytest.mark.parametrize("media_type", list(MEDIA_TYPES))
def test_every_truncation_is_refused(media_type: str) -> None:
    data = encode(make_picture(40, 40), media_type, 90)

    for length in range(0, len(data) - 12, 61):
        assert refusal(data[:length]) in ("type", "data"), length


@settings(max_examples=150, deadline=None)
@given(
    media_type=st.sampled_from(list(MEDIA_TYPES)),
    start=st.integers(0, 400),
    junk=st.binary(min_size=1, max_size=24),
)
def test_damage_either_decodes_or_is_refused_and_never_breaks(media_type: str, start: int, junk: bytes) -> None:
    data = encode(make_picture(24, 24), media_type, 90)
    damaged = data[:start] + junk + data[start + len(junk) :]
    try:
        pixels = decode(damaged, FileBounds(max_pixels=4_000_000))
    except UnreadableImage:
        return
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3


def as_pixels(picture: Image.Image, kind: str, **options: object) -> npt.NDArray[np.uint8]:
    return decode(saved(picture, kind, **options), LIMITS)


def test_transparency_is_laid_over_white() -> None:
    half = Image.new("RGBA", (8, 8), (255, 0, 0, 0))

    assert (as_pixels(half, "PNG") == 255).all()
    assert (as_pixels(half, "WEBP", lossless=True) == 255).all()


def test_sixteen_bits_become_eight_by_scaling() -> None:
    deep = Image.fromarray(np.full((8, 8), 0x8080, np.uint16))

    assert (as_pixels(deep, "PNG") == 0x80).all()


@pytest.mark.parametrize(
    ("mode", "kind"), [("CMYK", "JPEG"), ("L", "JPEG"), ("L", "PNG"), ("P", "PNG"), ("1", "PNG"), ("LA", "PNG")]
)
def test_other_colour_modes_become_rgb(mode: str, kind: str) -> None:
    assert as_pixels(Image.new("RGB", (20, 10), "white").convert(mode), kind).shape == (10, 20, 3)


def test_orientation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    picture = Image.new("RGB", (20, 10), "black")

    assert as_pixels(picture, "JPEG", exif=exif).shape == (20, 10, 3)


@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 80}, {"quality": 80, "exif": Image.Exif()}])
def test_the_header_of_every_webp_kind_is_read(options: dict[str, object]) -> None:
    header = read_header(saved(Image.new("RGB", (33, 21)), "WEBP", **options))

    assert (header.media_type, header.width, header.height) == ("image/webp", 33, 21)
