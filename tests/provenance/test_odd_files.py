"""Files as cameras, phones and editors leave them: what every viewer shows is read, in one look."""

import io

import numpy as np
import pytest
from PIL import Image

from provenance.errors import UnreadableImage
from provenance.files.encoding import MEDIA_TYPES, FileBounds, decode, encode
from provenance.files.headers import read_header
from tests.provenance.pictures import make_picture

LIMITS = FileBounds()
PICTURE = make_picture(96, 120)
RANDOM = np.random.default_rng(21).integers(0, 256, 9_000_000, np.uint8).tobytes()


def shows_the_picture(data: bytes) -> bool:
    pixels = decode(data, LIMITS)
    return pixels.shape == PICTURE.shape and float(np.abs(pixels.astype(int) - PICTURE).mean()) < 4


def segment(marker: int, content: bytes, off: int = 0) -> bytes:
    return b"\xff" + bytes([marker]) + (len(content) + 2 + off).to_bytes(2, "big") + content


def progressive() -> bytes:
    out = io.BytesIO()
    Image.fromarray(PICTURE).save(out, "JPEG", quality=95, progressive=True)
    return out.getvalue()


def several_pictures() -> bytes:
    """Multi-picture format (CIPA DC-007), as phones keep depth and gain maps."""
    out = io.BytesIO()
    maps = [Image.fromarray(PICTURE[::2, ::2]), Image.fromarray(PICTURE[::4, ::4])]
    Image.fromarray(PICTURE).save(out, "MPO", save_all=True, append_images=maps, quality=95)
    return out.getvalue()


WHOLE = {media_type: encode(PICTURE, media_type, 95) for media_type in MEDIA_TYPES} | {
    "progressive": progressive(),
    "several pictures": several_pictures(),
}
BEHIND = {
    "a video": b"\x00\x00\x00\x18ftypmp42" + RANDOM,
    "seven bytes": b"\x00" * 7,
    "five hundred scans": b"\xff\xda" * 500,
    "a second picture": WHOLE["image/jpeg"],
}


# case R21
@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("behind", BEHIND)
def test_what_stands_behind_a_pictures_end_is_left_alone(kind: str, behind: str) -> None:
    assert shows_the_picture(WHOLE[kind] + BEHIND[behind])


# case R21
@pytest.mark.parametrize("off", [-6, -3, -2, -1, 1, 2, 3, 6])
@pytest.mark.parametrize("marker", [0xE1, 0xE2, 0xED, 0xFE])
@pytest.mark.parametrize("content", [b"Exif\x00\x00" + b"x" * 40, RANDOM[:60].replace(b"\xff", b"\x00")])
def test_a_segment_whose_length_is_a_few_bytes_off_is_passed_over(off: int, marker: int, content: bytes) -> None:
    file = WHOLE["image/jpeg"]

    assert shows_the_picture(file[:2] + segment(marker, content, off) + file[2:])


# case R21
@pytest.mark.parametrize("before", [0xDB, 0xC0, 0xC4])
@pytest.mark.parametrize("junk", [b"junk" * 5, b"\x00" * 9, b"\xff" * 12, b"\xff\x00" * 3])
def test_junk_between_segments_is_passed_over(before: int, junk: bytes) -> None:
    file = WHOLE["image/jpeg"]
    place = file.index(b"\xff" + bytes([before]))

    assert shows_the_picture(file[:place] + junk + file[place:])


# case R21
def test_a_motion_photo_can_be_uploaded_and_its_size_is_still_judged_first() -> None:
    motion = WHOLE["image/jpeg"] + BEHIND["a video"]

    with pytest.raises(UnreadableImage, match="Send at most 9000000 bytes"):
        decode(motion, FileBounds(max_bytes=9_000_000))
    with pytest.raises(UnreadableImage, match="Send at most 100 pixels"):
        decode(motion, FileBounds(max_pixels=100))


# case R21
@pytest.mark.parametrize("junk", [b"\xff", b"\xff\x00", b"\xff\xd8", b"\xff\x01", b"\x00", b"\xff\xe0\x00\x02"])
def test_megabytes_of_junk_are_passed_over_and_no_picture_is_found(junk: bytes) -> None:
    with pytest.raises(UnreadableImage, match="no frame header"):
        read_header(b"\xff\xd8\xff" + junk * (30_000_000 // len(junk)) + b"\xff\xd9")


# case R21
def test_a_million_segments_are_not_counted_to_the_end() -> None:
    file, empty = WHOLE["image/jpeg"], segment(0xFE, b"")
    behind = file.index(b"\xff\xda")

    for place, problem in ((2, "no frame header"), (behind, "too many segments")):
        with pytest.raises(UnreadableImage, match=problem):
            read_header(file[:place] + empty * 1_000_000 + file[place:])


# case R21
def test_scans_are_counted_up_to_the_pictures_end() -> None:
    file = WHOLE["progressive"]
    last = file.rindex(b"\xff\xda")

    with pytest.raises(UnreadableImage, match="too many scans"):
        decode(file[:last] + file[last:-2] * 200 + file[-2:], LIMITS)
