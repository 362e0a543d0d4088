"""Reads words that somebody made unreadable to a list: masked, cut apart, run together, without vowels, by ear. Pure.

Each step works on words that English does not know and accepts only what gives words that people use. What is read so
is a further reading; the text as it stood stays one too.
"""

import functools
import math
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from moderation.text.lexicon import FREQUENT, english, is_frequent, is_word, rank
from moderation.text.spelling import put_right

MOST_WORDS = 200
"""Unknown words looked at per text and step; the rest stay as they are."""

SHORTEST = 4
"""Letters: shorter words are joined, or heard, by chance."""

LONGEST_RUN = 400
"""Letters of a run that is cut into words; longer ones stay whole."""

_LONGEST_WORD = 16

_MASKS = "*#%?^~_•·×"
_SIGNS = rf"{re.escape(_MASKS)}.,\-/\\|+:;=\"<>(){{}}\[\]!&"
_SIGNED = re.compile(rf"(?<![^\W\d_])[^\W\d_]+(?:[{_SIGNS}]{{1,4}}[^\W\d_]+)+")
_COMPOUND = re.compile("[-/_]")
_SIGN = re.compile(rf"[{_SIGNS}]+")
_WORD = re.compile(r"[^\W\d_]+")
_NEIGHBOURS = re.compile(r"(?<![^\W\d_])[^\W\d_]+(?:(?: |-\s+)[^\W\d_]+)+")
_VOWELLESS = re.compile(r"(?<![^\W_])(?=[a-z]{2,})[a-z]?[bcdfghjklmnpqrstvwxz]+(?![^\W_])")
_VOWELS = re.compile("[aeiouy]")

# Masked more often than other words of the same shape; of those the most frequent is meant, vowels before consonants.
_OFTEN_MASKED = frozenset(
    """kill killed killing killer murder murdered stab stabbed stabbing shoot shooting die dead suicide corpse gore
    blood bomb gun guns rifle weapon weapons drug drugs heroin cocaine meth weed nazi nazis hitler rape hang hanging
    sex nude naked porn fuck shit bitch whore slut dick cock pussy penis vagina boobs tits breast breasts
    nipple nipples""".split()  # noqa: SIM905  a word list
)


def prepare() -> None:
    """Builds the word indexes (half a second), so that no request waits for them."""
    _by_shape(), _by_sound(), _by_consonants()


def respelled(text: str) -> str:
    """`text` with such words written out; `text` itself if it has none. `text`: folded.

    Linear: at most `MOST_WORDS` words are looked at in each step.
    """
    signed = _SIGNED.search(text) is not None
    if not signed and all(map(is_word, _WORD.findall(text))):
        return text
    if signed:
        text = _replaced(_SIGNED, _without_signs, text)
    guess = _replaced(_NEIGHBOURS, _neighbours, text)
    vowelless = _VOWELLESS.findall(guess)
    if len(vowelless) >= 3 and 5 * len(vowelless) >= 2 * len(_WORD.findall(guess)):
        guess = _replaced(_VOWELLESS, _with_vowels, guess)
    guess = _replaced(_WORD, _meant, guess)
    return guess if _mostly_english(guess) else text


_ENGLISH = 0.6  # of the letters


def _mostly_english(text: str) -> bool:
    """Whether guesses made an English text: in other languages, what is unknown here is no disguise."""
    words = _WORD.findall(text)
    return sum(len(word) for word in words if is_frequent(word)) >= _ENGLISH * sum(map(len, words))


def _replaced(pattern: re.Pattern[str], change: Callable[[str], str], text: str) -> str:
    looked_at = 0

    def one(match: re.Match[str]) -> str:
        nonlocal looked_at
        looked_at += 1
        return change(match.group()) if looked_at <= MOST_WORDS else match.group()

    return pattern.sub(one, text)


# -- signs inside words -----------------------------------------------------------------------------------------------


def _without_signs(token: str) -> str:
    """`k*ll`, `wo.man`, `st-ab`: the word that is meant; honest compounds and whatever gives no word stay."""
    parts = _SIGN.split(token)
    joined = "".join(parts)
    honest = all(len(part) > 2 and is_word(part) for part in parts) and _COMPOUND.search(token)
    if len(joined) >= SHORTEST - 1 and is_frequent(joined) and not honest:
        return joined
    shape = "".join(letter if letter.isalpha() else "." for letter in token if letter.isalpha() or letter in _MASKS)
    return _shaped(shape) or token if "." in shape and len(shape) <= _LONGEST_WORD else token


@functools.lru_cache(4096)
def _shaped(shape: str) -> str | None:
    """The likeliest word of this shape, in which `.` is any letter."""
    fits = re.compile(shape).fullmatch
    known = [word for word in _by_shape().get((shape[0], len(shape)), ()) if fits(word)]
    masked = [place for place, letter in enumerate(shape) if letter == "."]

    def likeness(word: str) -> tuple[bool, bool, int]:
        return word not in _OFTEN_MASKED, not all(_VOWELS.match(word[place]) for place in masked), rank(word)

    return min(known, key=likeness, default=None)


