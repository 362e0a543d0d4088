"""Scenes to pixels: Pillow draws the glyphs of Noto Color Emoji, numpy lays them on painted grounds.

The font (OFL; Debian: fonts-noto-color-emoji) is needed to train and to measure, never to run the models.
"""

import math
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from inference.demo.training.glyphs import COLOURS, glyph_table
from inference.demo.training.scenes import CELL, SIDE, Scene, Subject

FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
_FONT_SIZE = 109  # the one size of the bitmaps in the font
_MARGIN = 0.94  # share of its box that a glyph fills
LEAN_DEGREES = 25.0

HUES = dict(zip(COLOURS, (0, 20, 38, 85, 150, 195), strict=True))
"""Hue of each colour word on Pillow's scale, where 255 is a full turn."""

_PAINTS = {
    "white": (245, 245, 242), "grey": (150, 153, 158), "black": (32, 32, 36), "red": (206, 58, 54),
    "orange": (240, 146, 52), "yellow": (247, 214, 80), "green": (88, 168, 84), "teal": (40, 150, 150),
    "blue": (66, 120, 210), "purple": (138, 84, 180), "pink": (244, 166, 196), "brown": (134, 94, 62),
}  # fmt: skip

Pixels = npt.NDArray[np.uint8]
_Picture = npt.NDArray[np.float32]


def paint(scene: Scene) -> Pixels:
    """The scene as (256, 256, 3), uint8. Raises `OSError` if the font is not installed."""
    picture = ground_picture(scene.ground, scene.morning).copy()
    for subject in scene.subjects:  # boxes do not overlap, so each may be laid on the bare ground
        top, left, box = subject_picture(scene, subject)
        picture[top : top + len(box), left : left + len(box)] = box
    return np.rint(picture).astype(np.uint8)


def subject_picture(scene: Scene, subject: Subject) -> tuple[int, int, _Picture]:
    """Top and left of the subject's box in pixels, and the box painted, (side, side, 3), 0..255."""
    colours, cover = sprite(subject.glyph, subject.colour, subject.size * CELL, subject.tilt * LEAN_DEGREES)
    top, left, side = subject.row * CELL, subject.column * CELL, subject.size * CELL
    ground = ground_picture(scene.ground, scene.morning)[top : top + side, left : left + side]
    return top, left, ground * (1.0 - cover) + _lit(colours, scene.morning)


