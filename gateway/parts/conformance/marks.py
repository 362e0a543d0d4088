"""Checks of watermarkers, and of readers of marks that other systems write."""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from gateway.parts.conformance.samples import Pixels, Samples, Unreadable, at_once, picture
from provenance.errors import MarkUnreadable
from provenance.marks.foreign import ForeignMark
from provenance.marks.watermarkers import Detection

_ALGORITHM = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+\.[0-9]+")
_MARKS = (bytes.fromhex("0123456789abcdef"), bytes.fromhex("fedcba9876543210"))
_LEAST_DECIBELS = 30.0  # of the peak signal to the noise; below it a mark is seen at a glance


def watermarker_faults(part: Any, samples: Samples) -> Iterator[str]:
    """Faults of a watermarker: its marks read back, and an unmarked image has none."""
    if not isinstance(part.algorithm, str) or not _ALGORITHM.fullmatch(part.algorithm):
        yield "`algorithm` must be a versioned reverse-DNS id, such as `com.example.mark.1`: it stands in manifests"
    strengths = part.strengths
    if not isinstance(strengths, tuple) or not strengths or list(strengths) != sorted(strengths) or strengths[0] <= 0:
        yield "`strengths` must be a tuple of positive factors, gentlest first"
        return
    if not isinstance(part.min_pixels, int) or part.min_pixels < 1:
        yield "`min_pixels` must be a positive whole number"
        return
    side = max(512, int(part.min_pixels**0.5) + 1)
    pixels = picture(side, side)
    before = pixels.tobytes()
    if part.marks is False:
        if not part.name.startswith("unsafe"):
            yield "a watermarker that marks nothing must say so in its name: let it begin with `unsafe`"
        if part.detect(pixels) is not None:
            yield "a watermarker that marks nothing found a mark"
        return
    if part.detect(pixels) is not None:
        yield "`detect` found a mark in an unmarked image: guard the mark with a checksum, and return None"
    for mark in _MARKS:
        yield from _round_faults(part, pixels, mark)
    if pixels.tobytes() != before:
        yield "`embed` changed the pixels it was given: mark a copy"
    yield from _raising_faults(part.detect)


def _round_faults(part: Any, pixels: Pixels, mark: bytes) -> Iterator[str]:
    marked = _embedded(part, pixels, mark)
    if marked is None:
        yield "`embed` raised MarkUnreadable at every strength for an ordinary image: embed harder"
        return
    if marked.dtype != np.uint8 or marked.shape != pixels.shape:
        yield "`embed` must return uint8 pixels of the same shape"
        return
    noise = float(np.mean((marked.astype(np.float64) - pixels) ** 2))
    if noise == 0:
        yield "`embed` returned the image as it was, without raising MarkUnreadable"
        return
    decibels = 10 * float(np.log10(255**2 / noise))
    if decibels < _LEAST_DECIBELS:
        yield f"the mark is visible: {decibels:.0f} dB, and {_LEAST_DECIBELS:.0f} is the least: embed more gently"
    for found in at_once(lambda: part.detect(marked)):
        if isinstance(found, BaseException):
            yield f"`detect` raised {type(found).__name__} when several threads asked at once"
        elif not isinstance(found, Detection) or found.mark != mark:
            yield "`detect` does not read the mark that `embed` wrote, though `embed` did not raise MarkUnreadable"
        elif found.algorithm != part.algorithm:
            yield "`detect` names another algorithm than the part"
        elif not 0.0 <= found.certainty <= 1.0 or found.corrected_bits < 0:
            yield "`certainty` must lie in [0, 1], and `corrected_bits` must not be negative"


def _embedded(part: Any, pixels: Pixels, mark: bytes) -> Pixels | None:
    """Marked as sealing does it: at the gentlest strength that holds."""
    for strength in part.strengths:
        try:
            marked: Pixels = part.embed(pixels, mark, strength)
        except MarkUnreadable:
            continue
        return marked
    return None


def foreign_faults(part: Any, samples: Samples) -> Iterator[str]:
    """Faults of a reader of foreign marks; `samples.marked` shows it one that it knows."""
    pixels = picture(512, 512)
    if part.read(pixels) != ():
        yield "`read` must return an empty tuple for an image without a mark: it guesses"
    for height, width in ((1, 1), (9, 300)):
        if not isinstance(part.read(picture(height, width)), tuple):
            yield "`read` must return a tuple for images of every size"
    if samples.marked is not None:
        found = part.read(samples.marked)
        if not found or not all(isinstance(each, ForeignMark) for each in found):
            yield "`read` does not find the mark in `samples.marked`: it must return `ForeignMark`s"
        elif any(not 0.0 <= each.chance <= 1.0 or each.wrong_bits > each.bits for each in found):
            yield "`chance` must lie in [0, 1], and `wrong_bits` must not exceed `bits`"
        elif any(other != found for other in at_once(lambda: part.read(samples.marked))):
            yield "`read` answers otherwise when several threads ask at once"
    yield from _raising_faults(part.read)


def _raising_faults(look: Any) -> Iterator[str]:
    try:
        look(Unreadable())
    except Exception:  # noqa: BLE001  as it must
        return
    yield f"`{look.__name__}` said that an image it could not read has no mark: let failures raise"
