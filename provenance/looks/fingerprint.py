"""Names a picture by its bytes (SHA-256), says what a name by its looks is (PDQ), and how far two looks are apart."""

import hashlib
from collections.abc import Callable
from typing import Final

from provenance.marks.watermarkers import Pixels

PDQ_ALGORITHM: Final = "dev.fluxgate.pdq.1"
"""PDQ as the name of a soft binding; the list of registered algorithms has none for it."""

PDQ_MATCH_DISTANCE: Final = 31
"""At most this many of 256 bits differ between two copies of one picture (ThreatExchange PDQ reference)."""

PDQ_LEAST_QUALITY: Final = 50
"""Hashes of lower quality (flat pictures) say nothing; same source."""

Fingerprint = Callable[[Pixels], tuple[str, int]]
"""Names a picture by its looks: PDQ as 64 hex characters, and its quality, 0 to 100. Handed in by the gateway."""


def sha256(data: bytes) -> str:
    """Hex."""
    return hashlib.sha256(data).hexdigest()


def pdq_distance(one: str, other: str) -> int:
    """How many of the 256 bits differ."""
    return (int(one, 16) ^ int(other, 16)).bit_count()
