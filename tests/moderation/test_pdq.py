"""PDQ against the reference implementation, and against itself in a mirror."""

from pathlib import Path

import cv2
import numpy as np
import pdqhash
import pytest
from numpy.typing import NDArray
from PIL import Image

from moderation.known_pictures.pdq import dihedral_pdq, pdq

Pixels = NDArray[np.uint8]
SIZES = (
    (512, 512),
    (1024, 1024),
    (768, 1344),
    (333, 340),
    (64, 71),
    (40, 47),
    (5, 9),
    (1, 300),
    (40, 900),
    (900, 40),
)


def textured(height: int, width: int) -> Pixels:
    noise = np.random.default_rng(7).integers(0, 256, (16, 16, 3), np.uint8)
    return np.ascontiguousarray(cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC))


def reference(pixels: Pixels) -> tuple[str, int]:
    bits, quality = pdqhash.compute(np.ascontiguousarray(pixels))
    return np.packbits(bits).tobytes().hex(), int(quality)


@pytest.mark.parametrize("size", SIZES)
def test_hash_and_quality_are_the_references_at_every_size(size: tuple[int, int]) -> None:
    pixels = textured(*size)
    ours, theirs = pdq(pixels), reference(pixels)
    assert ours[1] == theirs[1]
    # Sums run in another order, so a bit that lies on the median may fall to the other side of it.
    assert (int(ours[0], 16) ^ int(theirs[0], 16)).bit_count() <= 2


@pytest.mark.data
def test_photographs_hash_to_the_references_bits(shared_data: Path) -> None:
    files = [*(shared_data / "photos").rglob("*.png"), *(shared_data / "photos").rglob("*.jpg")]
    assert len(files) >= 20
    for file in files:
        pixels = np.asarray(Image.open(file).convert("RGB"))
        ours, theirs = pdq(pixels), reference(pixels)
        assert ours[1] == theirs[1]
        assert (int(ours[0], 16) ^ int(theirs[0], 16)).bit_count() <= 2


def test_each_turn_is_the_hash_of_the_turned_picture() -> None:
    pixels = textured(400, 520)
    hashes, quality = dihedral_pdq(pixels)
    assert quality == pdq(pixels)[1]
    mirrored = (pixels, pixels[::-1], pixels[:, ::-1], pixels[::-1, ::-1])
    turned = [each for one in mirrored for each in (one, one.transpose(1, 0, 2))]
    for found, picture in zip(hashes, turned, strict=True):
        distance = (int(found.hex(), 16) ^ int(pdq(np.ascontiguousarray(picture))[0], 16)).bit_count()
        assert distance <= 2


def test_a_flat_picture_has_quality_nought() -> None:
    assert pdq(np.full((256, 256, 3), 90, np.uint8))[1] == 0
