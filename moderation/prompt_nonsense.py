"""Part `nonsense`: strings that are no words, appended or slipped in to confuse what reads the prompt.

Such attacks (Zou et al., "Universal and Transferable Adversarial Attacks on Aligned Language Models", 2023; Yang et
al., "SneakyPrompt", 2024) leave letters in an order no language has, or signs and capitals inside words. Counted are
the bits by which unknown words are more surprising than words are (`letter_triples.py`), and signs inside words.
Made-up words that sound like words are not found: names sound like that, too.
"""

import re
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from moderation.text.folding import FoldedText
from moderation.text.letter_triples import surprise
from moderation.text.lexicon import is_word
from policies.findings import Category, Finding, Stage

SHORTEST = 4
"""Letters: shorter words are abbreviations as often as not."""

USUAL_BITS = 3.6
"""Bits per letter. Of names and foreign words in the public prompts 3 % are above it, of random letters 95 %."""

SIGN_BITS = 8.0
"""For signs or a capital inside a word: about what a random word of six letters counts."""

HALF_BITS = 18.0
"""Bits that score 0.5: seven of 9,045 public prompts reach them (moderation/README.md)."""

_WORD = re.compile(r"(?<![^\W\d_])[^\W\d_]{4,40}(?![^\W\d_])")
_ODD = re.compile(r"[^\W\d_][\][{}<>\\|=*#;!?\"]+[^\W\d_]|[^\w\s.,'’:!?*-]{3,}|[a-z][A-Z][a-z]|[\])}][(\[{]|\\[^\w\s]")


class NonsensePart:
    """Stateless; any number of threads may call it."""

    name: ClassVar[str] = "nonsense"
    version: ClassVar[str] = "1"
    steady: ClassVar[bool] = True

    class Options(BaseModel):
        """None."""

        model_config = ConfigDict(frozen=True, extra="forbid")

    def __init__(self, options: Options) -> None:
        """Loads the tables."""
        surprise("word")
        is_word("word")

    @property
    def categories(self) -> frozenset[str]:
        """`evasion`."""
        return frozenset({Category.EVASION.value})

    def classify(self, text: FoldedText) -> tuple[Finding, ...]:
        """One finding: bits / (bits + `HALF_BITS`), in [0, 1). Fact: how many words counted.

        The most decoded reading is judged where something was encoded, so that a code is not taken for nonsense.
        """
        subject = text.readings[-1] if text.signals.encoded_fragments else text.original
        words = {word.lower() for word in _WORD.findall(subject) if not is_word(word.lower())}
        excess = [(surprise(word) - USUAL_BITS) * len(word) for word in words if surprise(word) > USUAL_BITS]
        bits = sum(excess) + SIGN_BITS * len(_ODD.findall(subject))
        score = bits / (bits + HALF_BITS)
        facts = (("words", str(len(excess))),)
        return (Finding(Category.EVASION.value, score, Stage.PROMPT, self.name, self.version, facts),)
