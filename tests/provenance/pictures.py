"""Pictures to seal: drawn, photographed, and re-encoded as others do it."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from provenance.marks.watermarkers import Pixels

PHOTOGRAPHS = Path(__file__).resolve().parents[3] / "shared" / "data" / "photos"


def make_picture(height: int = 512, width: int = 512, seed: int = 0) -> Pixels:
    """Soft coloured shapes with a little grain, as a renderer makes them."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / max(height, width)
    picture = np.full((height, width, 3), 120, np.float32)
    for _ in range(12):
        cy, cx, size = random.uniform(0, 1), random.uniform(0, 1), random.uniform(0.05, 0.3)
        shape = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / size**2)
        picture += shape[..., None] * random.uniform(-120, 120, 3).astype(np.float32)
    picture += random.normal(0, 3, picture.shape)
    pixels = picture.clip(0, 255).astype(np.uint8)
    pixels.flags.writeable = False
    return pixels


def make_photo_like(seed: int) -> Pixels:
    """Enough structure for a perceptual hash of high quality."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (24, 24, 3), np.uint8)).resize(
        (512, 512), Image.Resampling.BICUBIC
    )
    return np.asarray(coarse)


def photographs(folder: str) -> Iterator[tuple[str, Pixels]]:
    """The public photographs of one folder, with their names."""
    for path in sorted(PHOTOGRAPHS.joinpath(folder).iterdir()):
        if path.suffix in (".png", ".jpg"):
            yield path.name, np.asarray(Image.open(path).convert("RGB"))


def reencoded_as_jpeg(pixels: Pixels, quality: int) -> Pixels:
    """What is left after somebody saved the picture with Pillow's defaults: chroma at half the resolution."""
    return np.asarray(Image.open(io.BytesIO(jpeg(pixels, quality))))


def jpeg(pixels: Pixels, quality: int) -> bytes:
    """The bytes of `reencoded_as_jpeg`: no metadata at all."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=quality)
    return out.getvalue()
