"""The tile mark goes into pictures and comes out of copies that were compressed, cut, scaled and turned."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from provenance.errors import MarkUnreadable
from provenance.marks.tile.detection import ATTEMPTS, PATHS, PATIENCE, Search
from provenance.marks.tile.pattern import Pattern
from provenance.marks.tile_watermark import TileKey, TileWatermark
from provenance.marks.watermarkers import Pixels
from provenance.watermark_report.attacks import ATTACKS, tilted
from provenance.watermark_report.pictures import flat_art
from provenance.watermark_report.statistics import flat_rms, psnr_db, ssim
from tests.provenance.pictures import make_picture, reencoded_as_jpeg

MARK = bytes.fromhex("0123456789abcdef")


def watermark(*keys: str, **options: object) -> TileWatermark:
    given_keys = [{"id": f"key{n}", "hex": key * 32} for n, key in enumerate(keys or ("5a",))]
    return TileWatermark(TileWatermark.Options.model_validate({"keys": given_keys, **options}))


WATERMARK = watermark()


@pytest.fixture(scope="module")
def original() -> Pixels:
    return make_picture(1024, 1024, seed=3)


@pytest.fixture(scope="module")
def marked(original: Pixels) -> Pixels:
    return WATERMARK.embed(original, MARK, 1.0)


def after(name: str, pixels: Pixels) -> Pixels:
    (attack,) = [known for known in ATTACKS if known.name == name]
    return attack.apply(pixels, np.random.default_rng(1))


def read(pixels: Pixels, reader: TileWatermark = WATERMARK) -> bytes | None:
    found = reader.detect(pixels)
    return None if found is None else found.mark


@settings(max_examples=8, deadline=None)
@given(
    mark=st.binary(min_size=8, max_size=8),
    height=st.integers(256, 420),
    width=st.integers(256, 420),
    seed=st.integers(0, 99),
)
def test_every_mark_is_read_back_from_every_size(mark: bytes, height: int, width: int, seed: int) -> None:
    assert read(WATERMARK.embed(make_picture(height, width, seed), mark, 1.0)) == mark


def test_the_mark_is_hardly_there_to_see(original: Pixels, marked: Pixels) -> None:
    flat = flat_rms(original, marked)

    assert psnr_db(original, marked) >= 42
    assert ssim(original, marked) >= 0.98
    assert flat is None or flat <= 1.0


@pytest.mark.parametrize(
    "name",
    [
        "none", "JPEG 50", "JPEG 30", "WebP 80", "contrast x0.5", "grey", "noise 20", "median 5", "blur 2", "text",
        "logo 8 %", "resize x0.35", "resize x0.75", "resize x2.0", "width x0.9", "crop 25 %", "crop 10 %",
        "crop 50 %, x0.6", "rotate 0.5", "rotate 15", "rotate 45", "rotate 90", "flip", "flip, x0.7, JPEG 70",
        "screenshot", "social media", "print and scan", "perspective 1 %", "perspective 3 %",
    ],
)  # fmt: skip
def test_a_copy_is_still_read_after(name: str, marked: Pixels) -> None:
    assert read(after(name, marked)) == MARK


@pytest.mark.parametrize("name", ["self-fold x1.0", "self-fold x1.5", "notch above 8", "self-fold x1, notch above 8"])
def test_removal_that_needs_no_key_fails(name: str, marked: Pixels) -> None:
    assert read(after(name, marked)) == MARK


@pytest.mark.parametrize("name", ["none", "JPEG 75", "flip", "resize x0.75"])
def test_pictures_of_256_pixels_are_still_read_after(name: str) -> None:
    small = WATERMARK.embed(make_picture(256, 256, seed=4), MARK, 1.0)

    assert read(after(name, small)) == MARK


def test_a_small_bent_copy_is_straightened_by_its_own_grid() -> None:
    small = WATERMARK.embed(make_picture(512, 512, seed=6), MARK, 1.0)

    for seed in range(4):
        bent = tilted(small, 0.03, np.random.default_rng(seed))
        assert read(bent) == MARK, seed


def test_large_pictures_are_read_at_their_size_and_made_small() -> None:
    large = WATERMARK.embed(make_picture(1600, 2500, seed=5), MARK, 1.0)

    assert read(large) == MARK
    assert read(after("resize x0.35", large)) == MARK


@pytest.mark.parametrize("name", ["none", "crop 25 %", "rotate 5", "resize x0.5"])
def test_an_unmarked_picture_carries_nothing(name: str, original: Pixels) -> None:
    assert WATERMARK.detect(after(name, original)) is None


@pytest.mark.parametrize("name", ["none", "JPEG 20"])
def test_a_search_in_vain_stops_when_its_patience_is_spent(name: str) -> None:
    (art,) = [picture.pixels for picture in flat_art(1, 1024, 1024)]
    grey = cv2.cvtColor(after(name, art), cv2.COLOR_RGB2GRAY)
    accepted: list[object] = []
    search = Search([Pattern("a", b"k" * 16)], 96, lambda message: accepted.append(message))

    assert search.run(grey) is None
    assert 0 <= search.patience < PATIENCE
    assert search.attempts <= PATIENCE / 5
    assert len(accepted) <= search.attempts * PATHS * 2


def test_the_bound_on_false_marks_is_the_one_that_is_promised() -> None:
    assert ATTEMPTS * PATHS * 2 / 2**32 <= 1.2e-7


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (128, 128, 128), (30, 90, 200)])
def test_one_colour_is_marked_or_refused_but_never_breaks(colour: tuple[int, int, int]) -> None:
    flat: Pixels = np.full((512, 512, 3), colour, np.uint8)

    assert WATERMARK.detect(flat) is None
    try:
        kept = WATERMARK.embed(flat, MARK, 1.0)
    except MarkUnreadable:
        return
    assert read(kept) == MARK


def test_flat_art_is_read_after_ordinary_jpeg() -> None:
    (art,) = [picture.pixels for picture in flat_art(1, 1024, 1024)]

    assert read(reencoded_as_jpeg(WATERMARK.embed(art, MARK, 1.0), 75)) == MARK


def test_another_key_reads_nothing(marked: Pixels) -> None:
    assert watermark("a5").detect(marked) is None


def test_older_keys_still_read_and_the_newest_marks(original: Pixels, marked: Pixels) -> None:
    rotated = watermark("a5", "5a")

    assert read(marked, rotated) == MARK
    assert read(rotated.embed(original, MARK, 1.0), watermark("a5")) == MARK


def test_marks_of_two_operators_live_side_by_side(marked: Pixels) -> None:
    twice = watermark("a5").embed(marked, b"another.", 1.0)

    assert read(twice) == MARK
    assert read(twice, watermark("a5")) == b"another."


def test_long_marks_are_an_option(original: Pixels) -> None:
    long = watermark(mark_bytes=16)
    mark = bytes(range(16))

    assert read(reencoded_as_jpeg(long.embed(original, mark, 1.0), 50), long) == mark


def test_marking_leaves_the_given_pixels_alone_and_returns_read_only_ones(original: Pixels) -> None:
    before = original.copy()

    again = WATERMARK.embed(original, MARK, 1.0)

    assert np.array_equal(original, before)
    assert not again.flags.writeable
    assert np.array_equal(again, WATERMARK.embed(original, MARK, 1.0)), "marking is a function of its inputs"


def test_a_crop_moved_by_any_pixel_is_read(marked: Pixels) -> None:
    for top, left in [(1, 0), (63, 65), (127, 129), (200, 311)]:
        assert read(np.ascontiguousarray(marked[top : top + 700, left : left + 700])) == MARK


def test_what_cannot_hold_the_mark_is_refused(original: Pixels) -> None:
    with pytest.raises(MarkUnreadable, match="too small"):
        WATERMARK.embed(make_picture(100, 700), MARK, 1.0)
    with pytest.raises(ValueError, match="8 bytes"):
        WATERMARK.embed(original, b"short", 1.0)


@pytest.mark.parametrize("shape", [(1, 1), (16, 900), (40, 40), (3, 2000), (40, 60_000)])
def test_tiny_and_drawn_out_pictures_carry_nothing(shape: tuple[int, int]) -> None:
    assert WATERMARK.detect(np.full((*shape, 3), 7, np.uint8)) is None


@pytest.mark.parametrize("shape", [(640, 640), (40, 6000), (2500, 130)])
def test_noise_carries_nothing(shape: tuple[int, int]) -> None:
    assert WATERMARK.detect(np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)) is None


def test_keys_come_from_files_too_and_never_show(tmp_path: Path, marked: Pixels) -> None:
    file = tmp_path / "mark.key"
    file.write_text("5a" * 32 + "\n")
    key = TileKey(id="key0", file=file)

    assert read(marked, TileWatermark(TileWatermark.Options(keys=(key,)))) == MARK
    assert "5a5a" not in repr(TileKey.model_validate({"id": "a", "hex": "5a" * 32}))


@pytest.mark.parametrize("hexadecimal", ["", "5a5a", "not hexadecimal at all, this"])
def test_a_key_that_is_none_is_refused_without_being_quoted(hexadecimal: str) -> None:
    options = TileWatermark.Options.model_validate({"keys": [{"id": "a", "hex": hexadecimal}]})

    with pytest.raises(ValueError, match="watermark key `a`") as refusal:
        TileWatermark(options)
    assert not hexadecimal or hexadecimal not in str(refusal.value)


def test_there_is_no_key_unless_one_is_given() -> None:
    for keys in ([], [{"id": "a"}], [{"id": "a", "hex": "5a" * 32, "file": "x"}]):
        with pytest.raises(ValidationError):
            TileWatermark.Options.model_validate({"keys": keys})
    with pytest.raises(ValueError, match="same id"):
        TileWatermark(TileWatermark.Options.model_validate({"keys": [{"id": "a", "hex": "5a" * 16}] * 2}))


@pytest.mark.data
def test_photographs_hold_the_mark_through_a_social_chain(shared_data: object) -> None:
    from tests.provenance.pictures import photographs

    for name, pixels in list(photographs("kodak"))[1::4]:
        shaped = cv2.resize(pixels, (1024, 1024), interpolation=cv2.INTER_CUBIC)
        kept = WATERMARK.embed(shaped, MARK, 1.0)
        assert psnr_db(shaped, kept) >= 42, name
        assert read(after("social media", kept)) == MARK, name
