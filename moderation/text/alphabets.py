"""Reads text whose letters were swapped or turned round: ROT13, Atbash, shifted alphabets, backwards, upside down.

Whatever English does not know is tried under every alphabet; the one that makes the most English words of it is taken,
if it makes enough. Pure, linear.
"""

import codecs
import functools
import re
from collections.abc import Iterator

from moderation.text.lexicon import is_frequent, is_word

SHORTEST = 4
"""Letters: shorter words come about by chance."""

CLEAR_LETTERS = 10
"""Letters from which every alphabet shift is tried; shorter ones are words under one of 25 shifts by chance."""

MOST_WORDS = 8
"""Words of a run by which its alphabet is chosen."""

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_TURNED = str.maketrans("ɐqɔpǝɟƃɓɥᴉıɾʞlɯuodbɹsʇnʌʍxʎzⱯƎ", "abcdefgghiijklmnopqrstuvwxyzae")
_ONLY_TURNED = re.compile("[ɐɔǝɟƃɥᴉɾʞɯɹʇʌʍʎⱯƎ]")

_WORD = re.compile(r"(?<![^\W\d_])[A-Za-z]+(?![^\W\d_])")


def swapped(text: str) -> tuple[str, list[str]]:
    """Reads runs of words that English does not know under the alphabet that makes the most of them English."""
    if len(_ONLY_TURNED.findall(text)) >= 2:
        turned = text.translate(_TURNED)[::-1]
        return turned, [turned]
    found: list[str] = []
    if all(map(_known, _WORD.findall(text))):
        return text, found
    out: list[str] = []
    for run, unknown in _runs(text):
        plain = _best_alphabet(run) if unknown else None
        found += [] if plain is None else [plain]
        out.append(run if plain is None else plain)
    return "".join(out), found


def _known(word: str) -> bool:
    return len(word) < 3 or is_word(word.lower())


def _runs(text: str) -> Iterator[tuple[str, bool]]:
    """`text` in pieces, in order: whether a piece runs from one unusual word to another with short ones between."""
    start = end = -1
    done = usual = 0
    led = True  # nothing but short words so far
    for match in _WORD.finditer(text):
        word = match.group().lower()
        if not is_frequent(word):
            start = (0 if led else match.start()) if start < 0 else start
            end, usual = match.end(), 0
        elif len(word) >= SHORTEST:
            usual += 1
            if usual > 1 and start >= 0:  # one may have come about by chance
                yield text[done:start], False
                yield text[start:end], True
                done, start = end, -1
        led = led and len(word) < SHORTEST
    if start >= 0:
        tail = all(len(word) < SHORTEST for word in _WORD.findall(text[end:]))
        end = len(text) if tail else end
        yield text[done:start], False
        yield text[start:end], True
        done = end
    yield text[done:], False


def _best_alphabet(run: str) -> str | None:
    """`run` read as English; None if no alphabet makes enough of it."""
    words = [word.lower() for word in _WORD.findall(run)][:MOST_WORDS]
    letters = sum(map(len, words))
    if letters <= SHORTEST:
        return None
    best = before = _gain(words)
    found: tuple[dict[int, int], bool] | None = None
    for table in _alphabets()[: None if letters >= CLEAR_LETTERS else 2]:
        turned = [word.translate(table) for word in words]
        for reverse in (False, True):
            gain = _gain([word[::-1] for word in turned] if reverse else turned)
            if gain > best:
                best, found = gain, (table, reverse)
    # A few words can be English by chance, so then all of them must be.
    needed = 0.65 if letters >= CLEAR_LETTERS else 1.0
    if found is None or best < needed * letters or best - before < 0.4 * letters:
        return None
    table, reverse = found
    plain = run.translate(table)
    if not reverse:
        return plain
    # Backwards throughout, or word by word: in the right order, more articles stand behind their prepositions.
    orders = (plain[::-1], _WORD.sub(lambda word: word.group()[::-1], plain))
    return max(orders, key=lambda order: len(_IN_ORDER.findall(order)))


def _gain(words: list[str]) -> int:
    """Letters in English words; of the short ones, which letters make by chance, only in those that people use."""
    return sum(len(word) for word in words if (is_word if len(word) > SHORTEST else is_frequent)(word))


_IN_ORDER = re.compile(r"\b(?:of|in|on|with|at|by|to|from) (?:an?|the|his|her)\b", re.IGNORECASE)


@functools.cache
def _alphabets() -> tuple[dict[int, int], ...]:
    tables = [_LETTERS, codecs.encode(_LETTERS, "rot13"), _LETTERS[::-1]]
    tables += [_LETTERS[by:] + _LETTERS[:by] for by in range(1, 26) if by != 13]
    return tuple(str.maketrans(_LETTERS + _LETTERS.upper(), to + to.upper()) for to in tables)
