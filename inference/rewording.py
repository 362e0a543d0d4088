"""Puts a prompt into the words of a model's vocabulary: what it names that can be drawn, and nothing else. Pure.

1. Read the longest phrases first: places, things, colours, sizes, what stands between two things, known words; then
   words that come near to one of these.
2. A prompt that consists of known phrases, with one place and not too many things, stays as it is.
3. Any other is said anew: its things with their sizes and colours, then its first place.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from inference.vocabulary import Place, Thing, Vocabulary, thing_and_place

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_MOST_NAMED = 12
"""Unknown words that are named; the caller has the prompt, and an answer is no place to repeat it."""


@dataclass(frozen=True, slots=True)
class Reworded:
    """`prompt`: what to draw, in words the model knows; None if nothing of it can be drawn. `unknown`: words that are
    not drawn, each once, as the caller wrote them."""

    prompt: str | None
    unknown: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Found:
    """One phrase of the prompt. `kind`: thing, place (behind a thing), alone (a place), colour, size, order,
    background, known, near or unknown."""

    kind: str
    text: str
    thing: Thing | None = None
    place: Place | None = None


class Reworder:
    """Knows one vocabulary. Any threads may ask it."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._phrases = _Phrases(vocabulary)

    def reword(self, prompt: str) -> Reworded:
        """`prompt` in the words of the vocabulary; see the top."""
        found = tuple(_read(prompt, self._phrases))
        things = [each.thing for each in found if each.thing is not None]
        # Beside things, where they are comes first; alone, what the picture is of.
        kinds = ("place", "near", "alone") if things else ("alone", "near", "place")
        places = [each.place for kind in kinds for each in found if each.kind == kind and each.place is not None]
        unknown = tuple(dict.fromkeys(each.text for each in found if each.kind == "unknown"))[:_MOST_NAMED]
        if not things and not places:
            spoken = unknown or tuple(dict.fromkeys(each.text for each in found))[:_MOST_NAMED]
            return Reworded(None, spoken)
        if self._is_plain(found, things, places):
            return Reworded(prompt, ())
        return Reworded(_said_anew(found, places[0] if places else None, self.vocabulary), unknown)

    def readable(self, prompt: str) -> str:
        """`prompt` with every word it does not know as one that means nothing, for whoever counts its length."""
        return _WORD.sub(lambda word: word[0] if self._phrases.knows(word[0].lower()) else "the", prompt)

    def _is_plain(self, found: tuple[_Found, ...], things: list[Thing], places: list[Place]) -> bool:
        """Whether the model reads it as it is."""
        if any(each.kind in ("near", "unknown") for each in found):
            return False
        if len(things) > self.vocabulary.most_things or len(set(things)) < len(things) or len(places) > 1:
            return False
        # A place's own name beside a thing ("a fox, a forest") is said as where the thing is.
        return not things or not any(each.kind == "alone" for each in found)


def _said_anew(found: tuple[_Found, ...], place: Place | None, vocabulary: Vocabulary) -> str:
    said: list[str] = []
    drawn: list[tuple[str, ...]] = []
    order, size, colour, ground = "", "", "", place.phrases[0] if place else ""
    for each in found:
        if each.kind == "size":
            size = each.text + " "
        elif each.kind == "colour":
            colour = each.text + " "
        elif each.kind == "background":
            if colour and not ground:
                ground = f"on {_article(colour)}{colour}{each.text}"
            colour = ""
        elif each.kind == "order" and len(said) == 1:
            order = each.text
        elif each.thing is not None:
            if len(said) < vocabulary.most_things and each.thing.words not in drawn:
                drawn.append(each.thing.words)
                said.append(_named(each.thing, size + (colour if each.thing.coloured else "")))
            size, colour = "", ""
    if not said:
        return place.alone[0] if place else ""
    if len(said) == 2 and order:
        words = f"{said[0]} {order} {said[1]}"
    else:
        words = " and ".join(filter(None, (", ".join(said[:-1]), said[-1])))
    return f"{words} {ground}" if ground else words


def _named(thing: Thing, qualities: str) -> str:
    words = qualities + thing.words[0]
    return words if thing.plural else _article(words) + words


def _article(words: str) -> str:
    return "an " if words[0] in "aeiou" else "a "


def _read(prompt: str, phrases: "_Phrases") -> Iterator[_Found]:
    written = _WORD.findall(prompt)
    words = [word.lower().replace("’", "'") for word in written]
    at = 0
    while at < len(words):
        for length in range(min(phrases.longest, len(words) - at), 0, -1):
            known = phrases.find(" ".join(words[at : at + length]))
            if known is not None:
                yield known
                break
        else:
            length = 1
            if not any(letter.isdigit() for letter in words[at]):  # sizes and makes such as 4k are no things
                yield _Found("unknown", written[at])
        at += length


class _Phrases:
    """Every phrase of a vocabulary by its words."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        table: dict[str, _Found] = {word: _Found("known", word) for word in vocabulary.known}
        table |= {word: _Found("order", word) for word in vocabulary.orders}
        table |= {word: _Found("size", word) for word in vocabulary.sizes}
        table |= {word: _Found("colour", word) for word in vocabulary.colours}
        table |= {word: _Found("background", word) for word in vocabulary.backgrounds}
        places = {place.name: place for place in vocabulary.places}
        for place in vocabulary.places:
            table |= {_bare(words): _Found("alone", words, place=place) for words in place.alone}
            table |= {words: _Found("place", words, place=place) for words in place.phrases}
        things = {word: thing for thing in vocabulary.things for word in thing.words}
        table |= {word: _Found("thing", word, thing=thing) for word, thing in things.items()}
        self._words = frozenset(word for phrase in table for word in phrase.split())
        for word, nearest in vocabulary.near.items():
            if word not in table or table[word].kind == "known":
                named, where = thing_and_place(nearest)
                table[word] = _Found("near", word, things.get(named), places.get(where))
        self._table = table
        self.longest = max(len(phrase.split()) for phrase in table)

    def knows(self, word: str) -> bool:
        """Whether it is a word of some phrase, other than one that is near to it."""
        return word in self._words

    def find(self, phrase: str) -> _Found | None:
        """What the phrase is, also in the plural, which is nothing a model knows."""
        found = self._table.get(phrase)
        if found is not None:
            return found
        for ending, instead in (("ies", "y"), ("es", ""), ("s", "")):
            if phrase.endswith(ending) and len(phrase) > len(ending) + 2:
                one = self._table.get(phrase.removesuffix(ending) + instead)
                if one is not None and (one.thing is not None or one.place is not None):
                    return _Found("near", phrase, one.thing, one.place)
        return None


def _bare(words: str) -> str:
    """Without the article, which a caller may leave out or put another word behind."""
    for article in ("a ", "an ", "the "):
        words = words.removeprefix(article)
    return words