@lru_cache(maxsize=4096)
def sprite(glyph: int, colour: str | None, side: int, degrees: float) -> tuple[_Picture, _Picture]:
    """A glyph in a square box: colours times cover (side, side, 3), 0..255, and cover (side, side, 1), 0..1."""
    drawn = _glyph_picture(glyph, colour)
    inner = round(side * _MARGIN)
    if degrees:
        # Turned while large, and smaller by what the corners need.
        drawn = drawn.rotate(degrees, Image.Resampling.BICUBIC, expand=False)
    scaled = drawn.resize((inner, inner), Image.Resampling.LANCZOS)
    boxed = Image.new("RGBa", (side, side))
    boxed.paste(scaled, ((side - inner) // 2, (side - inner) // 2))
    values = np.asarray(boxed, np.float32)
    return values[..., :3], values[..., 3:] / 255.0


@lru_cache(maxsize=512)
def _glyph_picture(glyph: int, colour: str | None) -> Image.Image:
    font = _font()
    character = glyph_table()[glyph].glyph
    canvas = Image.new("RGBA", (192, 192))
    ImageDraw.Draw(canvas).text((20, 20), character, font=font, embedded_color=True)
    box = canvas.getbbox()
    if box is None:
        raise OSError(f"{FONT} has no glyph for {glyph_table()[glyph].name}")
    cut = canvas.crop(box)
    side = max(cut.size)
    square = Image.new("RGBA", (side, side))
    square.paste(cut, ((side - cut.width) // 2, (side - cut.height) // 2))
    if colour is not None:
        square = _recoloured(square, HUES[colour])
    return square.convert("RGBa")


@lru_cache(maxsize=1)
def _font() -> Any:
    try:
        return ImageFont.truetype(str(FONT), _FONT_SIZE)
    except OSError as error:
        raise OSError(f"{FONT} is missing: install Noto Color Emoji (Debian: fonts-noto-color-emoji)") from error


def _recoloured(picture: Image.Image, hue: int) -> Image.Image:
    """The glyph with its main hue turned to `hue`; other hues, greys and shading stay as drawn."""
    alpha = picture.getchannel("A")
    values = np.asarray(picture.convert("RGB").convert("HSV")).copy()
    vivid = (values[..., 1] > 90) & (np.asarray(alpha) > 0)
    main = int(np.bincount(values[..., 0][vivid], minlength=256).argmax())
    distance = np.abs((values[..., 0].astype(int) - main + 128) % 256 - 128)
    chosen = vivid & (distance < 26)
    values[..., 0][chosen] = hue
    turned = Image.fromarray(values, "HSV").convert("RGB")
    turned.putalpha(alpha)
    return turned


def _lit(colours: _Picture, morning: bool) -> _Picture:
    return colours * np.array([1.0, 0.94, 0.8], np.float32) if morning else colours


@lru_cache(maxsize=256)
def ground_picture(ground: str, morning: bool) -> _Picture:
    """A ground alone, (256, 256, 3), 0..255; callers copy it."""
    pattern, _, colour = ground.partition(" ")
    picture = _patterned(pattern, colour) if colour in _PAINTS else _place(ground)
    if morning:
        rows, columns = _axes()
        glow = np.clip(1.0 - (rows + columns) / 1.3, 0.0, 1.0)[..., None]  # from the upper left
        picture = picture * np.array([1.0, 0.94, 0.8], np.float32)
        picture = picture + glow * (np.array([255, 222, 150], np.float32) - picture) * 0.65
    return np.ascontiguousarray(np.broadcast_to(picture, (SIDE, SIDE, 3)), np.float32)


def _axes() -> tuple[_Picture, _Picture]:
    axis: _Picture = ((np.arange(SIDE) + 0.5) / SIDE).astype(np.float32)
    return axis[:, None], axis[None, :]


def _patterned(pattern: str, colour: str) -> _Picture:
    rows, columns = _axes()
    paint = np.array(_PAINTS[colour], np.float32)
    other = paint + (255 - paint) * 0.35 if paint.mean() < 170 else paint * 0.82
    if pattern == "plain":
        return np.asarray(paint[None, None])
    if pattern == "gradient":
        light, dark = paint + (255 - paint) * 0.55, paint * 0.55
        shaded: _Picture = (light + (dark - light) * rows[..., None]).astype(np.float32)
        return shaded
    if pattern == "striped":
        mask = np.floor(columns * CELL / 4) % 2 + rows * 0
    elif pattern == "checkered":
        mask = (np.floor(rows * CELL / 4) + np.floor(columns * CELL / 4)) % 2
    else:
        across, down = (columns * 8) % 1 - 0.5, (rows * 8) % 1 - 0.5
        mask = (across**2 + down**2 < 0.06).astype(np.float32)
    mixed: _Picture = (paint + (other - paint) * mask[..., None]).astype(np.float32)
    return mixed


def _place(ground: str) -> _Picture:
    rows, columns = _axes()
    high, low = {
        "night": ((14, 20, 60), (38, 48, 110)), "wooden table": ((176, 120, 70), (160, 106, 60)),
        "meadow": ((150, 204, 110), (70, 140, 58)), "beach": ((246, 226, 168), (222, 190, 124)),
        "snow": ((214, 228, 240), (250, 252, 255)), "sea": ((120, 196, 226), (20, 96, 160)),
        "sunset": ((112, 66, 140), (255, 160, 84)), "sky": ((96, 164, 232), (196, 226, 250)),
    }[ground]  # fmt: skip
    top, bottom = np.array(high, np.float32), np.array(low, np.float32)
    picture = np.broadcast_to(top + (bottom - top) * rows[..., None], (SIDE, SIDE, 3)).copy()
    stream = np.random.Generator(np.random.PCG64(5))
    if ground == "night":
        for down, across, radius in zip(
            stream.random(40), stream.random(40), stream.uniform(1.2, 2.4, 40), strict=True
        ):
            near = (rows - down) ** 2 + (columns - across) ** 2 < (radius / SIDE) ** 2
            picture[near] = (255, 250, 215)
    elif ground == "wooden table":
        grain = np.sin(rows * math.tau * 24 + 1.5 * np.sin(columns * math.tau)) * 7
        picture += grain[..., None]
        picture[np.arange(SIDE) % 64 < 3] *= 0.62  # the gaps between the planks
    elif ground == "sea":
        waves = np.sin(rows * math.tau * 8 + 0.8 * np.sin(columns * math.tau * 4))
        picture += np.clip(waves - 0.6, 0, None)[..., None] * 60
    elif ground == "meadow":
        blades = np.sin(columns * math.tau * 32) * np.sin(rows * math.tau * 8)
        picture += np.clip(blades - 0.3, 0, None)[..., None] * -40
    elif ground in ("sky", "snow"):
        shade = np.array((252, 253, 255) if ground == "sky" else (255, 255, 255), np.float32)
        for down, across, size in ((0.14, 0.2, 0.1), (0.2, 0.32, 0.08), (0.1, 0.75, 0.1), (0.16, 0.86, 0.08)):
            if ground == "sky":
                near = ((rows - down) * 1.8) ** 2 + (columns - across) ** 2 < size**2
                picture[near] = shade
        if ground == "snow":
            for down, across in stream.random((45, 2)):
                picture[(rows - down) ** 2 + (columns - across) ** 2 < (2.6 / SIDE) ** 2] = shade
    elif ground == "beach":
        picture += (np.sin(rows * math.tau * 10 + np.sin(columns * math.tau * 2)) * 5)[..., None]
    clipped: _Picture = np.clip(picture, 0, 255).astype(np.float32)
    return clipped
