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
from dataclasses import dataclass

from moderation.prompt_lookalikes import COSTUME, FOREIGN, LEET, LEET_I, PICTURED, SPELLINGS, STROKED

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
_PICTURE = "\u2600-\u27bf\u2b00-\u2bff\U0001f300-\U0001faff"
_PICTURES = re.compile(f"[{_PICTURE}]")
_AS_LETTER = "".join(map(chr, PICTURED))
_LETTER_PICTURE = re.compile(f"(?<=[^\\W_])[{_AS_LETTER}]|[{_AS_LETTER}](?=[^\\W_])")
_PICTURE_INSIDE = re.compile(f"(?<=[^\\W_])[{_PICTURE}]+(?=[^\\W_])")
# Marks belong to the word they stand in; every Han character is a token, since no space parts words there.
_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_MARKS = "".join(chr(code) for code in range(0x300, 0x1F000) if unicodedata.category(chr(code)) in ("Mn", "Mc"))
_TOKEN = re.compile(f"[{_HAN}]|[^\\W_{_HAN}](?:[^\\W_{_HAN}]|[{_MARKS}])*")
_FOREIGN = re.compile("[" + "".join(map(chr, FOREIGN)) + "]")
_MARKS_ON_LATIN = re.compile(f"(?<=[a-z0-9])[{_MARK}]+")
# Single letters, each a separator apart: the same one throughout, or any. The letter after an apostrophe is no start.
_SEPARATOR = r"[ .,\-_*/\\|·•~'\"+:;]"
_APART = re.compile(
    rf"(?<![^\W_])(?<![^\W_]['’])[^\W_](?P<gap>{_SEPARATOR})[^\W_](?![^\W_])(?:(?P=gap)[^\W_](?![^\W_]))+"
)
_APART_ANYHOW = re.compile(rf"(?<![^\W_])(?<![^\W_]['’])[^\W_](?:{_SEPARATOR}[^\W_](?![^\W_])){{2,}}")
_NOT_LETTERS = re.compile(r"[\W_]+")
_LEET_WORD = re.compile(r"[a-z0-9@$€£|+!]+")
_QUANTITY = re.compile(
    r"\d+[a-z]{0,3}|[a-z]{1,3}\d+|\d+(?:st|nd|rd|th)|[a-z]\d+[a-z]?\d*|\d+[x+]\d+[a-z]*|[0-9+|!$€£@]+"
)
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
        )


@dataclass(frozen=True, slots=True)
class FoldedText:
    """A text as a classifier should read it.

    `original`: as it came. `folded`: the plain reading. `variants`: other readings of the same text, the most decoded
    one last; each differs from `folded` and from the others. `runs`: the letters that stood apart, joined
    (`n u d e` gives `nude`), because where words end inside such a run is anybody's guess.
    """

    original: str
    folded: str
    variants: tuple[str, ...] = ()
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
    wide, mixed, stacked = _settle(text)
    folded = _narrow(wide)

    # The variants, each read on from the one before.
    latin = _all_lookalikes(text, wide) if _FOREIGN.search(wide) else wide
    named = _PICTURES.sub(_name, latin)
    spelled, pictures = _unpictured(latin)
    bare = _without_accents(spelled) if _ACCENTED.search(spelled) else spelled
    runs = tuple(_closed(match) for match in _APART_ANYHOW.finditer(bare))
    joined = _APART.sub(_closed, bare)
    anyhow = _APART_ANYHOW.sub(_closed, bare)
    as_l, leet = _read_leet(joined, LEET)
    as_i = _read_leet(joined, LEET_I)[0] if leet else joined
    readings = [latin, named, bare, anyhow, joined, as_l, as_i]
    stretched = sum(1 for _ in _STRETCHED.finditer(joined))
    if _STRETCHED.search(as_i):
        readings.append(_STRETCHED.sub(r"\1\1", as_i))
        readings.append(_STRETCHED.sub(r"\1", as_i))
    variants = tuple(dict.fromkeys(reading for reading in map(_narrow, readings) if reading != folded))

    signals = Signals(hidden, mixed, sum(map(len, runs)), leet, stretched, stacked, pictures)
    return FoldedText(text, folded, variants, runs, signals)


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


def _all_lookalikes(text: str, wide: str) -> str:
    """`wide` with every word mapped that could be Latin letters throughout, whatever script it is written in."""
    # Capitals have shapes of their own, so the words are taken from the text before its case was folded.
    cased = unicodedata.normalize("NFKC", _unstack(_INVISIBLES.sub("", _CONTROLS.sub(" ", text)))[0])
    cased = _mixed_words(cased.translate(COSTUME))[0]

    def latin(match: re.Match[str]) -> str:
        mapped = match.group().translate(FOREIGN)
        return mapped if mapped.isascii() else match.group()

    return _settle(_WORD.sub(latin, cased))[0]


def tokens(text: str) -> list[str]:
    """The words of a reading: runs of letters and digits with their marks; every Han character is one by itself."""
    return _TOKEN.findall(text)


def _name(match: re.Match[str]) -> str:
    """A picture in Unicode's words, without skin tones and other modifiers."""
    name = unicodedata.name(match.group(), "").lower()
    return " " if name.startswith("emoji modifier") else f" {name} "


def _unpictured(text: str) -> tuple[str, int]:
    """`text` with pictures inside words read as the letter they look like, or not at all; how many there were."""
    spelled, letters = _LETTER_PICTURE.subn(lambda match: PICTURED[ord(match.group())], text)
    spelled, others = _PICTURE_INSIDE.subn("", spelled)
    return spelled, letters + others


def _without_accents(text: str) -> str:
    text = text.translate(SPELLINGS)
    bare = _MARKS_ON_LATIN.sub("", unicodedata.normalize("NFD", text).translate(STROKED))
    return unicodedata.normalize("NFC", bare)


def _read_leet(text: str, table: dict[int, str]) -> tuple[str, int]:
    count = 0

    def letters(match: re.Match[str]) -> str:
        nonlocal count
        token = match.group()
        word = token.rstrip("!")  # there it is an exclamation mark
        if word.isalpha() or not word or _QUANTITY.fullmatch(word):
            return token
        count += 1
        return word.translate(table) + token[len(word) :]

    return _LEET_WORD.sub(letters, text), count


def _closed(match: re.Match[str]) -> str:
    return _NOT_LETTERS.sub("", match.group())


def _narrow(text: str) -> str:
    return _SPACES.sub(" ", text).strip()
