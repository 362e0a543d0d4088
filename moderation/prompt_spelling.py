"""Puts slips of the finger right, so that `wmoan` is read as `woman`: English words and whatever is listed besides.

English is the vocabulary that the semantic part's encoder comes with, ordered by frequency. An unknown word is put
right if one slip (Damerau 1964: neighbours swapped, a letter too many, missing or wrong) leads to a known one.
"""

import functools
import json
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from moderation.semantic.tokens import MINILM

SHORTEST = 4
"""Letters: in shorter words a slip leads anywhere."""

SHORTEST_OTHER = 6
"""Letters from which slips other than swapped neighbours are put right too."""

LONGEST = 20
MOST_WORDS = 200
"""Unknown words looked at per text; the rest stay as they are. One costs about a thousand look-ups at most."""

_WORD = re.compile(r"[^\W\d_]+")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@functools.cache
def english() -> Mapping[str, int]:
    """English words of four letters or more by rank, the most frequent lowest. Raises `PartUnusable` without MiniLM."""
    words: dict[str, int] = json.loads(MINILM.tokenizer().read_bytes())["model"]["vocab"]
    return MappingProxyType(
        {word: rank for word, rank in words.items() if len(word) >= SHORTEST and word.isascii() and word.isalpha()}
    )


def put_right(text: str, ranks: Mapping[str, int]) -> str:
    """`text` with unknown words put right. `text`: folded. `ranks`: known words, the likeliest the lowest.

    The first letter is never changed: people rarely miss it, and most chance neighbours differ in it.
    """
    looked_at = 0

    def right(match: re.Match[str]) -> str:
        nonlocal looked_at
        word = match.group()
        if not SHORTEST <= len(word) <= LONGEST or word in ranks or not word.isascii() or looked_at >= MOST_WORDS:
            return word
        looked_at += 1
        swapped = [slip for slip in _swapped(word) if slip in ranks]
        known = swapped or [slip for slip in slips(word) if slip in ranks] if len(word) >= SHORTEST_OTHER else swapped
        return min(known, key=lambda slip: ranks[slip], default=word)

    return _WORD.sub(right, text)


def slips(word: str) -> Iterator[str]:
    """Whatever one slip behind the first letter of `word` makes of it, `word` itself among others."""
    yield from _swapped(word)
    for place in range(1, len(word) + 1):
        before, after = word[:place], word[place:]
        yield before + after[1:]
        for letter in _LETTERS:
            yield before + letter + after
            yield before + letter + after[1:]


def _swapped(word: str) -> Iterator[str]:
    for place in range(1, len(word) - 1):
        yield word[:place] + word[place + 1] + word[place] + word[place + 2 :]
