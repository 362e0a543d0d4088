"""Seeded scenes: one to three subjects on a ground, what they look like, what one says of them, what they are called.

The picture is 8 by 8 cells of 32 pixels. Subjects stand in square boxes on cell borders, 4 cells wide, 2 when "small".
So that a small model can learn it in little time, a caption leaves one thing open at most: the colour of the ground if
no word names it.

Held out for evaluation, by hash, so that no list has to be kept: one pair of glyphs in ten, one combination of glyph
and colour in eight. `draw_scene` never returns them unless asked for them.
"""

import hashlib
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from inference.demo.training.glyphs import COLOURS, glyph_table

SIDE = 256
CELL = 32
CELLS = SIDE // CELL

Relation = Literal["alone", "left", "above", "and", "three"]
Tilt = Literal[0, 1, -1]
"""1: leaning to the left (counter-clockwise), -1: to the right."""

SaidSize = Literal["", "small", "big"]

GROUND_COLOURS = (
    "white", "grey", "black", "red", "orange", "yellow", "green", "teal", "blue", "purple", "pink", "brown",
)  # fmt: skip
PATTERNS = ("plain", "gradient", "striped", "dotted", "checkered")
PLACES = ("night", "wooden table", "meadow", "beach", "snow", "sea", "sunset", "sky")
"""Grounds with a name of their own."""
GROUNDS = (*(f"{pattern} {colour}" for pattern in PATTERNS for colour in GROUND_COLOURS), *PLACES)

_PAIR_SHARE = 0.10
_COLOUR_SHARE = 0.125
_SALT = "fluxgate pictograms 1"


@dataclass(frozen=True, slots=True)
class Subject:
    """`glyph`: number in the table. `colour`: one of `COLOURS`, None as the font has it. Box in cells; see `Tilt`."""

    glyph: int
    colour: str | None
    row: int
    column: int
    size: int
    tilt: Tilt = 0
    said_size: SaidSize = ""


@dataclass(frozen=True, slots=True)
class Scene:
    """`relation`: of the first subject to the second. `place`: where a lone subject stands, '' for the middle.

    `ground`: one of `GROUNDS`; `said_ground`: whether captions name it; `morning`: warm light falls in.
    """

    subjects: tuple[Subject, ...]
    relation: Relation
    ground: str
    place: str = ""
    said_ground: bool = True
    morning: bool = False

    @property
    def categories(self) -> tuple[str, ...]:
        """Screening labels of what is in the picture, sorted; empty for a harmless one."""
        found = (glyph_table()[subject.glyph].category for subject in self.subjects)
        return tuple(sorted({category for category in found if category is not None}))

    @property
    def is_held_out(self) -> bool:
        """Whether training never shows this combination."""
        return any(
            subject.colour is not None and is_colour_held_out(subject.glyph, subject.colour)
            for subject in self.subjects
        ) or any(is_pair_held_out(a.glyph, b.glyph) for a, b in itertools.combinations(self.subjects, 2))


def is_pair_held_out(first: int, second: int) -> bool:
    """Whether these two glyphs, in either order, never share a picture in training."""
    names = sorted((glyph_table()[first].name, glyph_table()[second].name))
    return _share(f"{names[0]} + {names[1]}") < _PAIR_SHARE


def is_colour_held_out(glyph: int, colour: str) -> bool:
    """Whether training never shows this glyph in this colour by name."""
    return _share(f"{colour} {glyph_table()[glyph].name}") < _COLOUR_SHARE


def _share(words: str) -> float:
    return int.from_bytes(hashlib.sha256(f"{_SALT}: {words}".encode()).digest()[:4]) / 2**32


def draw_scene(stream: random.Random, *, held_out: bool = False) -> Scene:
    """The next scene of `stream`: only combinations for training, or only held-out ones."""
    while True:
        scene = _draw_any(stream)
        if scene.is_held_out == held_out:
            return scene


def scenes(seed: int, count: int, *, held_out: bool = False) -> Iterator[Scene]:
    """`count` scenes; equal seeds give equal scenes."""
    stream = random.Random(seed)
    for _ in range(count):
        yield draw_scene(stream, held_out=held_out)


def _draw_any(stream: random.Random) -> Scene:
    number = stream.choices((1, 2, 3), (0.4, 0.48, 0.12))[0]
    chosen = stream.sample(range(len(glyph_table())), number)
    said_ground = stream.random() < 0.85
    ground = _draw_ground(stream) if said_ground else f"plain {stream.choice(GROUND_COLOURS)}"
    morning = said_ground and stream.random() < 0.07
    if number == 1:
        subjects, relation, place = _alone(stream, chosen[0])
    elif number == 2:
        subjects, relation = _pair(stream, chosen)
        place = ""
    else:
        subjects, relation, place = _three(stream, chosen), "three", ""
    return Scene(subjects, relation, ground, place, said_ground, morning)


def _draw_ground(stream: random.Random) -> str:
    if stream.random() < 0.3:
        return stream.choice(PLACES)
    return f"{stream.choices(PATTERNS, (4, 2, 1, 1, 1))[0]} {stream.choice(GROUND_COLOURS)}"


def _alone(stream: random.Random, glyph: int) -> tuple[tuple[Subject, ...], Relation, str]:
    said = _said_size(stream)
    size = 2 if said == "small" else 4
    places = ("", "left", "right", "top", "bottom", "top left", "top right", "bottom left", "bottom right")
    place = stream.choices(places, (10, 1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5))[0]
    row = _along(size, "top" in place, "bottom" in place)
    column = _along(size, "left" in place, "right" in place)
    tilt: Tilt = stream.choices((0, 1, -1), (88, 6, 6))[0]
    return (_subject(stream, glyph, row, column, said, tilt),), "alone", place


def _along(size: int, at_start: bool, at_end: bool) -> int:
    """First cell on one axis: at a border if so said, else in the middle."""
    if at_start or at_end:
        return 0 if at_start else CELLS - size
    return (CELLS - size) // 2


def _pair(stream: random.Random, chosen: list[int]) -> tuple[tuple[Subject, ...], Relation]:
    """Each in the middle of its half of the picture."""
    relation: Relation = stream.choices(("left", "above", "and"), (2, 2, 3))[0]
    both = []
    for place, glyph in enumerate(chosen):
        said = _said_size(stream)
        across = 1 if said == "small" else 0
        half, free = place * CELLS // 2 + across, CELLS // 4 + across
        row, column = (half, free) if relation == "above" else (free, half)
        both.append(_subject(stream, glyph, row, column, said))
    return tuple(both), relation


def _three(stream: random.Random, chosen: list[int]) -> tuple[Subject, ...]:
    """Two in the upper half, the third in the middle of the lower half."""
    corners = ((0, 0), (0, 4), (4, 2))
    return tuple(_subject(stream, glyph, row, column, "") for glyph, (row, column) in zip(chosen, corners, strict=True))


def _said_size(stream: random.Random) -> SaidSize:
    return stream.choices(("", "small", "big"), (8, 1.2, 0.8))[0]


def _subject(stream: random.Random, glyph: int, row: int, column: int, said: SaidSize, tilt: Tilt = 0) -> Subject:
    colour = stream.choice(COLOURS) if glyph_table()[glyph].recoloured and stream.random() < 0.8 else None
    return Subject(glyph, colour, row, column, 2 if said == "small" else 4, tilt, said)
