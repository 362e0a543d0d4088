"""Small things in large pictures and long strips are looked at too, and never more than nine views."""

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation.picture_views import MOST_SQUARES, views


def covered(pixels: numpy.ndarray) -> numpy.ndarray:
    """How many of the parts (the whole not counted) show each place. Views share the picture's memory."""
    for part in views(pixels)[1:]:
        part += 1
    return pixels[:, :, 0]


@given(st.integers(1, 3000), st.integers(1, 3000))
def test_the_whole_comes_first_and_the_work_is_bounded(height: int, width: int) -> None:
    pixels = numpy.zeros((height, width, 3), numpy.uint8)
    whole, *parts = views(pixels)
    assert whole is pixels
    assert len(parts) <= MOST_SQUARES
    assert all(0 < part.size < pixels.size for part in parts)


@pytest.mark.parametrize(("height", "width"), [(1024, 1024), (768, 1536), (900, 700 + 200), (300, 1000), (1200, 256)])
def test_every_place_of_a_large_or_long_picture_is_in_some_part(height: int, width: int) -> None:
    assert covered(numpy.zeros((height, width, 3), numpy.uint8)).min() >= 1


@pytest.mark.parametrize(("height", "width"), [(256, 256), (512, 767), (300, 600), (1, 1)])
def test_small_pictures_are_looked_at_once(height: int, width: int) -> None:
    assert len(views(numpy.zeros((height, width, 3), numpy.uint8))) == 1


def test_something_across_the_middle_is_whole_in_one_part() -> None:
    pixels = numpy.zeros((1000, 1000, 3), numpy.uint8)
    pixels[420:580, 420:580] = 255
    assert any((part == 255).all(-1).sum() == 160 * 160 for part in views(pixels)[1:])
