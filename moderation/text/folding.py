"""Folds a text to the form in which it is read: one spelling for many disguises. Pure, bounded, linear in the text.

The folded form, numbered as in `_settle`:
1. invisible characters are dropped (Unicode's Default_Ignorable_Code_Point: zero-width, bidi, selectors, tags),
2. stacks of combining marks are cut (this also keeps 3 linear: reordering a stack is quadratic in its height),
3. NFKC (UAX 15): fullwidth, mathematical, circled letters become plain,
4. look-alikes become Latin in words that mix scripts; honest Cyrillic or Greek words stay,
5. case is folded,
repeated until nothing changes. Other readings, each on top of the one before, are variants: see `fold`.
"""

import re
import unicodedata
from dataclasses import dataclass, replace

from moderation.text.encodings import decoded
from moderation.text.leet import unleeted
from moderation.text.lexicon import rank
from moderation.text.lookalikes import COSTUME, FOREIGN, SPELLINGS, STROKED
from moderation.text.pictures import named, unpictured
from moderation.text.respelling import respelled

MARKS_PER_LETTER = 4
"""Longest stack of combining marks kept; Vietnamese and pointed Hebrew need three."""

_ROUNDS = 6  # in practice two; the third and later only for stacked compatibility characters

_INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_INVISIBLES = re.compile(f"[{_INVISIBLE}]+")
# Inside a word of letters that need no joiners (Latin to Cyrillic). A soft hyphen alone is honest typesetting.
_HIDDEN = re.compile(f"(?<=[A-Za-z\u00c0-\u052f])(?!\u00ad+[A-Za-z])[{_INVISIBLE}]+(?=[A-Za-z\u00c0-\u052f])")
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2800\ufdfa\ufdfb]")  # the last two expand 8- to 18-fold
_SPACES = re.compile(r"\s+")
_WORD = re.compile(r"[^\W_]+")
_ASCII_LETTER = re.compile("[A-Za-z]")
_MARK = "\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
_COMBINING = "".join(chr(code) for code in range(0x300, 0x1F000) if unicodedata.combining(chr(code)))
_STACK = re.compile(f"([{_COMBINING}]{{{MARKS_PER_LETTER}}})[{_COMBINING}]+")
_ACCENTED = re.compile(
    f"[\u00c0-\u024f\u0250-\u02af\u1e00-\u1eff\U0001f1e6-\U0001f1ff{_MARK}{''.join(map(chr, SPELLINGS))}]"
)
# Marks belong to the word they stand in; every Han character is a token, since no space parts words there.
_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_MARKS = "".join(chr(code) for code in range(0x300, 0x1F000) if unicodedata.category(chr(code)) in ("Mn", "Mc"))
_TOKEN = re.compile(f"[{_HAN}]|[^\\W_{_HAN}](?:[^\\W_{_HAN}]|[{_MARKS}])*")
_FOREIGN = re.compile("[" + "".join(map(chr, FOREIGN)) + "]")
_MARKS_ON_LATIN = re.compile(f"(?<=[a-z0-9])[{_MARK}]+")
# Single letters, each a separator apart: the same one throughout, or any. The letter after an apostrophe is no start.
_SEPARATOR = r"[ .,\-_*/\\|·•~'\"+:;]"
_FIRST_ALONE = r"(?<![^\W_])(?<![^\W_]['’*#~^?%])"
_APART = re.compile(rf"{_FIRST_ALONE}[^\W_](?P<gap>{_SEPARATOR})[^\W_](?![^\W_])(?:(?P=gap)[^\W_](?![*#~^?%]?[^\W_]))+")
_APART_ANYHOW = re.compile(rf"{_FIRST_ALONE}[^\W_](?:{_SEPARATOR}[^\W_](?![^\W_])){{2,}}")
_NOT_LETTERS = re.compile(r"[\W_]+")
# Where words stand two spaces apart, two letters are a word too.
_PAIR = re.compile(r"(?<=  )([^\W_]) ([^\W_])(?=  |$)")
_STRETCHED = re.compile(r"([^\W\d_])\1{2,}")


@dataclass(frozen=True, slots=True)
class Signals:
    """How much had to be undone. Counts, never the text they were counted in."""

    invisible_characters: int = 0
    mixed_script_words: int = 0
    spaced_letters: int = 0
    leet_words: int = 0
    stretched_words: int = 0
    stacked_marks: int = 0
    pictures_in_words: int = 0
    encoded_fragments: int = 0

    @property
    def total(self) -> int:
        """All of them together; 0 for a text that hides nothing."""
        return (
            self.invisible_characters
            + self.mixed_script_words
            + self.spaced_letters
            + self.leet_words
            + self.stretched_words
            + self.stacked_marks
            + self.pictures_in_words
            + self.encoded_fragments
        )


@dataclass(frozen=True, slots=True)
class FoldedText:
    """A text as a classifier should read it.

    `original`: as it came. `folded`: the plain reading. `variants`: other readings of the same text, the most decoded
    one last; each differs from `folded` and from the others. `guessed`: those of them in which words were guessed
    (`prompt_respelling.py`), a weaker ground than the others. `runs`: the letters that stood apart, joined
    (`n u d e` gives `nude`), because where words end inside such a run is anybody's guess.
    """

    original: str
    folded: str
    variants: tuple[str, ...] = ()
    guessed: frozenset[str] = frozenset()
    runs: tuple[str, ...] = ()
    signals: Signals = Signals()

    @property
    def readings(self) -> tuple[str, ...]:
        """`folded` and all variants."""
        return (self.folded, *self.variants)


