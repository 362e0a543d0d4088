"""Turns a key into signs, phases and permutations; the same on every platform and in every numpy version. Pure.

SHAKE-256 (FIPS 202) is the whole generator: numpy does not promise that the streams of its own generators last, and a
mark that was written years ago must still be read.
"""

import hashlib
from typing import Final

import numpy as np
import numpy.typing as npt

_DOMAIN: Final = b"dev.fluxgate.tile.1"


def _draw(key: bytes, purpose: str, size: int) -> bytes:
    """`size` bytes that depend on everything given; lengths go in first, so that no two inputs run together."""
    parts = (_DOMAIN, key, purpose.encode())
    message = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return hashlib.shake_256(message).digest(size)


def uniform(key: bytes, purpose: str, count: int) -> npt.NDArray[np.float64]:
    """`count` numbers in [0, 1)."""
    return np.frombuffer(_draw(key, purpose, 4 * count), "<u4") / 2.0**32


def bits(key: bytes, purpose: str, count: int) -> npt.NDArray[np.uint8]:
    """`count` zeros and ones."""
    return np.unpackbits(np.frombuffer(_draw(key, purpose, (count + 7) // 8), np.uint8))[:count]


def signs(key: bytes, purpose: str, count: int) -> npt.NDArray[np.float32]:
    """`count` numbers, each +1 or -1."""
    return np.float32(1) - 2 * bits(key, purpose, count).astype(np.float32)


def permutation(key: bytes, purpose: str, count: int) -> npt.NDArray[np.intp]:
    """The numbers below `count` in keyed order: ranks of 64-bit draws, which collide practically never."""
    return np.argsort(np.frombuffer(_draw(key, purpose, 8 * count), "<u8"), kind="stable")
