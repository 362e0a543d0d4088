"""Names a picture by its bytes (SHA-256) and by its looks (PDQ), and tells how far two looks are apart."""

import hashlib
from typing import Final

import numpy as np
import pdqhash

from provenance.encoding import shrink
from provenance.watermarkers import Pixels

PDQ_MATCH_DISTANCE: Final = 31
"""At most this many of 256 bits differ between two copies of one picture (ThreatExchange PDQ reference)."""

PDQ_LEAST_QUALITY: Final = 50
"""Hashes of lower quality (flat pictures) say nothing; same source."""

_PDQ_SIDE: Final = 512  # PDQ itself works on 512 pixels or fewer; averaging down first costs a fifth and moves 4 bits


def sha256(data: bytes) -> str:
    """Hex."""
    return hashlib.sha256(data).hexdigest()


def pdq(pixels: Pixels) -> tuple[str, int]:
    """The PDQ hash as 64 hex characters, and its quality, 0 to 100."""
    bits, quality = pdqhash.compute(np.ascontiguousarray(shrink(pixels, _PDQ_SIDE)))
    return np.packbits(bits).tobytes().hex(), int(quality)


def pdq_distance(one: str, other: str) -> int:
    """How many of the 256 bits differ."""
    return (int(one, 16) ^ int(other, 16)).bit_count()
