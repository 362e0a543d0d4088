"""Reads what is written in a code that a model, or a person with a web page, reads back. Pure, bounded, linear.

Codes: percent, HTML and backslash escapes, hexadecimal, binary and decimal character codes, base64, base32, Morse, and
what `prompt_alphabets.py` reads. A fragment is read where what comes out is text: printable letters and spaces; where a
code is short, English words.
"""

import base64
import binascii
import html
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

from moderation.text.alphabets import swapped
from moderation.text.lexicon import is_frequent

DEPTH = 2
"""Codes within codes that are undone."""

LONGEST = 20_000
"""Characters looked at; what stands behind them is left as it came."""

SHORTEST = 4
"""Letters or bytes: shorter fragments come out as words by chance."""

CLEAR_BYTES = 9
"""Bytes from which only text comes out as text: at random, one fragment in a million does."""

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_SIGNS = (
    ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --.. "
    "----- .---- ..--- ...-- ....- ..... -.... --... ---.. ----."
)
_MORSE = dict(zip(_SIGNS.split(), _LETTERS + "0123456789", strict=True))
"""ITU-R M.1677-1, part I, section 1.1."""

_DOTS = str.maketrans("·•∙●–—−‒_", "....-----")
_ESCAPE = (
    r"\\U([0-9a-fA-F]{8})|\\[uU]\{([0-9a-fA-F]{2,6})\}|(?:\\u|[uU]\+)([0-9a-fA-F]{4}) ?"
    r"|\\x\{?([0-9a-fA-F]{2})\}?|\\([0-7]{3})"
)
_ENTITY = r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z]{2,8});"
_SEPARATOR = r"[\s,;:_\-]"
_HEX = re.compile(rf"(?<![^\W_])(?:(?:0x)?[0-9a-f]{{2}}{_SEPARATOR}{{0,2}}){{4,}}(?![^\W_])", re.IGNORECASE)
_BINARY = re.compile(rf"(?<!\d)(?:[01]{{8}}{_SEPARATOR}{{0,2}}|[01]{{7}}{_SEPARATOR}{{1,2}}){{3,}}[01]{{0,8}}(?!\d)")
_DECIMAL = re.compile(rf"(?<!\d)(?:1?\d{{2}}{_SEPARATOR}{{1,2}}){{3,}}1?\d{{2}}(?!\d)")
_DOTTED = re.compile(r"(?<![.\w-])[.\-]{1,5}(?:[ /|]{1,3}[.\-]{1,5}){3,}(?![.\w-])")
_BASE64 = re.compile(r"[A-Za-z0-9+/_\-]{3,}={0,2}(?:\s+[A-Za-z0-9+/_\-]+={0,2})*")
_BASE32 = re.compile(r"(?<![^\W_])[A-Z2-7]{16,}=*")
_WORD = re.compile(r"(?<![^\W\d_])[A-Za-z]+(?![^\W\d_])")
_MAYBE_CODED = re.compile(
    r"[a-z0-9+/\-][A-Z]|\d[A-Za-z]|[01]{7}|\d\d\W{1,2}\d\d\W|[%&\\=]|[uU]\+|[.\-·•–—_] ?[.\-·•–—_/|]"
)


@dataclass(frozen=True, slots=True)
class Decoded:
    """`whole`: the text with its coded fragments read where they stand. `alone`: what was in code, without the rest."""

    whole: str
    alone: str
    fragments: int


def decoded(text: str) -> Decoded | None:
    """What `text` says with its coded fragments read; None if it has none.

    `text`: as it came, without invisible characters, its case untouched. Codes within codes are undone to `DEPTH`.
    """
    head, rest = text[:LONGEST], text[LONGEST:]
    fragments: list[str] = []
    count = 0
    for _ in range(DEPTH):
        before = head
        for read in (_characters, swapped):
            head, found = read(head)
            fragments = found or fragments  # a code within a code takes its place
            count += len(found)
        if head == before:
            break
    if not count:
        return None
    return Decoded(head[: 2 * LONGEST] + rest, ". ".join(fragments)[: 2 * LONGEST], count)


def _characters(text: str) -> tuple[str, list[str]]:
    found: list[str] = []
    if not _MAYBE_CODED.search(text):
        return text, found
    for pattern, read in _READERS:

        def replaced(match: re.Match[str], read: Callable[[re.Match[str]], str | None] = read) -> str:
            plain = read(match)
            if plain is None or plain == match.group():
                return match.group()
            found.append(_new(match.group(), plain))
            return plain

        text = pattern.sub(replaced, text)
    return text, found


