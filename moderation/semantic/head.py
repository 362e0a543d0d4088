"""From a text's cosines to the written definitions to a probability per category. Pure numpy; owns the shipped card.

`model.json` names the files by SHA-256, says which prototype means what, and holds one calibration per channel: the
questions of a chat score lower as a class than image prompts of equal harm. How a score comes about:
1. smax(rows) = logsumexp(sharpness * cosines) / sharpness, over the unsafe prototypes and over the safe ones,
2. logit = scale * (smax(unsafe) - smax(safe)) + bias,
3. p = sigmoid(slope * logit + offset) of the channel: calibrated on equally many harmful and harmless texts,
4. a category scores p * exp(sharpness * (smax(its rows) - smax(best category's rows))), so the best category scores p.
"""

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy
import numpy.typing

from moderation.errors import PartUnusable
from policies.findings import Category

Array = numpy.typing.NDArray[numpy.float32]
Channel = Literal["image_prompt", "chat_text"]

SHARPNESS = 20.0
SCALE = 15.0
"""Both from the definition head measured in prototyping: they decide how much the nearest definition counts alone."""

CARD = "model.json"
ONNX = "model.onnx"
REFERENCE = "reference.safetensors"


@dataclass(frozen=True, slots=True)
class Line:
    """One channel's calibration."""

    slope: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True)
class Head:
    """`owners`: the category of each unsafe prototype, which stand first in a row of cosines."""

    owners: tuple[str, ...]
    bias: float
    lines: Mapping[Channel, Line]
    version: str = "untrained"

    @functools.cached_property
    def categories(self) -> tuple[str, ...]:
        """In the order of the columns of `scores`."""
        return tuple(dict.fromkeys(self.owners))

    @functools.cached_property
    def _owned(self) -> Array:
        """(prototypes, categories): 1 where a prototype is the category's."""
        owned: Array = numpy.equal.outer(self.owners, self.categories).astype(numpy.float32)
        return owned

    def nearness(self, cosines: Array) -> Array:
        """(windows, categories): smax over each category's rows. `cosines`: (windows, prototypes), unsafe first."""
        unsafe = cosines[:, : len(self.owners)]
        top = unsafe.max(axis=1, keepdims=True)
        # Cosines are at most 2 apart, so that nothing falls to 0 beside the highest: exp(-40) is a float32.
        nearness: Array = top + numpy.log(numpy.exp(SHARPNESS * (unsafe - top)) @ self._owned) / SHARPNESS
        return nearness

    def logits(self, cosines: Array) -> Array:
        """(windows,): step 2, before calibration. `cosines`: (windows, prototypes), unsafe first."""
        count = len(self.owners)
        return SCALE * (_smax(cosines[:, :count]) - _smax(cosines[:, count:])) + numpy.float32(self.bias)

    def harm(self, cosines: Array, channel: Channel) -> Array:
        """(windows,): step 3, the probability of harm. `cosines`: (windows, prototypes), unsafe first."""
        line = self.lines[channel]
        probability: Array = 1.0 / (1.0 + numpy.exp(-(line.slope * self.logits(cosines) + line.offset)))
        return probability

    def scores(self, cosines: Array, channel: Channel) -> Array:
        """(windows, categories), each in [0, 1]. `cosines`: (windows, prototypes), unsafe first."""
        nearness = self.nearness(cosines)
        share = numpy.exp(SHARPNESS * (nearness - nearness.max(axis=1, keepdims=True)))
        scores: Array = (self.harm(cosines, channel)[:, None] * share).astype(numpy.float32)
        return scores


def _smax(cosines: Array) -> Array:
    top = cosines.max(axis=1)
    total: Array = top + numpy.log(numpy.exp(SHARPNESS * (cosines - top[:, None])).sum(axis=1)) / SHARPNESS
    return total


def load_head(folder: Path) -> Head:
    """Reads `model.json` and checks that `model.onnx` is the file it names.

    Raises `PartUnusable` if either is missing, malformed or not the pinned one.
    """
    try:
        card = json.loads((folder / CARD).read_bytes())
        if hashlib.sha256((folder / ONNX).read_bytes()).hexdigest() != card["sha256"][ONNX]:
            raise PartUnusable("semantic", "weights", f"{ONNX} is not the one {CARD} names", "Restore both.")
        return Head(
            tuple(Category(owner).value for owner in card["owners"]),
            float(card["bias"]),
            {channel: Line(**card["channels"][channel]) for channel in get_args(Channel)},
            str(card["version"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        remedy = f"Restore {CARD} and {ONNX}, or train them: python -m moderation.semantic.training.train --help"
        raise PartUnusable("semantic", "weights", f"cannot be read ({type(error).__name__})", remedy) from error
