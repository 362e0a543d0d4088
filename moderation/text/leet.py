"""Reads digits and signs as the letters they look like: `p1pe`, `h4nd`, `$tr33t`. Pure, linear."""

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass

from moderation.text.lexicon import is_frequent
from moderation.text.lookalikes import LEET, LEET_I

SHORTEST = 4
"""Signs from which what else is a quantity (`r4p1d`, `h4t`) is read as a word, if it then is one."""

_MOST_WAYS = 16
_TOKEN = re.compile(r"[a-z0-9@$€£|+!]+")
_QUANTITY = re.compile(
    r"\d+[a-z]{0,3}|[a-z]{1,3}\d+|\d+(?:st|nd|rd|th)|[a-z]\d+[a-z]?\d*|\d+[x+]\d+[a-z]*|[0-9+|!$€£@]+"
)
_HAS_LETTER = re.compile("[a-z]")


@dataclass(frozen=True, slots=True)
class Unleeted:
    """`words`: how many were read. `as_l`, `as_i`: with `1` as that letter throughout; `likeliest`: word by word."""

    words: int
    as_l: str
    as_i: str
    likeliest: str


def unleeted(text: str) -> Unleeted:
    """The three readings of `text`, which is folded; quantities such as `35mm` or `f16` stay in all of them."""
    if text.isalpha():
        return Unleeted(0, text, text, text)
    count = 0

    def reading(choose: Callable[[str], str]) -> str:
        def letters(match: re.Match[str]) -> str:
            nonlocal count
            token = match.group()
            word = token.rstrip("!")  # there it is an exclamation mark
            if word.isalpha() or not word:
                return token
            read = choose(word)
            if _QUANTITY.fullmatch(word) and not (
                len(word) >= SHORTEST and _HAS_LETTER.search(word) and is_frequent(read)
            ):
                return token
            count += 1
            return read + token[len(word) :]

        return _TOKEN.sub(letters, text)

    likeliest = reading(_likeliest)
    if not count:
        return Unleeted(0, text, text, text)
    words = count
    return Unleeted(
        words, reading(lambda word: word.translate(LEET)), reading(lambda word: word.translate(LEET_I)), likeliest
    )


def _likeliest(word: str) -> str:
    """The first way to read `word` that is an English word; as `i` if none is."""
    ways = [sorted({sign.translate(LEET_I), sign.translate(LEET)}) for sign in word]
    for way in itertools.islice(itertools.product(*ways), _MOST_WAYS):
        if is_frequent(read := "".join(way)):
            return read
    return word.translate(LEET_I)
