"""Draws the label everybody sees: words or an icon on a plate in one corner (Pillow's fonts and shapes).

The icon is the two letters "AI" in a rounded square, a drawing of our own: the European Commission's icons of the Code
of Practice are neither copied nor imitated. Words come from `words.toml`, their glyphs from the fonts that ship beside
it, so that a label looks the same on every machine.
"""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, features

from provenance.claims import Operation, VisibleLabel
from provenance.errors import ProvenanceError
from provenance.marks.watermarkers import Pixels

TEXT_HEIGHT: Final = 0.05
"""Least height of the text by the shortest side of the picture (GB 45438-2025, 5.3)."""

LEAST_TEXT_PIXELS: Final = 12
LEAST_CONTRAST: Final = 4.5
"""WCAG 2.2, 1.4.3 (AA). Reached over any picture: see `_OPACITY`."""

_OPACITY: Final = 0.8
"""Of the plate. Whatever lies under it, the contrast is 12 or more on the dark plate, and 13 on the light one."""

_MARGIN, _PADDING, _RADIUS, _LEADING = 0.5, 0.45, 0.35, 1.3  # of the text's height
_FINE: Final = 4  # shapes have no antialiasing in Pillow: they are drawn this much larger, and reduced
_ICON: Final = "AI"
_HERE: Final = Path(__file__).parent


class LabelDoesNotFit(ProvenanceError):
    """The words are wider than the picture at the least size they may have."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """In pixels. `lines`: (left, baseline, text) on the plate of `width` x `height`; `margin`: to the picture's edge.

    `radius`: of the plate's corners.
    """

    font: ImageFont.FreeTypeFont
    lines: tuple[tuple[float, float, str], ...]
    width: int
    height: int
    margin: int
    radius: float


def languages() -> tuple[str, ...]:
    """The languages a label can be written in, English first. Complex scripts need Pillow's Raqm."""
    return tuple(sorted(_words(), key=lambda language: (language != "en", language)))


def check_fits(label: VisibleLabel, operation: Operation, width: int, height: int) -> None:
    """Raises `LabelDoesNotFit` if `label` cannot be drawn into a picture of this size, in pixels."""
    _layout(label, operation, width, height)


def draw(pixels: Pixels, label: VisibleLabel, operation: Operation) -> Pixels:
    """`pixels`, (height, width, 3), uint8, sRGB, with the label in its corner, read-only; the original is not changed.

    The plate is dark on light ground and light on dark ground. Raises `LabelDoesNotFit`.
    """
    height, width = pixels.shape[:2]
    layout = _layout(label, operation, width, height)
    top = layout.margin if label.corner.startswith("top") else height - layout.margin - layout.height
    left = layout.margin if label.corner.endswith("left") else width - layout.margin - layout.width
    there = (slice(top, top + layout.height), slice(left, left + layout.width))
    ground = pixels[there]
    light_ground = luminance(ground).mean() > 0.18  # middle grey
    plate, ink = (0, 255) if light_ground else (255, 0)
    on_plate = _blend(ground.astype(np.float32), plate, _plate(layout) * _OPACITY)
    labelled = pixels.copy()
    labelled[there] = _blend(on_plate, ink, _text(layout)).round().astype(np.uint8)
    labelled.flags.writeable = False
    return labelled


def luminance(pixels: Pixels) -> NDArray[np.float64]:
    """WCAG 2.2's relative luminance of sRGB pixels, 0 to 1: (…, 3) → (…)."""
    value = pixels / 255.0
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    bright: NDArray[np.float64] = linear @ np.array([0.2126, 0.7152, 0.0722])
    return bright


@lru_cache(maxsize=1)
def _words() -> Mapping[str, tuple[str, str, str]]:
    """Language → (font, generated, modified)."""
    tables = tomllib.loads((_HERE / "words.toml").read_text("utf-8"))
    if not features.check("raqm"):  # without it letters of these scripts would stand in the wrong order
        del tables["devanagari"]
    return {language: (font, *words) for font, table in tables.items() for language, words in table.items()}


@lru_cache(maxsize=64)
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(next((_HERE / "fonts").glob(f"{name}.?tf")), size)


@lru_cache(maxsize=256)
def _layout(label: VisibleLabel, operation: Operation, width: int, height: int) -> _Layout:
    font_name, generated, modified = _words()[label.language]
    text = modified if operation == "edited" else generated
    if label.style == "icon":
        font_name, text = "latin", _ICON
    tall = max(LEAST_TEXT_PIXELS, math.ceil(TEXT_HEIGHT * min(width, height)))
    # The ink of the whole text has this height: from the top of its highest letter to the foot of its lowest.
    _, ink_top, _, ink_foot = _font(font_name, 1000).getbbox(text, anchor="ls")
    font = _font(font_name, math.ceil(tall * 1000 / (ink_foot - ink_top)))
    margin, padding = round(tall * _MARGIN), round(tall * _PADDING)
    broad = width - 2 * (margin + padding)
    lines = _wrapped(font, text, broad)
    longest = max(font.getlength(line) for line in lines)
    _, top, _, foot = font.getbbox(text, anchor="ls")
    step = round(tall * _LEADING)
    plate_height = round(foot - top) + (len(lines) - 1) * step + 2 * padding
    plate_width = math.ceil(longest) + 2 * padding
    if label.style == "icon":
        plate_width = plate_height = max(plate_width, plate_height)
    if longest > broad or plate_height + 2 * margin > height:
        raise LabelDoesNotFit(f"{width} x {height} pixels are too few for the words in this language")
    first = (plate_height - (foot - top) - (len(lines) - 1) * step) / 2 - top
    placed = tuple(
        ((plate_width - font.getlength(line)) / 2, first + number * step, line) for number, line in enumerate(lines)
    )
    return _Layout(font, placed, plate_width, plate_height, margin, tall * _RADIUS)


def _wrapped(font: ImageFont.FreeTypeFont, text: str, broad: float) -> list[str]:
    """Broken at spaces, into as few lines as fit."""
    lines: list[str] = []
    for word in text.split(" "):
        if lines and font.getlength(f"{lines[-1]} {word}") <= broad:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _plate(layout: _Layout) -> NDArray[np.float32]:
    """Coverage of the rounded plate, 0 to 1: (height, width, 1)."""
    fine = Image.new("L", (layout.width * _FINE, layout.height * _FINE))
    corner = (fine.width - 1, fine.height - 1)
    ImageDraw.Draw(fine).rounded_rectangle(((0, 0), corner), layout.radius * _FINE, fill=255)
    return _coverage(fine.reduce(_FINE))


def _text(layout: _Layout) -> NDArray[np.float32]:
    """Coverage of the letters, 0 to 1: (height, width, 1)."""
    letters = Image.new("L", (layout.width, layout.height))
    for left, baseline, line in layout.lines:
        ImageDraw.Draw(letters).text((left, baseline), line, fill=255, font=layout.font, anchor="ls")
    return _coverage(letters)


def _coverage(mask: Image.Image) -> NDArray[np.float32]:
    return np.asarray(mask, np.float32)[..., None] / np.float32(255)


def _blend(under: NDArray[np.float32], tone: int, coverage: NDArray[np.float32]) -> NDArray[np.float32]:
    return under + (tone - under) * coverage
