"""What one says of a scene: a small English grammar with synonyms and several orders of words.

Captions are lower case, without a full stop. Equal streams give equal captions. The spans tell which words speak of
which subject, so that the text encoders can be taught to read before they teach anything to draw.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from inference.demo.training.glyphs import glyph_table
from inference.demo.training.scenes import Scene, Subject

_OPENINGS = (
    "a picture of ", "an image of ", "a drawing of ", "an illustration of ", "a pictogram of ", "a photo of ",
    "draw ", "show me ", "a painting of ",
)  # fmt: skip
_SIZES = {"": ("",), "small": ("small ", "little ", "tiny "), "big": ("big ", "large ", "huge ")}
_TILTS = {
    0: ("",),
    1: (" tilted to the left", " leaning left"),
    -1: (" tilted to the right", " leaning right"),
}
_LEFT = (" left of ", " to the left of ", " on the left of ")
_RIGHT = (" right of ", " to the right of ", " on the right of ")
_ABOVE = (" above ", " over ", " on top of ")
_BELOW = (" below ", " under ", " beneath ")
_AND = (" and ", " and ", " and ", " with ", " next to ", " beside ", " near ")
_CORNERS = ("in the {} corner", "at the {}")
_SIDES = {
    "left": ("on the left", "on the left side"),
    "right": ("on the right", "on the right side"),
    "top": ("at the top", "high up"),
    "bottom": ("at the bottom", "low down"),
}
_MIDDLE = ("", "", "", "", " in the middle", " in the center")
_PLACES = {
    "night": ("at night", "under the stars", "in a starry night", "in the night sky", "by night"),
    "wooden table": ("on a wooden table", "on a table", "on a wooden floor", "on a wooden background"),
    "meadow": ("in a meadow", "in the grass", "on a lawn", "in a field", "in a garden"),
    "beach": ("on the beach", "on a beach", "on sand", "in the desert"),
    "snow": ("in the snow", "in winter", "on a snowy day"),
    "sea": ("in the sea", "on the water", "on a lake", "in the ocean"),
    "sunset": ("at sunset", "at dusk", "in the evening"),
    "sky": ("in the sky", "in a cloudy sky", "among clouds", "on a sunny day"),
}
_PATTERNS = {
    "plain": ("{}", "plain {}", "{}", "solid {}"),
    "gradient": ("{} gradient", "shaded {}", "fading {}"),
    "striped": ("striped {}", "{} striped"),
    "dotted": ("dotted {}", "{} dotted", "polka dot {}"),
    "checkered": ("checkered {}", "{} checkered", "checked {}"),
}
_BEFORE = ("on ", "on ", "on ", "against ", "in front of ")
_BACKGROUNDS = ("background", "background", "ground", "wall", "backdrop")
_COLOUR_SYNONYMS = {
    "grey": ("grey", "gray"), "teal": ("teal", "turquoise"), "purple": ("purple", "violet"), "brown": ("brown",),
}  # fmt: skip
_MORNINGS = (" in morning light", " in the morning", " in warm light", " in sunlight")


@dataclass(frozen=True, slots=True)
class Caption:
    """`subjects`: for each subject of the scene, in its order, where its words begin and end; `ground` likewise.

    An empty span stands for words that are not there.
    """

    text: str
    subjects: tuple[tuple[int, int], ...]
    ground: tuple[int, int]


def describe(scene: Scene, stream: random.Random) -> Caption:
    """One of the many captions of `scene`."""
    numbered: list[tuple[str, int]] = _subject_pieces(scene, stream)
    ground = _ground(scene, stream)
    opening = stream.choice(_OPENINGS) if stream.random() < 0.25 else ""
    if ground and stream.random() < 0.15:
        pieces = [(ground, -2), (stream.choice((", ", ": ")), -1), *numbered]
    else:
        pieces = [(opening, -1), *numbered, *([(" ", -1), (ground, -2)] if ground else [])]
    return _assembled(pieces, len(scene.subjects))


def every_word() -> list[str]:
    """The words captions are made of, sorted."""
    tables: list[Sequence[str]] = [
        _OPENINGS, _LEFT, _RIGHT, _ABOVE, _BELOW, _AND, _CORNERS, _MIDDLE, _BEFORE, _BACKGROUNDS,
        _MORNINGS,
        *_SIZES.values(), *_TILTS.values(), *_SIDES.values(), *_PLACES.values(), *_PATTERNS.values(),
        *_COLOUR_SYNONYMS.values(), *(glyph.nouns for glyph in glyph_table()), *(("a", "an", "some", "the"),),
        ("red orange yellow green blue purple white grey black teal pink brown top bottom",),
    ]  # fmt: skip
    return sorted({word for table in tables for text in table for word in text.replace("{}", " ").split()})


def _assembled(pieces: list[tuple[str, int]], subjects: int) -> Caption:
    spans, text = {}, ""
    for words, owner in pieces:
        spans[owner] = (len(text), len(text) + len(words))
        text += words
    return Caption(text, tuple(spans[number] for number in range(subjects)), spans.get(-2, (0, 0)))


def _subject_pieces(scene: Scene, stream: random.Random) -> list[tuple[str, int]]:
    said = [_subject(subject, stream) for subject in scene.subjects]
    if scene.relation == "alone":
        return [(said[0] + _place(scene.place, stream), 0)]
    if scene.relation == "three":
        return [(said[0], 0), (", ", -1), (said[1], 1), (stream.choice((" and ", ", and ")), -1), (said[2], 2)]
    if scene.relation == "and":
        return [(said[0], 0), (stream.choice(_AND), -1), (said[1], 1)]
    forwards, backwards = (_LEFT, _RIGHT) if scene.relation == "left" else (_ABOVE, _BELOW)
    if stream.random() < 0.5:
        return [(said[0], 0), (stream.choice(forwards), -1), (said[1], 1)]
    return [(said[1], 1), (stream.choice(backwards), -1), (said[0], 0)]


def _subject(subject: Subject, stream: random.Random) -> str:
    glyph = glyph_table()[subject.glyph]
    # The usual word half of the time, any of them otherwise.
    noun = glyph.nouns[0] if stream.random() < 0.5 else stream.choice(glyph.nouns)
    colour = (
        "" if subject.colour is None else stream.choice(_COLOUR_SYNONYMS.get(subject.colour, (subject.colour,))) + " "
    )
    words = stream.choice(_SIZES[subject.said_size]) + colour + noun
    article = stream.choice(("", "some ")) if glyph.plural else _article(words, stream)
    return article + words + stream.choice(_TILTS[subject.tilt])


def _article(words: str, stream: random.Random) -> str:
    chance = stream.random()
    if chance < 0.12:
        return "the " if chance < 0.04 else ""
    return "an " if words[0] in "aeiou" else "a "


def _place(place: str, stream: random.Random) -> str:
    if not place:
        return stream.choice(_MIDDLE)
    choices = _SIDES.get(place) or tuple(text.format(place) for text in _CORNERS)
    return " " + stream.choice(choices)


def _ground(scene: Scene, stream: random.Random) -> str:
    if not scene.said_ground:
        return ""
    if scene.ground in _PLACES:
        words = stream.choice(_PLACES[scene.ground])
    else:
        pattern, colour = scene.ground.split(" ")
        named = stream.choice(_COLOUR_SYNONYMS.get(colour, (colour,)))
        described = stream.choice(_PATTERNS[pattern]).format(named)
        before = stream.choice(_BEFORE)
        words = before + ("an " if described[0] in "aeiou" else "a ") + described + " " + stream.choice(_BACKGROUNDS)
    return words + (stream.choice(_MORNINGS) if scene.morning else "")