@functools.cache
def _by_shape() -> Mapping[tuple[str, int], Sequence[str]]:
    found: dict[tuple[str, int], list[str]] = defaultdict(list)
    for word in _frequent_words():
        found[word[0], len(word)].append(word)
    return found


# -- words cut apart, words run together ------------------------------------------------------------------------------


def _neighbours(run: str) -> str:
    """`wo man`: up to three pieces beside each other, not all of them words, that make one."""
    pieces = _WORD.findall(run)
    if all(map(is_word, pieces)):
        return run
    words = _likeliest(pieces, _MOST_PIECES, _JOIN_COST)
    return " ".join(words) if len(words) < len(pieces) else run


def _cut(word: str) -> str:
    """A run of letters as the likeliest words it consists of; the run itself if it does not."""
    if not 2 * SHORTEST <= len(word) <= LONGEST_RUN:
        return word
    pieces = _likeliest(word, _LONGEST_WORD, 0.0)
    known = sum(len(piece) for piece in pieces if is_word(piece))
    least = _LEAST_PER_PIECE if len(word) < _CLEAR_RUN else _LEAST_PER_PIECE_OF_MANY
    return " ".join(pieces) if known >= 0.75 * len(word) >= 0.75 * least * len(pieces) else word


def _likeliest(atoms: Sequence[str], most: int, join_cost: float) -> list[str]:
    """`atoms` joined to the words that are the most probable together, each of `most` atoms at most (Viterbi 1967).

    The words count as independent, so that the cost of each is the logarithm of its rank (Zipf).
    """
    costs, lasts = [0.0], [0]
    for end in range(1, len(atoms) + 1):
        best, last = math.inf, end - 1
        for start in range(max(0, end - most), end):
            word = "".join(atoms[start:end])
            cost = costs[start] + _cost(word) + join_cost * (end - start - 1)
            joins = end - start > 1 and join_cost > 0.0
            if cost < best and not (joins and (len(word) < SHORTEST or not is_word(word))):
                best, last = cost, start
        costs.append(best)
        lasts.append(last)
    words: list[str] = []
    end = len(atoms)
    while end:
        words.append("".join(atoms[lasts[end] : end]))
        end = lasts[end]
    return words[::-1]


def _cost(word: str) -> float:
    if is_frequent(word) or (len(word) >= SHORTEST and word in english()):
        return _WORD_COST + math.log(rank(word) + 2)
    return _UNKNOWN_COST + _LETTER_COST * len(word)


_WORD_COST = 3.0  # as if every further word were e^3 times rarer: few long words beat many short ones
_UNKNOWN_COST = 15.0  # as the rarest known word
_LETTER_COST = 4.0
_JOIN_COST = 4.0  # whoever writes a space mostly means it
_MOST_PIECES = 3
_CLEAR_RUN = 20  # letters
_LEAST_PER_PIECE = 3.0  # letters; what falls into shorter words is no English
_LEAST_PER_PIECE_OF_MANY = 2.5


# -- words written by ear, words without vowels -----------------------------------------------------------------------


@functools.lru_cache(4096)
def _meant(word: str) -> str:
    """An unknown word without its slip of the finger; else cut into words; else the usual word that sounds alike."""
    right = put_right(word, english())
    if right != word or len(word) < SHORTEST or is_word(word):
        return right
    cut = _cut(word)
    return cut if cut != word else _by_sound().get(_sound(word), word)


_SOUNDS = tuple(
    (re.compile(written), heard)
    for written, heard in (
        ("ph", "f"),
        ("tion|shun", "shn"),
        ("^kn", "n"),
        ("^wr", "r"),
        ("c(?=[eiy])|z", "s"),
        ("x", "ks"),
        ("qu", "kw"),
        ("ck|c(?!h)|q", "k"),
        ("ee|ea|ie|y", "i"),
        ("oo|ou|u|ew", "u"),
        (r"(?<=.)e\b|gh", ""),
        (r"(.)\1+", r"\1"),
    )
)
"""How English spells sounds, as far as people who write by ear disagree with it; in this order."""


def _sound(word: str) -> str:
    for pattern, sound in _SOUNDS:
        word = pattern.sub(sound, word)
    return word


@functools.cache
def _by_sound() -> Mapping[str, str]:
    found: dict[str, str] = {}
    for word in _frequent_words():
        if len(word) >= SHORTEST - 1:
            found.setdefault(_sound(word), word)
    return found


def _with_vowels(word: str) -> str:
    return _by_consonants().get(word, word)


@functools.cache
def _by_consonants() -> Mapping[str, str]:
    """Words by what stands of them without vowels; a first letter stays."""
    found: dict[str, str] = {}
    for word in _frequent_words():
        found.setdefault(word[0] + _VOWELS.sub("", word[1:]), word)
    return found


@functools.cache
def _frequent_words() -> Sequence[str]:
    """The most frequent first."""
    known = english()
    return [word for word in known if known[word] < FREQUENT and is_frequent(word)]
