"""The head before any training: the written definitions themselves, embedded."""

import tomllib
from pathlib import Path

import numpy

from moderation.prompt_folding import fold
from moderation.semantic.head import Head
from moderation.sentence_encoder import SentenceEncoder


def definition_head(encoder: SentenceEncoder) -> Head:
    """One row per sentence of `definitions.toml`; bias 0, not calibrated."""
    data = tomllib.loads((Path(__file__).parent / "definitions.toml").read_text())
    owners = [(category, sentence) for category, sentences in data["unsafe"].items() for sentence in sentences]
    unsafe = encoder.embed_windows([fold(sentence).folded for _, sentence in owners])
    safe = encoder.embed_windows([fold(sentence).folded for sentence in data["safe"]["definitions"]])
    return Head(numpy.concatenate(unsafe), numpy.concatenate(safe), tuple(category for category, _ in owners), bias=0.0)
