"""The trained head: from a sentence embedding to a probability per category. Pure numpy; owns the shipped format.

`head.safetensors` holds the prototypes, one row per written definition; `head.json` says which row means what, the
calibration, and the SHA-256 of the weights. How a score comes about:
1. smax(rows) = logsumexp(sharpness * cosines) / sharpness, over the unsafe rows and over the safe rows,
2. logit = scale * (smax(unsafe) - smax(safe)) + bias,
3. p = sigmoid(slope * logit + offset): calibrated on a mixture of equally many harmful and harmless texts,
4. a category scores p * exp(sharpness * (smax(its rows) - smax(best category's rows))), so the best category scores p.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy
import numpy.typing
from safetensors.numpy import load_file

from moderation.errors import PartUnusable
from policies.findings import Category

Array = numpy.typing.NDArray[numpy.float32]

SHARPNESS = 20.0
SCALE = 15.0
"""Both from the definition head measured in prototyping: they decide how much the nearest definition counts alone."""


@dataclass(frozen=True, slots=True)
class Head:
    """`unsafe`: (n, 384) and `safe`: (m, 384) unit rows, float32. `owners`: the category of each unsafe row."""

    unsafe: Array
    safe: Array
    owners: tuple[str, ...]
    bias: float
    slope: float = 1.0
    offset: float = 0.0
    version: str = "untrained"

    @property
    def categories(self) -> tuple[str, ...]:
        """In the order of the columns of `scores`."""
        return tuple(dict.fromkeys(self.owners))

    def nearness(self, vectors: Array) -> Array:
        """(windows, categories): smax over each category's rows. `vectors`: (windows, 384) unit rows."""
        cosines = vectors @ self.unsafe.T
        owners = numpy.array(self.owners)
        return numpy.stack([_smax(cosines[:, owners == category]) for category in self.categories], axis=1)

    def logits(self, vectors: Array) -> Array:
        """(windows,): step 2, before calibration. `vectors`: (windows, 384) unit rows."""
        return SCALE * (_smax(vectors @ self.unsafe.T) - _smax(vectors @ self.safe.T)) + numpy.float32(self.bias)

    def scores(self, vectors: Array) -> Array:
        """(windows, categories), each in [0, 1]. `vectors`: (windows, 384) unit rows."""
        calibrated = 1.0 / (1.0 + numpy.exp(-(self.slope * self.logits(vectors) + self.offset)))
        nearness = self.nearness(vectors)
        share = numpy.exp(SHARPNESS * (nearness - nearness.max(axis=1, keepdims=True)))
        scores: Array = (calibrated[:, None] * share).astype(numpy.float32)
        return scores


def _smax(cosines: Array) -> Array:
    top = cosines.max(axis=1)
    total: Array = top + numpy.log(numpy.exp(SHARPNESS * (cosines - top[:, None])).sum(axis=1)) / SHARPNESS
    return total


def load_head(folder: Path) -> Head:
    """Reads `head.json` and `head.safetensors` from `folder`.

    Raises `PartUnusable` if either is missing, malformed or the weights' SHA-256 is not the one in `head.json`.
    """
    try:
        card = json.loads((folder / "head.json").read_bytes())
        weights = folder / "head.safetensors"
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()
        if digest != card["sha256"]:
            raise PartUnusable("semantic", "head", "head.safetensors is not the one head.json names", "Restore both.")
        rows = load_file(weights)
        head = Head(
            rows["unsafe"],
            rows["safe"],
            tuple(Category(owner).value for owner in card["owners"]),
            card["bias"],
            card["slope"],
            card["offset"],
            card["version"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        remedy = "Restore head.json and head.safetensors, or train a head: python -m moderation.semantic.train --help"
        raise PartUnusable("semantic", "head", f"cannot be read ({type(error).__name__})", remedy) from error
    if head.unsafe.ndim != 2 or len(head.unsafe) != len(head.owners) or head.unsafe.shape[1:] != head.safe.shape[1:]:
        raise PartUnusable("semantic", "head", "its rows and its categories do not fit", "Train it again.")
    return head
