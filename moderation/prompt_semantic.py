"""Part `semantic`: what a prompt means, by a trained encoder's distance to written definitions of harm and of calm.

The encoder is a fine-tuned all-MiniLM-L6-v2, served as int8 ONNX; weights, card and training are in
`moderation/semantic`. Long prompts are read whole, window by window; the highest window counts. What stands around the
harm dilutes it, so sentences are read alone too, and the text without its frames. Serving needs neither torch nor
transformers.
"""

import hashlib
import math
import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy
from pydantic import BaseModel, ConfigDict, Field

from moderation.semantic.encoder import SentenceEncoder
from moderation.semantic.head import Array, Channel, load_head
from moderation.text.folding import FoldedText, tokens, without_accents
from moderation.text.passages import passages, unframed
from policies.findings import Finding, Stage

SHIPPED = Path(__file__).parent / "semantic"

DOUBT = 0.5
"""Taken off the logit of a passage judged alone, out of its context. At the threshold `refuse`, none of 2,500 COCO
captions, 1 of 200 DrawBench and 3 of 984 Krea prompts pass whole and are stopped for a passage; calm sentences around
them hide 12 to 18 of 100 harmful prompts, 22 to 30 with a doubt of 1.
"""

HIDDEN = 1.5
"""Added to the logit where a good part of a text was decoded or guessed: nobody writes honest prompts backwards."""

HIDDEN_SHARE = 0.25
"""Share of the letters of the last reading, `HIDDEN_LETTERS` at least, in words that do not stand in the text as it
came. 11 of 4,453 harmless English texts reach it, most of them misspelled, and 19 of 400 French captions; of 150 texts
without vowels, masked or with typing errors 147 to 149, with a letter missing 119, written by ear 19.
"""

HIDDEN_LETTERS = 12
LONGEST_WORD = 24
"""Letters: longer words are several without spaces."""


class SemanticPart:
    """The semantic prompt classifier. Any number of threads may call it at once."""

    name: ClassVar[str] = "semantic"
    version: str = "3"  # of an instance: its weights'
    steady = True
    languages: ClassVar[frozenset[str]] = frozenset({"en"})  # in others it ranks hardly better than chance

    class Options(BaseModel):
        """`model`: MiniLM's folder (default: the installed package's). `weights`: folder of the trained model (default:
        ours). `channel`: what is screened; it decides the calibration.
        """

        model_config = ConfigDict(frozen=True, extra="forbid")
        model: Path | None = None
        weights: Path = SHIPPED
        channel: Channel = "image_prompt"
        cached_prompts: int = Field(4096, ge=0, le=1_000_000)

    def __init__(self, options: Options) -> None:
        """Raises `PartUnusable` if MiniLM or the weights are missing or not the pinned ones."""
        self._head = load_head(options.weights)
        self._channel = options.channel
        self.version = self._head.version
        self._encoder = SentenceEncoder(options.weights, options.model)
        self._room = options.cached_prompts
        self._known: OrderedDict[bytes, tuple[Finding, ...]] = OrderedDict()
        self._known_lock = threading.Lock()
        # Keyed with a secret of this process, so that equal prompts cannot be recognised across processes.
        self._key = secrets.token_bytes(32)

    @property
    def categories(self) -> frozenset[str]:
        """The categories the head has definitions for."""
        return frozenset(self._head.categories)

    def classify(self, text: FoldedText) -> tuple[Finding, ...]:
        """One finding per category: the highest calibrated score over all windows of the plain reading, of the most
        decoded one and of that without frames; with `DOUBT`, of their passages; and with `HIDDEN` if the text hides
        what it says. The score of the nearest category is the probability of harm, on the mixture the head was
        calibrated on; the others are scaled down by how much farther their definitions are. A text without words
        scores 0.
        """
        # What was written in a code is read where it stands and by itself.
        decoded = text.readings[-2:] if text.signals.encoded_fragments else text.readings[-1:]
        readings = tuple(dict.fromkeys((text.folded, *decoded, *map(unframed, decoded))))
        joined = "\0".join(readings).encode("utf-8", "surrogatepass")
        key = hashlib.blake2b(joined, digest_size=16, key=self._key).digest()
        with self._known_lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        # The plain reading of a text that hides what it says is noise, and none of what it says.
        hidden = is_hidden(text)
        scores = [self._read(readings[:1], 0.0), self._read(readings[1:], HIDDEN)] if hidden else [self._read(readings)]
        findings = self._findings(numpy.concatenate(scores))
        with self._known_lock:
            self._known[key] = findings
            while len(self._known) > self._room:
                self._known.popitem(last=False)
        return findings

    def _read(self, readings: tuple[str, ...], hidden: float = 0.0) -> Array:
        """(windows, categories) of `readings` and their passages; `hidden` is added to the logit."""
        alone = tuple(dict.fromkeys(passage for reading in readings for passage in passages(reading)))
        return numpy.concatenate([_moved(self._scores(readings), hidden), _moved(self._scores(alone), hidden - DOUBT)])

    def _findings(self, scores: Array) -> tuple[Finding, ...]:
        facts = (("windows", str(len(scores))),)
        highest = scores.max(axis=0, initial=0.0)
        return tuple(
            Finding(category, min(1.0, float(score)), Stage.PROMPT, self.name, self.version, facts)
            for category, score in sorted(zip(self._head.categories, highest, strict=True))
        )

    def _scores(self, texts: Sequence[str]) -> Array:
        """(windows, categories) of all texts, one after another."""
        windows = [found for found in self._encoder.cosines(texts) if len(found)]
        if not windows:
            return numpy.zeros((0, len(self._head.categories)), numpy.float32)
        return self._head.scores(numpy.concatenate(windows), self._channel)


def _moved(scores: Array, by: float) -> Array:
    """`scores` with their logits moved, for odds: p / (p + (1 - p) e^-by)."""
    moved: Array = (scores / (scores + (1.0 - scores) * math.exp(-by))).astype(numpy.float32)
    return moved


def is_hidden(text: FoldedText) -> bool:
    """Whether a good part of the last reading is words that do not stand in the text. Accents, and compounds taken
    apart, do not count.
    """
    if not text.variants:
        return False
    stood = tokens(without_accents(text.folded))
    parts = {part for word in stood if len(word) <= LONGEST_WORD for part in _ends(word)}
    words = tokens(text.readings[-1])
    hidden = sum(len(word) for word in words if word not in parts)
    return hidden >= max(HIDDEN_LETTERS, HIDDEN_SHARE * sum(map(len, words)))


def _ends(word: str) -> Iterator[str]:
    for place in range(len(word)):
        yield word[place:]
        yield word[: place + 1]
