"""Folds a text to the form in which it is read: one spelling for many disguises. Pure, bounded, linear in the text."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Signals:
    """How much had to be undone. Counts, never the text they were counted in."""

    invisible_characters: int = 0
    mixed_script_words: int = 0
    spaced_letters: int = 0
    leet_words: int = 0
    stretched_words: int = 0


@dataclass(frozen=True, slots=True)
class FoldedText:
    """A text as a classifier should read it.

    `original`: as it came. `folded`: the plain reading. `variants`: other readings of the same text (look-alikes
    mapped to Latin, accents dropped, spaced letters joined, digits read as letters, stretched letters shortened);
    each differs from `folded` and from the others.
    """

    original: str
    folded: str
    variants: tuple[str, ...] = ()
    signals: Signals = Signals()
