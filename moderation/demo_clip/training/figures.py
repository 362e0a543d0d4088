"""Draws the model card's figures with Pillow: the confusion of categories, the course of training."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

_CELL = 92
_HEAD = 150
_INK = (30, 34, 40)
_PAPER = (255, 255, 255)
_FULL = (24, 92, 160)


def draw_confusion(rows: Sequence[str], columns: Sequence[str], shares: Sequence[Sequence[float]], file: Path) -> None:
    """Rows are what a picture shows, columns what it was called; every cell says its share of the row."""
    picture = Image.new("RGB", (_HEAD + _CELL * len(columns) + 20, 90 + 56 * len(rows)), _PAPER)
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(15)
    pen.text((12, 12), "shown (one subject)  /  taken for, at 2 % false alarms each", _INK, font)
    for across, name in enumerate(columns):
        pen.text((_HEAD + _CELL * across + _CELL / 2, 62), name, _INK, font, anchor="mm")
    for down, (name, row) in enumerate(zip(rows, shares, strict=True)):
        top = 80 + 56 * down
        pen.text((_HEAD - 12, top + 28), name, _INK, font, anchor="rm")
        for across, share in enumerate(row):
            left = _HEAD + _CELL * across
            fill = tuple(round(paper + (full - paper) * share) for paper, full in zip(_PAPER, _FULL, strict=True))
            pen.rectangle((left + 1, top + 1, left + _CELL - 1, top + 55), fill)
            ink = _PAPER if share > 0.5 else _INK
            pen.text((left + _CELL / 2, top + 28), f"{share:.1%}", ink, font, anchor="mm")
    picture.save(file, optimize=True)


def draw_curve(curve: Sequence[tuple[int, float, float]], file: Path) -> None:
    """Loss (dark) and share of pictures whose most likely glyph is in them (blue), smoothed, over the steps."""
    width, height, left, bottom = 760, 340, 60, 300
    picture = Image.new("RGB", (width, height), _PAPER)
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(14)
    last, highest = curve[-1][0], max(row[1] for row in curve)

    def line(values: Sequence[float], ink: tuple[int, int, int]) -> None:
        points = [
            (left + (width - left - 20) * row[0] / last, bottom - (bottom - 40) * value)
            for row, value in zip(curve, values, strict=True)
        ]
        pen.line(points, ink, 2)

    line([row[1] / highest for row in curve], _INK)
    line([row[2] for row in curve], _FULL)
    pen.line((left, 40, left, bottom, width - 20, bottom), _INK)
    pen.text((left, 14), f"loss, top = {highest:.2f}", _INK, font)
    pen.text((left + 180, 14), "most likely glyph is in the picture, top = 100 %", _FULL, font)
    pen.text((width - 20, bottom + 8), f"{last} steps", _INK, font, anchor="ra")
    picture.save(file, optimize=True)
