"""What happens to pictures: re-encoding, editing, geometry, chains of them, and attempts at removal (`removals.py`).

Each attack is a function of pixels and a seeded generator, so a run can be repeated. `group` gathers attacks with one
goal. Whoever removes a mark also moves the picture a little, so each removal stands there alone, and again with a cut
of four pixels, a mirror and a scale of 0.9.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from provenance.marks.watermarkers import Pixels
from provenance.watermark_report.removals import REMOVALS

Apply = Callable[[Pixels, np.random.Generator], Pixels]


@dataclass(frozen=True, slots=True)
class Attack:
    """`goal`: share of pictures whose exact mark should be read afterwards; None where none is set."""

    name: str
    group: str
    goal: float | None
    apply: Apply


def _own(pixels: npt.NDArray[np.generic]) -> Pixels:
    """Pixels as parts take them: whole numbers in range, contiguous, read-only."""
    out: Pixels = np.ascontiguousarray(np.clip(pixels, 0, 255).astype(np.uint8))
    out.flags.writeable = False
    return out


def compressed(pixels: Pixels, media: str, quality: int) -> Pixels:
    """Through Pillow's JPEG (4:2:0) or WebP at `quality`."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, media, quality=quality)
    return _own(np.asarray(Image.open(out).convert("RGB")))


def scaled(pixels: Pixels, across: float, down: float | None = None) -> Pixels:
    """Averaged when made smaller, cubic when made larger."""
    down = across if down is None else down
    height, width = pixels.shape[:2]
    size = (max(1, round(width * across)), max(1, round(height * down)))
    method = cv2.INTER_AREA if across < 1 else cv2.INTER_CUBIC
    return _own(cv2.resize(pixels, size, interpolation=method))


def there_and_back(pixels: Pixels, factor: float) -> Pixels:
    """Scaled by `factor`, and then to the old size again."""
    height, width = pixels.shape[:2]
    return _own(cv2.resize(scaled(pixels, factor), (width, height), interpolation=cv2.INTER_CUBIC))


def cropped(pixels: Pixels, area: float, random: np.random.Generator) -> Pixels:
    """A random cut of the same shape, with `area` of the picture."""
    height, width = pixels.shape[:2]
    tall, wide = round(height * area**0.5), round(width * area**0.5)
    top, left = int(random.integers(0, height - tall + 1)), int(random.integers(0, width - wide + 1))
    return _own(pixels[top : top + tall, left : left + wide])


def rotated(pixels: Pixels, degrees: float) -> Pixels:
    """About the middle, same size, black where nothing is."""
    height, width = pixels.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2 - 0.5, height / 2 - 0.5), degrees, 1)
    return _own(cv2.warpAffine(pixels, matrix, (width, height), flags=cv2.INTER_CUBIC))


def tilted(pixels: Pixels, share: float, random: np.random.Generator) -> Pixels:
    """Perspective: each corner moved at random by up to `share` of the side, mirrored outside."""
    height, width = pixels.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    moved = corners + random.uniform(-share, share, (4, 2)).astype(np.float32) * (width, height)
    matrix = cv2.getPerspectiveTransform(corners, moved.astype(np.float32))
    return _own(
        cv2.warpPerspective(pixels, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    )


def noisy(pixels: Pixels, deviation: float, random: np.random.Generator) -> Pixels:
    """Gaussian noise in every channel."""
    return _own(np.rint(pixels + random.normal(0, deviation, pixels.shape)))


def blurred(pixels: Pixels, deviation: float) -> Pixels:
    """Gaussian blur."""
    return _own(cv2.GaussianBlur(pixels, (0, 0), deviation))


def toned(pixels: Pixels, factor: float, centre: float = 0.0) -> Pixels:
    """Brightness (`centre` 0) or contrast (`centre` 128)."""
    return _own(np.rint((pixels.astype(np.float32) - centre) * factor + centre))


def gamma(pixels: Pixels, exponent: float) -> Pixels:
    """A power curve."""
    return _own(np.rint(255 * (pixels / 255.0) ** exponent))


def coloured(pixels: Pixels, hue_degrees: float, saturation: float) -> Pixels:
    """Hue turned and saturation scaled."""
    hsv = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV).astype(np.float32)
    hsv[..., 0] = (hsv[..., 0] + hue_degrees / 2) % 180
    hsv[..., 1] = np.clip(hsv[..., 1] * saturation, 0, 255)
    return _own(cv2.cvtColor(np.rint(hsv).astype(np.uint8), cv2.COLOR_HSV2RGB))


