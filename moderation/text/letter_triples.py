"""How usual the letters of a word are, one after two others, in seven European languages. Owns the shipped table.

    python -m moderation.text.letter_triples       makes it anew from pyspellchecker's dictionaries

The table holds, for each pair of letters (or the start of the word), how surprising each next letter (or the end) is:
in sixteenths of a bit, 0 to 255. Words count by the logarithm of their frequency; accents are taken off.
"""

import functools
import math
import unicodedata
from collections.abc import Mapping
from pathlib import Path

import numpy
import numpy.typing

FILE = Path(__file__).parent / "letter_triples.npy"
LANGUAGES = ("en", "de", "fr", "es", "it", "pt", "nl")
STEPS = 16  # of a bit

_EDGE = 26


@functools.cache
def _table() -> numpy.typing.NDArray[numpy.uint8]:
    """(27, 27, 27): the first two letters, then the third; 26 is the edge of the word."""
    table: numpy.typing.NDArray[numpy.uint8] = numpy.load(FILE)
    return table


def surprise(word: str) -> float:
    """Bits per letter. `word`: Latin letters of any case, accents or not; others are passed over. 0.0 for none."""
    codes = _codes(word)
    if len(codes) < 4:
        return 0.0
    places = numpy.array(codes)
    return float(_table()[places[:-2], places[1:-1], places[2:]].mean()) / STEPS


def _codes(word: str) -> list[int]:
    plain = (ord(letter) - 97 for letter in unicodedata.normalize("NFD", word.lower()))
    return [_EDGE, _EDGE, *(code for code in plain if 0 <= code < _EDGE), _EDGE]


def made(counts: Mapping[str, int]) -> numpy.typing.NDArray[numpy.uint8]:
    """The table of these words with their frequencies."""
    seen = numpy.full((27, 27, 27), 0.1)
    for word, count in counts.items():
        codes = _codes(word)
        weight = math.log2(1 + count)
        for first, second, third in zip(codes, codes[1:], codes[2:], strict=False):
            seen[first, second, third] += weight
    bits = -numpy.log2(seen / seen.sum(axis=2, keepdims=True))
    table: numpy.typing.NDArray[numpy.uint8] = numpy.minimum(255, numpy.rint(STEPS * bits)).astype(numpy.uint8)
    return table


def main() -> None:
    """Writes the table."""
    from spellchecker import SpellChecker

    tables = []
    for language in LANGUAGES:
        counts = SpellChecker(language=language, distance=1).word_frequency.dictionary
        tables.append(made(dict(counts)))
    # Usual in one of the languages is usual enough.
    numpy.save(FILE, numpy.min(tables, axis=0))


if __name__ == "__main__":
    main()