def fold(text: str) -> FoldedText:
    """The readings of `text`. Never raises, whatever the string holds (lone surrogates too).

    Folding what is already folded changes nothing: `fold(fold(t).folded).folded == fold(t).folded`.
    """
    hidden = 0 if text.isascii() else sum(len(match.group()) for match in _HIDDEN.finditer(text))
    cased = text if text.isascii() else _cased(text)
    found = _read(text, cased)
    code = decoded(cased)
    if code is None:
        return replace(found, signals=replace(found.signals, invisible_characters=hidden))
    alone, whole = _read(code.alone, code.alone), _read(code.whole, code.whole)
    last = [reading for reading in (alone.readings[-1], whole.readings[-1]) if reading != found.folded]
    others = dict.fromkeys((*found.variants, *alone.readings, *whole.readings))
    return FoldedText(
        text,
        found.folded,
        (*(reading for reading in others if reading not in (found.folded, *last)), *dict.fromkeys(last)),
        found.guessed | alone.guessed | whole.guessed,
        (*found.runs, *whole.runs),
        replace(found.signals, invisible_characters=hidden, encoded_fragments=code.fragments),
    )


def spellings(word: str) -> tuple[str, ...]:
    """`word` as lists hold it: folded, and where that differs also without its accents. Nothing is guessed."""
    folded = _narrow(_settle(word)[0])
    return tuple(dict.fromkeys((folded, _narrow(without_accents(folded)))))


def _read(text: str, cased: str) -> FoldedText:
    """`text` letter by letter and word by word; codes in it are left. `cased`: see `_cased`."""
    wide, mixed, stacked = _settle(text)
    folded = _narrow(wide)

    # The variants, each read on from the one before.
    latin = _all_lookalikes(cased, wide) if _FOREIGN.search(wide) else wide
    spelled, pictures = unpictured(latin)
    spelled = named(spelled)
    bare = without_accents(spelled) if _ACCENTED.search(spelled) else spelled
    runs = tuple(_closed(match) for match in _APART_ANYHOW.finditer(bare))
    joined = _APART.sub(_closed, _PAIR.sub(r"\1\2", bare) if runs else bare)
    anyhow = _APART_ANYHOW.sub(_closed, bare)
    leet = unleeted(joined)
    readings = [latin, named(latin), bare, anyhow, joined, leet.as_l, leet.as_i]
    last = leet.likeliest
    stretched = sum(1 for _ in _STRETCHED.finditer(joined))
    if _STRETCHED.search(last):
        readings += [_STRETCHED.sub(r"\1\1", last), _STRETCHED.sub(r"\1", last)]
        last = _WORD.sub(_shrunk, last)
    known = dict.fromkeys(map(_narrow, [*readings, last]))
    guess = respelled(_narrow(last))
    guessed = frozenset({guess} - known.keys() - {folded})
    # The most decoded one last, also if it was met before.
    variants = (*(reading for reading in known if reading not in (folded, guess)), *({guess} - {folded}))

    signals = Signals(0, mixed, sum(map(len, runs)), leet.words, stretched, stacked, pictures)
    return FoldedText(text, folded, variants, guessed, runs, signals)


def _cased(text: str) -> str:
    """`text` without invisible characters and costumes; capitals stay, for they have shapes of their own."""
    return unicodedata.normalize("NFKC", _unstack(_INVISIBLES.sub("", _CONTROLS.sub(" ", text)))[0]).translate(COSTUME)


def _settle(text: str) -> tuple[str, int, int]:
    """(the folded form with its white space as it was, words of mixed script, marks cut)."""
    mixed = stacked = 0
    for _ in range(_ROUNDS):
        before = text
        text = _CONTROLS.sub(" ", text)
        if text.isascii():
            return text.casefold(), mixed, stacked
        text = _INVISIBLES.sub("", text)  # 1
        text, cut = _unstack(text)  # 2
        stacked += cut
        text = unicodedata.normalize("NFKC", text)  # 3
        text = text.translate(COSTUME)
        text, words = _mixed_words(text)  # 4
        mixed += words
        text = text.casefold()  # 5
        if text == before:
            break
    return text, mixed, stacked


def _unstack(text: str) -> tuple[str, int]:
    kept = _STACK.sub(r"\1", text)
    return kept, len(text) - len(kept)


def _mixed_words(text: str) -> tuple[str, int]:
    count = 0

    def latin(match: re.Match[str]) -> str:
        nonlocal count
        word = match.group()
        if word.isascii() or not _ASCII_LETTER.search(word):
            return word
        mapped = word.translate(FOREIGN)
        count += mapped != word
        return mapped

    return _WORD.sub(latin, text), count


def _all_lookalikes(cased: str, wide: str) -> str:
    """`wide` with every word mapped that could be Latin letters throughout, whatever script it is written in."""

    def latin(match: re.Match[str]) -> str:
        mapped = match.group().translate(FOREIGN)
        return mapped if mapped.isascii() else match.group()

    return _settle(_WORD.sub(latin, _mixed_words(cased)[0]))[0]


def tokens(text: str) -> list[str]:
    """The words of a reading: runs of letters and digits with their marks; every Han character is one by itself."""
    return _TOKEN.findall(text)


def without_accents(text: str) -> str:
    """`text`, a reading, with Latin letters bare."""
    text = text.translate(SPELLINGS)
    bare = _MARKS_ON_LATIN.sub("", unicodedata.normalize("NFD", text).translate(STROKED))
    return unicodedata.normalize("NFC", bare)


def _shrunk(match: re.Match[str]) -> str:
    """A stretched word as the more frequent of two: its letters doubled or single."""
    word = match.group()
    doubled, single = (_STRETCHED.sub(letters, word) for letters in (r"\1\1", r"\1"))
    return min(single, doubled, key=rank)


def _closed(match: re.Match[str]) -> str:
    return _NOT_LETTERS.sub("", match.group())


def _narrow(text: str) -> str:
    return _SPACES.sub(" ", text).strip()
