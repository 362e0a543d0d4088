"""Sketches of prompts: how much two prompts have in common can be told from their sketches, what they say cannot. Pure.

1. The most decoded reading of the prompt (`moderation/text/folding.py`), so that a new disguise is no new prompt.
2. Its shingles: every word, and every two words that stand beside one another. A word of a script without spaces is
   every character of it.
3. HMAC-SHA-512 of every shingle, under a key of the tenant's own: `PLACES` numbers each.
4. At every place the least number over all shingles. The share of places at which two sketches agree estimates how much
   of all their shingles both have (Broder, "On the resemblance and containment of documents", 1997, section 3).
"""

import hmac
import re
from collections.abc import Sequence
from itertools import pairwise

import numpy
import numpy.typing

from moderation.text.folding import fold

PLACES = 64
"""The estimate's standard error is sqrt(J (1 - J) / 64), at most 0.0625."""

SKETCH_BYTES = 4 * PLACES
_NUMBERS_AT_ONCE = 16  # of 32 bits, in one SHA-512
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+")

Likeness = numpy.typing.NDArray[numpy.float64]


def sketch(prompt: str, key: bytes) -> bytes | None:
    """`SKETCH_BYTES` bytes; None for a prompt without a letter or digit. `key`: 32 secret bytes."""
    words = _WORD.findall(fold(prompt).readings[-1])
    shingles = {*words, *map(" ".join, pairwise(words))}
    if not shingles:
        return None
    drawn = b"".join(_numbers(shingle.encode("utf-8", "surrogatepass"), key) for shingle in shingles)
    least: bytes = numpy.frombuffer(drawn, numpy.uint32).reshape(-1, PLACES).min(axis=0).tobytes()
    return least


def likeness(one: bytes, others: Sequence[bytes]) -> Likeness:
    """(n,) in [0, 1]: the estimated share of shingles that `one` has in common with each of the n others."""
    places = numpy.frombuffer(b"".join(others), numpy.uint32).reshape(-1, PLACES)
    same: Likeness = (places == numpy.frombuffer(one, numpy.uint32)).mean(axis=1)
    return same


def _numbers(shingle: bytes, key: bytes) -> bytes:
    return b"".join(hmac.digest(key, bytes([part]) + shingle, "sha512") for part in range(PLACES // _NUMBERS_AT_ONCE))
