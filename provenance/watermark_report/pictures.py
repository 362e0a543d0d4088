"""The pictures that schemes are measured on: a folder's photographs, and flat art drawn here."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from provenance.marks.watermarkers import Pixels

_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True, slots=True)
class Picture:
    """`kind`: "photo" or "art". `place`: where it stands in its set, from 0."""

    name: str
    kind: str
    place: int
    pixels: Pixels


def photographs(folder: Path, width: int, height: int, limit: int | None) -> Iterator[Picture]:
    """All pictures under `folder`, in order of their paths, cut in the middle to shape and resized (Lanczos)."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
    for place, path in enumerate(paths[:limit]):
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
        share = min(picture.width / width, picture.height / height)
        across, down = int(width * share), int(height * share)
        left, top = (picture.width - across) // 2, (picture.height - down) // 2
        box = (left, top, left + across, top + down)
        shaped = np.array(picture.resize((width, height), Image.Resampling.LANCZOS, box=box))
        yield Picture(path.stem, "photo", place, _frozen(shaped))


def flat_art(count: int, width: int, height: int) -> Iterator[Picture]:
    """Posters: areas of one colour, clean edges, a few outlines, no grain; the ground is one colour in every second."""
    for place in range(count):
        random = np.random.default_rng(place)
        y, x = np.mgrid[0:height, 0:width].astype(np.float32) / max(height, width)
        low, high = random.uniform(30, 225, (2, 3))
        high = low if place % 2 else high
        slope = (x * random.uniform(-1, 1) + y * random.uniform(-1, 1) + 1) / 2
        art = (low + (high - low) * slope[..., None]).clip(0, 255).astype(np.uint8)
        side = min(height, width)
        for _ in range(14):
            colour = tuple(int(value) for value in random.integers(0, 256, 3))
            centre = (int(random.integers(0, width)), int(random.integers(0, height)))
            size = int(random.uniform(0.05, 0.25) * side)
            if random.random() < 0.5:
                cv2.circle(art, centre, size, colour, -1, cv2.LINE_AA)
                cv2.circle(art, centre, size, (20, 20, 20), max(1, side // 250), cv2.LINE_AA)
            else:
                corners = np.array(centre) + random.integers(-size, size + 1, (4, 2))
                cv2.fillConvexPoly(art, cv2.convexHull(corners.astype(np.int32)), colour, cv2.LINE_AA)
        yield Picture(f"art {place + 1}", "art", place, _frozen(art))


def _frozen(pixels: Pixels) -> Pixels:
    pixels = np.ascontiguousarray(pixels)
    pixels.flags.writeable = False
    return pixels
