"""The pictograms the small models know: which glyph, what English calls it, what a screener should call it.

The table is `glyphs.json`. `name` is the glyph's Unicode CLDR short name in English (without "face" or "glass" only
where CLDR has none); `nouns` are the words captions use, the usual one first.
"""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

COLOURS = ("red", "orange", "yellow", "green", "blue", "purple")
"""What the subjects with `recoloured` come in; the same order as `HUES` in `rendering`."""

CATEGORIES = ("weapons", "drugs", "alcohol", "gambling", "gore")
"""Screening labels of glyphs; every other glyph is benign."""


@dataclass(frozen=True, slots=True)
class Glyph:
    """`category`: one of `CATEGORIES`, None for harmless things. `plural`: captions use no article."""

    glyph: str
    name: str
    nouns: tuple[str, ...]
    category: str | None = None
    plural: bool = False
    recoloured: bool = False


@cache
def glyph_table() -> tuple[Glyph, ...]:
    """All glyphs; a glyph's number anywhere in this package is its place here."""
    rows = json.loads(files("inference.demo.training").joinpath("glyphs.json").read_text(encoding="utf-8"))
    return tuple(
        Glyph(
            row["glyph"],
            row["name"],
            tuple(row["nouns"]),
            row.get("category"),
            row.get("plural", False),
            row.get("colours", False),
        )
        for row in rows
    )


def glyph_number(noun: str) -> int:
    """The number of the glyph that a caption calls `noun`. Raises `KeyError` for a word no caption uses."""
    return _numbers()[noun]


@cache
def _numbers() -> dict[str, int]:
    return {noun: number for number, glyph in enumerate(glyph_table()) for noun in (*glyph.nouns, glyph.name)}
