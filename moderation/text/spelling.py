"""Puts slips of the finger right, so that `wmoan` is read as `woman`: English words and whatever is listed besides.

An unknown word is put right if one slip (Damerau 1964: neighbours swapped, a letter too many, missing or wrong) leads
to a known one.
"""

import re
from collections.abc import Iterator, Mapping

SHORTEST = 4
"""Letters: in shorter words a slip leads anywhere."""

SHORTEST_OTHER = 5
"""Letters from which slips other than swapped neighbours are put right too."""

USUAL = 8_000
"""Ranks below this are words that everybody uses."""

LISTED = 1_000_000
"""Rank of words that are known because a list has them; they are right wherever they stand."""

LONGEST = 20
MOST_WORDS = 200
"""Unknown words looked at per text; the rest stay as they are. One costs about a thousand look-ups at most."""

_WORD = re.compile(r"[^\W\d_]+")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def put_right(text: str, ranks: Mapping[str, int]) -> str:
    """`text` with unknown words put right. `text`: folded. `ranks`: known words, the likeliest the lowest.

    The first letter is never changed: people rarely miss it, and most chance neighbours differ in it.
    """
    looked_at = 0

    def right(match: re.Match[str]) -> str:
        nonlocal looked_at
        word = match.group()
        own = ranks.get(word)
        if not SHORTEST <= len(word) <= LONGEST or not word.isascii() or looked_at >= MOST_WORDS:
            return word
        if own is not None:
            # A rare word, two letters of a frequent one swapped: likelier a slip.
            usual = (
                [slip for slip in _swapped(word) if ranks.get(slip, own) < USUAL] if USUAL * 3 < own < LISTED else []
            )
            return min(usual, key=lambda slip: ranks[slip], default=word)
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
