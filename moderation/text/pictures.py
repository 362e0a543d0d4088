"""Reads pictures (emoji) as what they stand for: a letter inside a word, the thing itself elsewhere. Pure, linear."""

import re
import unicodedata

from moderation.text.lookalikes import PICTURE_WORDS, PICTURED

_PICTURE = "\u2600-\u27bf\u2b00-\u2bff\U0001f300-\U0001faff"
_PICTURES = re.compile(f"[{_PICTURE}]")
_AS_LETTER = "".join(map(chr, PICTURED))
_LETTER_PICTURE = re.compile(f"(?<=[^\\W_])[{_AS_LETTER}]|[{_AS_LETTER}](?=[^\\W_])")
_PICTURE_INSIDE = re.compile(f"(?<=[^\\W_])[{_PICTURE}]+(?=[^\\W_])")


def named(text: str) -> str:
    """`text` with every picture in words: our own for what Unicode names oddly, else Unicode's."""
    return _PICTURES.sub(_name, text)


def unpictured(text: str) -> tuple[str, int]:
    """`text` with pictures inside words read as the letter they look like, or not at all; how many there were."""
    spelled, letters = _LETTER_PICTURE.subn(lambda match: PICTURED[ord(match.group())], text)
    spelled, others = _PICTURE_INSIDE.subn("", spelled)
    return spelled, letters + others


def _name(match: re.Match[str]) -> str:
    """Without skin tones and other modifiers."""
    name = PICTURE_WORDS.get(match.group()) or unicodedata.name(match.group(), "").lower()
    return " " if name.startswith("emoji modifier") else f" {name} "