def grey(pixels: Pixels) -> Pixels:
    """Luma in all three channels."""
    return _own(cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB))


def captioned(pixels: Pixels) -> Pixels:
    """Lines of white text with a black rim."""
    out = pixels.copy()
    height, width = pixels.shape[:2]
    for line in range(3):
        place = (width // 20, height // 4 * (line + 1))
        for colour, thickness in (((0, 0, 0), 8), ((255, 255, 255), 3)):
            cv2.putText(out, "Shared from somewhere", place, cv2.FONT_HERSHEY_SIMPLEX, width / 700, colour, thickness)
    return _own(out)


def pasted(pixels: Pixels, random: np.random.Generator) -> Pixels:
    """A flat logo over 8 per cent of the area."""
    out = pixels.copy()
    height, width = pixels.shape[:2]
    tall, wide = round(height * 0.08**0.5), round(width * 0.08**0.5)
    top, left = int(random.integers(0, height - tall)), int(random.integers(0, width - wide))
    out[top : top + tall, left : left + wide] = (220, 40, 60)
    return _own(out)


def screenshot(pixels: Pixels, random: np.random.Generator) -> Pixels:
    """Shown at 80 per cent, cut at the edges, saved as JPEG 70."""
    shown = cropped(scaled(pixels, 0.8), 0.9, random)
    return compressed(shown, "JPEG", 70)


def social(pixels: Pixels) -> Pixels:
    """Two uploads: 1080 wide at JPEG 75, then 720 wide at JPEG 70."""
    width = pixels.shape[1]
    first = compressed(scaled(pixels, min(1.0, 1080 / width)), "JPEG", 75)
    return compressed(scaled(first, min(1.0, 720 / first.shape[1])), "JPEG", 70)


def printed(pixels: Pixels, random: np.random.Generator) -> Pixels:
    """Print and scan, roughly: 2 per cent perspective, blur, tone, grain, JPEG 80."""
    bent = gamma(blurred(tilted(pixels, 0.02, random), 0.8), 1.2)
    return compressed(noisy(bent, 4, random), "JPEG", 80)


def _plain(function: Callable[..., Pixels], *arguments: object) -> Apply:
    """An attack without chance."""
    return lambda pixels, random: function(pixels, *arguments)


def _median(pixels: Pixels, size: int) -> Pixels:
    return _own(cv2.medianBlur(pixels, size))


def _chained(pixels: Pixels, random: np.random.Generator, *, area: float, factor: float) -> Pixels:
    return scaled(cropped(pixels, area, random), factor)


def _mirrored_chain(pixels: Pixels) -> Pixels:
    return compressed(scaled(_own(pixels[:, ::-1]), 0.7), "JPEG", 70)


def _turned_chain(pixels: Pixels, random: np.random.Generator) -> Pixels:
    return compressed(cropped(rotated(pixels, 5), 0.6, random), "JPEG", 75)


def _cut(area: float) -> Apply:
    return lambda pixels, random: cropped(pixels, area, random)


def _attacks() -> tuple[Attack, ...]:
    rows: list[tuple[str, str, float | None, Apply]] = [("none", "as it was", 0.995, _plain(_own))]
    rows += [(f"JPEG {q}", "compression", 0.995, _plain(compressed, "JPEG", q)) for q in (90, 75, 50)]
    rows += [(f"JPEG {q}", "strong compression", 0.99, _plain(compressed, "JPEG", q)) for q in (30, 20)]
    rows += [("JPEG 10", "strong compression", None, _plain(compressed, "JPEG", 10))]
    rows += [(f"WebP {q}", "compression", 0.995, _plain(compressed, "WEBP", q)) for q in (80, 50)]
    rows += [("WebP 20", "strong compression", None, _plain(compressed, "WEBP", 20))]
    rows += [(f"brightness x{f}", "tone", 0.995, _plain(toned, f)) for f in (0.6, 0.8, 1.2, 1.4)]
    rows += [(f"contrast x{f}", "tone", 0.995, _plain(toned, f, 128.0)) for f in (0.5, 1.5)]
    rows += [(f"gamma {e}", "tone", 0.995, _plain(gamma, e)) for e in (0.6, 1.6)]
    rows += [("hue +40", "tone", 0.995, _plain(coloured, 40.0, 1.0)), ("grey", "tone", 0.995, _plain(grey))]
    rows += [(f"saturation x{s}", "tone", 0.995, _plain(coloured, 0.0, s)) for s in (0.5, 2.0)]
    rows += [(f"noise {d}", "noise and blur", 0.995, partial(_noise, deviation=d)) for d in (5, 10, 20)]
    rows += [(f"median {s}", "noise and blur", 0.995, _plain(_median, s)) for s in (3, 5)]
    rows += [(f"blur {d}", "noise and blur", 0.995, _plain(blurred, d)) for d in (1, 2)]
    rows += [("blur 3", "noise and blur", 0.97, _plain(blurred, 3))]
    rows += [("text", "overlay", 0.995, _plain(captioned)), ("logo 8 %", "overlay", 0.995, pasted)]
    rows += [(f"resize x{f}", "scale", 0.99, _plain(scaled, f)) for f in (0.35, 0.5, 0.75, 1.5, 2.0)]
    rows += [("resize x0.25", "scale", 0.90, _plain(scaled, 0.25))]
    rows += [(f"x{f} and back", "scale", 0.99, _plain(there_and_back, f)) for f in (0.35, 0.5)]
    rows += [("width x0.9", "scale", 0.99, _plain(scaled, 0.9, 1.0))]
    rows += [(f"crop {round(a * 100)} %", "crop", 0.99, _cut(a)) for a in (0.75, 0.5, 0.25)]
    rows += [("crop 10 %", "crop", 0.95, _cut(0.10)), ("crop 5 %", "crop", 0.85, _cut(0.05))]
    rows += [("crop 50 %, x0.6", "crop", 0.99, partial(_chained, area=0.5, factor=0.6))]
    rows += [("crop 25 %, x2", "crop", 0.99, partial(_chained, area=0.25, factor=2.0))]
    rows += [(f"rotate {d}", "rotation", 0.99, _plain(rotated, d)) for d in (0.5, 2, 5, 15, 45)]
    rows += [("rotate 90", "rotation", 0.99, lambda pixels, random: _own(np.rot90(pixels)))]
    rows += [("rotate 5, crop, JPEG 75", "rotation", 0.99, _turned_chain)]
    rows += [("flip", "rotation", 0.99, lambda pixels, random: _own(pixels[:, ::-1]))]
    rows += [("flip, x0.7, JPEG 70", "rotation", 0.99, _plain(_mirrored_chain))]
    rows += [("screenshot", "chains", 0.99, screenshot), ("social media", "chains", 0.99, _plain(social))]
    rows += [("print and scan", "chains", 0.95, printed)]
    rows += [("perspective 1 %", "perspective", 0.99, partial(_tilt, share=0.01))]
    rows += [("perspective 3 %", "perspective", 0.90, partial(_tilt, share=0.03))]
    rows += [row for name, function in REMOVALS for row in _removal(name, function)]
    return tuple(Attack(*row) for row in rows)


def _removal(name: str, function: Callable[[Pixels], Pixels]) -> list[tuple[str, str, float | None, Apply]]:
    """The removal alone, and followed by each of three small moves."""
    moves: list[tuple[str, Callable[[Pixels], Pixels]]] = [
        ("", _own),
        (", cut 4", lambda pixels: _own(pixels[4:, 4:])),
        (", mirror", lambda pixels: _own(pixels[:, ::-1])),
        (", x0.9", partial(scaled, across=0.9)),
    ]
    return [(f"{name}{said}", "removal", 0.90, _both(function, move)) for said, move in moves]


def _both(function: Callable[[Pixels], Pixels], move: Callable[[Pixels], Pixels]) -> Apply:
    return lambda pixels, random: move(function(pixels))


def _noise(pixels: Pixels, random: np.random.Generator, *, deviation: float) -> Pixels:
    return noisy(pixels, deviation, random)


def _tilt(pixels: Pixels, random: np.random.Generator, *, share: float) -> Pixels:
    return tilted(pixels, share, random)


ATTACKS = _attacks()
"""All of them, gentlest group first."""
