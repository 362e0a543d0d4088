"""The mark goes into pixels and comes out again; what cannot hold it raises, what lacks it reads as nothing."""

import warnings

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imwatermark import WatermarkDecoder

from provenance.errors import MarkUnreadable
from provenance.marks.library import LibraryWatermark
from provenance.marks.watermarkers import Pixels, UnsafeUnmarked
from provenance.payload import CODE_BITS, WEAK_BITS, protect, recover, to_bits
from tests.provenance.pictures import make_picture, photographs, reencoded_as_jpeg

WATERMARK = LibraryWatermark(LibraryWatermark.Options())
MARK = bytes.fromhex("0123456789abcdef")


@given(mark=st.binary(min_size=8, max_size=8))
def test_every_mark_comes_back_from_its_bits(mark: bytes) -> None:
    evidence = to_bits(protect(mark)).astype(np.float64) - 0.5

    assert recover(evidence) == (mark, 0)


@given(mark=st.binary(min_size=8, max_size=8), wrong=st.sets(st.integers(0, CODE_BITS - 1), max_size=WEAK_BITS))
def test_up_to_six_uncertain_bits_are_set_right(mark: bytes, wrong: set[int]) -> None:
    evidence = to_bits(protect(mark)).astype(np.float64) - 0.5
    for position in wrong:
        evidence[position] *= -0.01

    assert recover(evidence) == (mark, len(wrong))


@given(seed=st.integers(0, 2**32 - 1))
def test_noise_is_never_taken_for_a_mark(seed: int) -> None:
    assert recover(np.random.default_rng(seed).normal(size=CODE_BITS)) is None


@pytest.mark.parametrize("constant", [1.0, -1.0])
def test_constant_bits_are_not_a_mark(constant: float) -> None:
    assert recover(np.full(CODE_BITS, constant)) is None


@settings(max_examples=15, deadline=None)
@given(
    mark=st.binary(min_size=8, max_size=8),
    height=st.integers(256, 400),
    width=st.integers(256, 400),
    seed=st.integers(0, 99),
)
def test_every_mark_is_read_back_from_every_size(mark: bytes, height: int, width: int, seed: int) -> None:
    marked = WATERMARK.embed(make_picture(height, width, seed), mark, 1.0)

    found = WATERMARK.detect(marked)

    assert found is not None
    assert (found.mark, found.algorithm, found.corrected_bits) == (mark, "dev.fluxgate.dwtdctsvd.1", 0)


@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0), (0, 0, 255), (255, 255, 0), (128, 128, 128)])
def test_flat_colours_hold_the_mark_through_jpeg_90(colour: tuple[int, int, int]) -> None:
    flat = np.full((512, 512, 3), colour, np.uint8)

    marked = WATERMARK.embed(flat, MARK, 1.0)

    found = WATERMARK.detect(reencoded_as_jpeg(marked, 90))
    assert found is not None
    assert found.mark == MARK


@pytest.mark.parametrize("side", [256, 512, 1024])
def test_pure_noise_holds_the_mark_through_jpeg_90_with_halved_chroma(side: int) -> None:
    noise = np.random.default_rng(side).integers(0, 256, (side, side, 3), np.uint8)

    found = WATERMARK.detect(reencoded_as_jpeg(WATERMARK.embed(noise, MARK, 1.0), 90))

    assert found is not None
    assert found.mark == MARK


@pytest.mark.data
def test_photographs_hold_the_mark_through_ordinary_jpeg(shared_data: object) -> None:
    for name, pixels in photographs("kodak"):
        marked = WATERMARK.embed(pixels, MARK, 1.0)
        noise = np.square(marked.astype(np.float64) - pixels).mean()
        assert 10 * np.log10(255**2 / noise) > 42, name
        for quality in (90, 75):
            found = WATERMARK.detect(reencoded_as_jpeg(marked, quality))
            assert found is not None, (name, quality)
            assert found.mark == MARK


@pytest.mark.data
def test_the_stock_library_reads_our_marks(shared_data: object) -> None:
    for name, pixels in photographs("kodak"):
        marked = WATERMARK.embed(pixels, MARK, 1.0)
        code = WatermarkDecoder("bytes", CODE_BITS).decode(cv2.cvtColor(marked, cv2.COLOR_RGB2BGR), "dwtDctSvd")
        assert code == protect(MARK), name


@pytest.mark.data
def test_unmarked_photographs_carry_nothing(shared_data: object) -> None:
    for name, pixels in [*photographs("kodak"), *photographs("skimage")]:
        assert WATERMARK.detect(pixels) is None, name


def test_marking_leaves_the_given_pixels_alone_and_returns_read_only_ones() -> None:
    picture = make_picture()
    before = picture.copy()

    marked = WATERMARK.embed(picture, MARK, 1.0)

    assert np.array_equal(picture, before)
    assert not marked.flags.writeable
    assert np.array_equal(marked[..., 0], picture[..., 0]), "red is never touched"


def test_marking_again_replaces_the_first_mark() -> None:
    twice = WATERMARK.embed(WATERMARK.embed(make_picture(), b"the old.", 1.0), MARK, 1.0)

    found = WATERMARK.detect(twice)

    assert found is not None
    assert found.mark == MARK


@pytest.mark.parametrize("shape", [(255, 256), (4, 65536), (1, 1)])
def test_pictures_that_are_too_small_are_refused_and_carry_nothing(shape: tuple[int, int]) -> None:
    small: Pixels = np.zeros((*shape, 3), np.uint8)

    assert WATERMARK.detect(small) is None
    with pytest.raises(MarkUnreadable, match="too small"):
        WATERMARK.embed(small, MARK, 1.0)


def test_a_mark_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="8 bytes"):
        WATERMARK.embed(make_picture(), b"short", 1.0)


def test_the_part_that_marks_nothing_says_so_when_built() -> None:
    with pytest.warns(UserWarning, match="UnsafeUnmarked"):
        part = UnsafeUnmarked(UnsafeUnmarked.Options())

    picture = make_picture()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert part.embed(picture, MARK, 1.0) is picture
    assert part.detect(picture) is None
    assert not part.marks
