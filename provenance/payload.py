"""What a watermark carries: a 64-bit mark and a checksum, as bits and back. Pure.

The mark is an identifier, never data: it means something only together with a record. The checksum is what tells a
mark from the noise that any picture decodes to; a detector that trusted bits alone would "find" a mark everywhere.
"""

import zlib
from collections.abc import Iterator
from itertools import combinations

import numpy as np
import numpy.typing as npt

MARK_BYTES = 8
"""A mark is 64 random bits: with a million records, a chance collision has probability 3e-8."""

LONG_MARK_BYTES = 16
"""What a scheme with room for it can carry instead: 128 bits, a UUID's worth."""

CODE_BYTES = MARK_BYTES + 4
"""The mark and its CRC-32, big-endian."""

CODE_BITS = CODE_BYTES * 8

WEAK_BITS = 6
"""How many of the least certain bits may be wrong and still be set right by the checksum.

Each of the 2**6 candidates passes a 32-bit checksum by chance once in 2**32, so an unmarked picture is mistaken for
a marked one with probability 1.5e-8 for each strength that is tried.
"""

_DOMAIN = b"fluxgate.mark.1"  # bound into the checksum, so that other users of 96-bit payloads are not read as ours


def protect(mark: bytes, length: int = MARK_BYTES) -> bytes:
    """`mark`, which has `length` bytes, and its checksum: 4 bytes more. Raises `ValueError` if the length is wrong."""
    if len(mark) != length:
        raise ValueError(f"a mark has {length} bytes, got {len(mark)}")
    return mark + zlib.crc32(_DOMAIN + mark).to_bytes(4, "big")


def to_bits(code: bytes) -> npt.NDArray[np.uint8]:
    """`code` as an array of zeros and ones, most significant bit first."""
    return np.unpackbits(np.frombuffer(code, np.uint8))


def unprotect(bits: npt.NDArray[np.uint8]) -> bytes | None:
    """The mark in decoded `bits` (8 times its length and 32 more), or None if the checksum does not fit."""
    code = np.packbits(bits).tobytes()
    mark = code[:-4]
    return mark if protect(mark, len(mark)) == code else None


def recover(evidence: npt.NDArray[np.floating]) -> tuple[bytes, int] | None:
    """The mark and the number of bits set right, or None if no candidate passes the checksum.

    `evidence`: (96,), one value per bit; positive speaks for 1, negative for 0, the size says how surely.
    """
    if evidence.shape != (CODE_BITS,):
        raise ValueError(f"evidence must have shape ({CODE_BITS},), got {evidence.shape}")
    read = (evidence > 0).astype(np.uint8)
    weakest = np.argsort(np.abs(evidence), kind="stable")[:WEAK_BITS]
    for flipped in _subsets(weakest):
        read[flipped] ^= 1
        code = np.packbits(read).tobytes()
        read[flipped] ^= 1
        if protect(code[:MARK_BYTES]) == code:
            return code[:MARK_BYTES], len(flipped)
    return None


def _subsets(positions: npt.NDArray[np.intp]) -> Iterator[list[int]]:
    """Every subset, small ones first: the likeliest correction is the smallest."""
    members = [int(position) for position in positions]
    for size in range(len(members) + 1):
        yield from (list(chosen) for chosen in combinations(members, size))