def _new(before: str, after: str) -> str:
    """`after` without the words that stood in `before` already, in front and behind."""
    old, new = before.split(), after.split()
    for end in (0, -1):
        while old and new and old[end] == new[end]:
            del old[end], new[end]
    return " ".join(new)


def _percent(match: re.Match[str]) -> str | None:
    plain = unquote(match.group(), errors="replace")
    return None if "\ufffd" in plain else plain


def _entities(match: re.Match[str]) -> str | None:
    return html.unescape(match.group())


def _escapes(match: re.Match[str]) -> str | None:
    return re.sub(_ESCAPE, _escaped, match.group())


def _escaped(match: re.Match[str]) -> str:
    octal = match.group(5)
    code = int(octal, 8) if octal else int(next(filter(None, match.groups())), 16)
    return chr(code) if 32 <= code < 0x110000 and not 0xD800 <= code < 0xE000 else " "


def _hexadecimal(match: re.Match[str]) -> str | None:
    return _read_bytes(
        bytes(int(pair, 16) for pair in re.findall("[0-9a-f]{2}", match.group().lower().replace("0x", "")))
    )


def _binary(match: re.Match[str]) -> str | None:
    digits = re.findall("[01]+", match.group())
    eights = [joined[place : place + 8] for joined in digits for place in range(0, len(joined), 8)]
    return _read_bytes(bytes(int(eight, 2) for eight in eights))


def _decimal(match: re.Match[str]) -> str | None:
    return _read_bytes(bytes(int(number) for number in re.findall(r"\d+", match.group())))


def _base64(match: re.Match[str]) -> str | None:
    """A run of tokens: all of it as one (broken into lines or groups), else each token alone."""
    run = match.group()
    tokens = run.split()
    # In base64 of a text the case changes within nearly every group; an English word's does not.
    mixed = [not (token.islower() or (token.isalpha() and token[1:].islower())) for token in tokens]
    if not any(mixed):
        return None
    if len(tokens) > 1 and 2 * sum(mixed) >= len(tokens) and (plain := _from_base64("".join(tokens))) is not None:
        return plain
    first, last = mixed.index(True), len(mixed) - mixed[::-1].index(True)
    if last - first > 1 and (plain := _from_base64("".join(tokens[first:last]))) is not None:
        return " ".join([*tokens[:first], plain, *tokens[last:]])
    read = [_from_base64(token) if odd else None for token, odd in zip(tokens, mixed, strict=True)]
    if not any(read):
        return None
    return " ".join(plain or token for plain, token in zip(read, tokens, strict=True))


def _from_base64(token: str) -> str | None:
    bare = token.replace("=", "").replace("-", "+").replace("_", "/")
    if len(bare) < SHORTEST * 4 // 3 + 1 or len(bare) % 4 == 1:
        return None
    try:
        return _read_bytes(base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True))
    except binascii.Error:
        return None


def _base32(match: re.Match[str]) -> str | None:
    bare = match.group().rstrip("=")
    try:
        return _read_bytes(base64.b32decode(bare + "=" * (-len(bare) % 8)))
    except binascii.Error:
        return None


def _morse(match: re.Match[str]) -> str | None:
    words = re.split(r" {2,}|\s*[/|]\s*", match.group())
    plain = " ".join("".join(_MORSE.get(sign, "?") for sign in word.split()) for word in words)
    return plain if "?" not in plain and len(plain) >= SHORTEST else None


_READERS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str | None]], ...] = (
    (re.compile("(?:%[0-9a-fA-F]{2})+"), _percent),
    (re.compile(f"(?:{_ENTITY})+"), _entities),
    (re.compile(f"(?:{_ESCAPE})+"), _escapes),
    (_BINARY, _binary),
    (_HEX, _hexadecimal),
    (_DECIMAL, _decimal),
    (_BASE32, _base32),
    (_BASE64, _base64),
    (_DOTTED, _morse),
)


def _read_bytes(data: bytes) -> str | None:
    """The text these bytes hold, or None if they hold anything else."""
    try:
        plain = data.decode()
    except UnicodeDecodeError:
        return None
    if len(plain) < SHORTEST or not all(letter.isprintable() or letter in "\n\t" for letter in plain):
        return None
    wordlike = sum(letter.isalpha() or letter == " " for letter in plain)
    if wordlike < 0.75 * len(plain):
        # Perhaps a code within: then it has no spaces, and nothing but the signs of a code.
        coded = len(data) >= 2 * CLEAR_BYTES and re.fullmatch(r"[\w+/=%&#;\\.\- |]+", plain, re.ASCII)
        return plain if coded else None
    if len(data) >= CLEAR_BYTES or all(map(is_frequent, _WORD.findall(plain.lower()))):
        return plain
    return None
