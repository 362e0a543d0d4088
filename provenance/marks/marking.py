"""Marks a picture and encodes it so that the mark is in the file: read from the encoded bytes, whatever a part claims.

A low quality takes the mark away. First a stronger mark is tried; where the strongest is not enough, the quality is
raised to the lowest that keeps it, and the caller is told which that is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, TypeVar

from provenance.claims import Claim
from provenance.errors import MarkUnreadable
from provenance.files.encoding import LOSSLESS, decode_own, encode
from provenance.labels import packet
from provenance.marks.watermarkers import Pixels, Watermarker

Step = TypeVar("Step", int, float)

BEST: Final = 100
"""The highest quality of lossy formats. WebP's still halves the colours' resolution; beyond it WebP is lossless."""


@dataclass(frozen=True, slots=True, eq=False)
class Marked:
    """`pixels`: with the mark, before encoding. `data`: the file. `decoded`: its pixels, from which the mark was read.
    `quality`: used, 1 to 100, at least the one asked for; None for lossless formats."""

    pixels: Pixels
    data: bytes
    decoded: Pixels
    quality: int | None


def carries(watermarker: Watermarker, decoded: Pixels, claim: Claim) -> bool:
    """Whether the mark of `claim` is read from pixels that were decoded from a file; nothing is asked of a part that
    says in its name that it does not mark."""
    if not watermarker.marks:
        return True
    found = watermarker.detect(decoded)
    return found is not None and found.mark == claim.mark


def mark_and_encode(watermarker: Watermarker, pixels: Pixels, claim: Claim) -> Marked:
    """The gentlest mark that the file keeps at the quality asked for; with none, the strongest, at the lowest quality
    that keeps it. Raises `MarkUnreadable` if there is none.

    A higher quality, or a stronger mark, is taken to keep it where a lower one does: a search by halves then finds
    the least that holds, and what is returned was read in any case.
    """
    media_type, xmp = claim.media_type, packet(claim)
    lossless = media_type in LOSSLESS

    gentlest, *stronger = watermarker.strengths

    @cache
    def marked(strength: float) -> Pixels:
        return watermarker.embed(pixels, claim.mark, strength)

    def attempt(strength: float, quality: int, *, lossless_webp: bool = False) -> Marked | None:
        try:
            data = encode(marked(strength), media_type, quality, xmp, lossless_webp=lossless_webp)
        except MarkUnreadable:
            if strength == gentlest:  # which climbs to every strength that the part permits
                raise
            return None
        # Of a lossless file these are the same; `sealing` compares them with what the finished file decodes to.
        decoded = marked(strength) if lossless else decode_own(data, media_type)
        if not carries(watermarker, decoded, claim):
            return None
        return Marked(marked(strength), data, decoded, None if lossless else quality)

    if found := attempt(gentlest, claim.quality):
        return found
    strongest = stronger[-1] if stronger else gentlest
    if stronger and (found := attempt(strongest, claim.quality)):
        between = stronger[:-1]
        return _least(between, lambda strength: attempt(strength, claim.quality)) or found
    if lossless:
        raise MarkUnreadable(f"the mark cannot be read from the {media_type} file")
    found = _least(range(claim.quality + 1, BEST + 1), lambda quality: attempt(strongest, quality))
    if found is None and media_type == "image/webp":
        found = attempt(gentlest, BEST, lossless_webp=True)
    if found is None:
        raise MarkUnreadable(f"the mark cannot be read from the {media_type} file at any quality")
    return found


def _least(steps: Sequence[Step], attempt: Callable[[Step], Marked | None]) -> Marked | None:
    """What the lowest of the rising `steps` gives that gives anything; None if the highest does not."""
    found = attempt(steps[-1]) if steps else None
    if found is None:
        return None
    low, high = 0, len(steps) - 1
    while low < high:
        middle = (low + high) // 2
        if better := attempt(steps[middle]):
            found, high = better, middle
        else:
            low = middle + 1
    return found
