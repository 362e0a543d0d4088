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
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy
from pydantic import BaseModel, ConfigDict, Field

from moderation.prompt_folding import FoldedText
from moderation.prompt_passages import passages, unframed
from moderation.prompt_spelling import english, put_right
from moderation.semantic.head import Array, Channel, load_head
from moderation.sentence_encoder import SentenceEncoder
from policies.findings import Finding, Stage

SHIPPED = Path(__file__).parent / "semantic"

DOUBT = 1.0
"""Taken off the logit of a passage judged alone, out of its context. At 1.0 no prompt of DrawBench and no COCO caption
is held that passes whole; at 0.75 one is, of 200 and 4,000. Padding hides 18 of 100 harmful prompts, 42 without this.
"""


class SemanticPart:
    """The semantic prompt classifier. Any number of threads may call it at once."""

    name: ClassVar[str] = "semantic"
    version: str = "2"  # of an instance: its weights'

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
        decoded one, of that without slips of the finger and without frames; and, with `DOUBT`, of their passages. The
        score of the nearest category is the probability of harm, on the mixture the head was calibrated on; the others
        are scaled down by how much farther their definitions are. A text without words scores 0.
        """
        decoded = text.readings[-1]
        right = put_right(decoded, english())
        readings = tuple(dict.fromkeys((text.folded, decoded, right, unframed(decoded), unframed(right))))
        joined = "\0".join(readings).encode("utf-8", "surrogatepass")
        key = hashlib.blake2b(joined, digest_size=16, key=self._key).digest()
        with self._known_lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        findings = self._findings(readings)
        with self._known_lock:
            self._known[key] = findings
            while len(self._known) > self._room:
                self._known.popitem(last=False)
        return findings

    def _findings(self, readings: tuple[str, ...]) -> tuple[Finding, ...]:
        whole = self._scores(readings)
        alone = self._scores(tuple(dict.fromkeys(passage for reading in readings for passage in passages(reading))))
        # Step 3 of `head.py` with DOUBT off the logit, for odds: p / (p + (1 - p) e^DOUBT).
        alone = (alone / (alone + (1.0 - alone) * math.exp(DOUBT))).astype(numpy.float32)
        scores = numpy.concatenate([whole, alone, numpy.zeros((1, len(self._head.categories)), numpy.float32)])
        facts = (("windows", str(len(whole) + len(alone))),)
        return tuple(
            Finding(category, min(1.0, float(score)), Stage.PROMPT, self.name, self.version, facts)
            for category, score in sorted(zip(self._head.categories, scores.max(axis=0), strict=True))
        )

    def _scores(self, texts: Sequence[str]) -> Array:
        """(windows, categories) of all texts, one after another."""
        windows = [found for found in self._encoder.cosines(texts) if len(found)]
        if not windows:
            return numpy.zeros((0, len(self._head.categories)), numpy.float32)
        return self._head.scores(numpy.concatenate(windows), self._channel)
