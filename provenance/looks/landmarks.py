"""A second name of a picture by its looks: short codes of its strongest points, of which a crop keeps enough.

PDQ names the picture as a whole; a crop, a turn or a mirror image has another name. Points (SIFT, Lowe 2004) stay where
the content is: of the strongest ones 16 go into the record, and of a copy up to 200 are asked for, upright and
mirrored. A vote is a recorded point that has a like one in the copy.

The code of a point: its description's 16 x 8 numbers as square roots (Arandjelovic and Zisserman 2012), less the mean
of each row and column, then the signs of 64 fixed random sums (Charikar 2002). Like points differ in few of 64 bits.

Votes find candidates and are no proof: points of brick or grass look alike anywhere. See `likeness`.
"""

import hashlib
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from provenance.looks.likeness import reduced
from provenance.marks.watermarkers import Pixels

Codes = npt.NDArray[np.uint64]

POINTS: Final = 16
LEAST_VOTES: Final = 3
"""Measured: 3 of 100 pairs of different photographs have as many, 6 of 100 pictogram scenes; hence `likeness` after."""

_SIDE: Final = 256
"""Longer sides are reduced to this first; 512 found no more and took five times as long."""
_ALIKE_BITS: Final = 8
_ASKED: Final = 200
_CODE_BYTES: Final = 8
_CONTRAST: Final = 0.02  # as in `likeness`

_SUMS: Final = (
    np.unpackbits(np.frombuffer(hashlib.shake_128(b"fluxgate.landmarks.1").digest(1024), np.uint8))
    .reshape(128, 64)
    .astype(np.float32)
    * 2
    - 1
)


def landmarks(pixels: Pixels) -> bytes:
    """Codes of the strongest points, 8 bytes each, at most 16; none of a plain picture.

    `pixels`: (height, width, 3), uint8, sRGB; not changed, not kept.
    """
    return _codes(reduced(pixels, _SIDE)[0], POINTS).tobytes()


def asked(pixels: Pixels) -> Codes:
    """(n,): codes of a copy to look for, as it is and mirrored."""
    plane = reduced(pixels, _SIDE)[0]
    return np.concatenate((_codes(plane, _ASKED), _codes(np.ascontiguousarray(plane[:, ::-1]), _ASKED)))


def votes(copy: Codes, recorded: Codes) -> npt.NDArray[np.intp]:
    """(pictures,): how many of each picture's points the copy has. `recorded`: (pictures, 16), zeros for no point."""
    seen = np.zeros(recorded.shape, bool)
    for code in copy:  # one pass over the index for each point: no memory beyond it
        seen |= np.bitwise_count(recorded ^ code) <= _ALIKE_BITS
    return np.asarray((seen & (recorded != 0)).sum(axis=1))


def as_row(codes: bytes) -> Codes:
    """(16,): recorded codes as `votes` takes them."""
    return np.frombuffer(codes.ljust(POINTS * _CODE_BYTES, b"\0"), np.uint64)


def _codes(plane: npt.NDArray[np.float32], most: int) -> Codes:
    grey = np.clip(plane, 0, 255).astype(np.uint8)
    points, described = cv2.SIFT_create(most, contrastThreshold=_CONTRAST).detectAndCompute(  # type: ignore[attr-defined]
        grey, None
    )
    if described is None:
        return np.zeros(0, np.uint64)
    strongest = np.argsort([-point.response for point in points], kind="stable")[:most]  # OpenCV keeps ties beyond
    chosen = np.asarray(described, np.float32)[strongest]
    roots = np.sqrt(chosen / np.maximum(chosen.sum(axis=1, keepdims=True), 1e-6)).reshape(-1, 16, 8)
    centred = roots - roots.mean(1, keepdims=True) - roots.mean(2, keepdims=True) + roots.mean((1, 2), keepdims=True)
    signs = centred.reshape(-1, 128) @ _SUMS > 0
    return np.packbits(signs, axis=1).view(np.uint64).ravel()
