"""The views of a picture that a classifier with a small square input is shown: the whole, and parts of large ones.

Squeezed into 224 or 320 pixels, what fills an eighth of a large picture is a smudge, and a strip is unrecognisable.
Pure.
"""

from moderation.classifiers import Pixels

LARGE_SIDE = 768
"""Pixels of the short side from which parts are looked at too: a quarter then still has more than the inputs of 224 to
384 that common models have."""

LONG_RATIO = 2
"""Sides beyond 2:1 are looked at in squares along the long side."""

MOST_SQUARES = 8
"""Bounds the work: longer strips are covered by squares with gaps, spread evenly."""

QUARTER_SHARE = 0.6
"""Of either side: the quarters overlap, so that something in the middle is whole in one of them."""


def views(pixels: Pixels) -> tuple[Pixels, ...]:
    """The whole picture first; nine views at most, without copying.

    `pixels`: (height, width, 3).
    """
    height, width = pixels.shape[:2]
    short, long = sorted((height, width))
    if long > LONG_RATIO * short:
        count = min(MOST_SQUARES, -(-long // short))
        starts = [round(number * (long - short) / (count - 1)) for number in range(count)]
        squares = [pixels[:, at : at + short] if width == long else pixels[at : at + short] for at in starts]
        return (pixels, *squares)
    if short < LARGE_SIDE:
        return (pixels,)
    rows, columns = round(height * QUARTER_SHARE), round(width * QUARTER_SHARE)
    quarters = [pixels[y : y + rows, x : x + columns] for y in (0, height - rows) for x in (0, width - columns)]
    return (pixels, *quarters)
