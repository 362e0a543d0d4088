"""Which words English has, and which are frequent: what a disguised word is measured against.

Two sources: pyspellchecker's dictionary (160,000 words with their frequency in film subtitles) and behind it the
vocabulary of the semantic part's encoder, which is ordered by frequency.
"""

import functools
import json
from collections.abc import Mapping
from types import MappingProxyType

from spellchecker import SpellChecker

from moderation.minilm import MINILM

FREQUENT = 25_000
"""Ranks below this are words that people use; 500 or more occurrences in the subtitles."""


_SHORT = "a i an in on at of to by is up my he it me no or as we do go so if be am us"
SHORT_WORDS = frozenset(_SHORT.split())
"""Of the words of one and two letters those that every text may hold; the others are abbreviations."""


@functools.cache
def english() -> Mapping[str, int]:
    """ASCII words by rank, the most frequent lowest. Raises `PartUnusable` without MiniLM."""
    dictionary = SpellChecker(language="en", distance=1).word_frequency.dictionary
    vocabulary: dict[str, int] = json.loads(MINILM.tokenizer().read_bytes())["model"]["vocab"]
    ordered = [*sorted(dictionary, key=dictionary.__getitem__, reverse=True), *vocabulary]
    words = (word for word in ordered if word.isascii() and word.isalpha() and (len(word) > 2 or word in SHORT_WORDS))
    return MappingProxyType({word: rank for rank, word in enumerate(dict.fromkeys(words))})


def rank(word: str) -> int:
    """The word's place by frequency; behind all others if English does not know it."""
    return english().get(word, len(english()))


def is_frequent(word: str) -> bool:
    """Whether people use this English word."""
    return word in SHORT_WORDS or (len(word) > 2 and english().get(word, FREQUENT) < FREQUENT)


def is_word(word: str) -> bool:
    """Whether English has this word, or nothing can be said of it since it is written in other letters."""
    return word in english() or not word.isascii()
