"""Trains linear probes: logistic regression on embeddings, one category against all other pictures. Deterministic.

1. A fifth of the pictures, by the hash of their files and the seed, is held out for the figures (`probe_report.py`).
2. The others are cut into five folds the same way. For each strength of regularisation every fold is scored by weights
   fitted on the other four; the strength with the lowest log loss is taken.
3. Those scores, of pictures that the weights did not see, calibrate: slope and intercept of J. Platt (1999).
4. The weights are fitted on all five folds.

Both classes weigh the same in fitting, whatever their numbers. Probabilities are those of the folders' own mixture.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy
import numpy.typing
from scipy.optimize import minimize

from moderation.probes.files import CategoryProbe, ProbeFile
from moderation.probes.pictures import HARMLESS, Eyes, Labelled, TrainingRefused
from policies.findings import Category

Floats = numpy.typing.NDArray[numpy.float64]
Mask = numpy.typing.NDArray[numpy.bool_]

STRENGTHS = (1.0, 0.1, 0.01, 0.001, 0.0001)
"""λ of mean loss + λ/2 · |w|², on embeddings centred and scaled to a mean square of one; a tie goes to the first."""

PARTS = 5
"""One in so many is held out; the others are cut into so many folds."""

_MOST_STEPS = 500


@dataclass(frozen=True, slots=True)
class Trained:
    """`held_out`: which of the pictures, in `Labelled`'s order, training did not see; (pictures,)."""

    probe: ProbeFile
    held_out: Mask


def train(seen: Labelled, eyes: Eyes, model: str, seed: int = 0) -> Trained:
    """Probes for every category among the labels. `model`: the name that the file gives it.

    Raises `TrainingRefused` where a part of the pictures has none of a kind, or nothing can be told apart.
    """
    held_out = _parts(seen.digests, f"held-out/{seed}") == 0
    folds = _parts(seen.digests, f"fold/{seed}")[~held_out]
    embeddings = seen.embeddings.astype(numpy.float64)
    centre = embeddings[~held_out].mean(axis=0)
    scale = float(numpy.sqrt(numpy.square(embeddings[~held_out] - centre).mean()))
    if scale == 0.0:
        raise TrainingRefused("the model sees all pictures alike")
    inputs = (embeddings[~held_out] - centre) / scale
    harmless = numpy.array([not labels for labels in seen.labels])
    _check_parts(HARMLESS, harmless, held_out, folds)
    probes = {}
    for category in sorted(frozenset[Category]().union(*seen.labels)):
        labelled = numpy.array([category in labels for labels in seen.labels])
        _check_parts(category.value, labelled, held_out, folds)
        probe = _one_probe(category, inputs, labelled[~held_out], folds)
        weights = numpy.array(probe.weights) / scale
        moved = {"weights": tuple(weights.tolist()), "bias": probe.bias - float(weights @ centre)}
        probes[category] = probe.model_copy(update={**moved, "pictures": int(labelled.sum())})
    file = ProbeFile(
        model=model,
        weights_sha256=eyes.weights_digest,
        eyes_sha256=eyes.eyes_digest,
        width=embeddings.shape[1],
        seed=seed,
        harmless_pictures=int(harmless.sum()),
        categories=probes,
    )
    return Trained(file, held_out)


def _parts(digests: tuple[str, ...], purpose: str) -> numpy.typing.NDArray[numpy.int64]:
    """0 to `PARTS` - 1 for each picture, by its file alone: more pictures do not move those that were there."""
    hashes = (hashlib.sha256(f"{purpose}/{digest}".encode()).digest() for digest in digests)
    return numpy.array([int.from_bytes(each[:8], "big") % PARTS for each in hashes])


def _check_parts(name: str, labelled: Mask, held_out: Mask, folds: numpy.typing.NDArray[numpy.int64]) -> None:
    inside = labelled[~held_out]
    if not (labelled & held_out).any() or any(not inside[folds != fold].any() for fold in range(PARTS)):
        raise TrainingRefused(f"too few pictures in {name}: a part of them has none. Add more")


def _one_probe(
    category: Category, inputs: Floats, labelled: Mask, folds: numpy.typing.NDArray[numpy.int64]
) -> CategoryProbe:
    importance = numpy.where(labelled, 0.5 / labelled.sum(), 0.5 / (~labelled).sum())
    signs = numpy.where(labelled, 1.0, -1.0)
    best: tuple[float, float, Floats] | None = None
    for strength in STRENGTHS:
        logits = numpy.empty(len(inputs))
        for fold in range(PARTS):
            rest = folds != fold
            weights, bias = _fit(inputs[rest], signs[rest], importance[rest] / importance[rest].sum(), strength)
            logits[~rest] = inputs[~rest] @ weights + bias
        loss = float(importance @ numpy.logaddexp(0.0, -signs * logits))
        if best is None or loss < best[0]:
            best = loss, strength, logits
    assert best is not None
    _, strength, logits = best
    slope, intercept = _platt(logits, labelled)
    if slope <= 0.0:
        raise TrainingRefused(f"the model does not tell pictures of {category.value} from the others")
    weights, bias = _fit(inputs, signs, importance, strength)
    return CategoryProbe(
        weights=tuple(weights.tolist()),
        bias=bias,
        slope=slope,
        intercept=intercept,
        regularisation=strength,
        pictures=int(labelled.sum()),
    )


def _fit(inputs: Floats, signs: Floats, importance: Floats, strength: float) -> tuple[Floats, float]:
    """(weights, bias) of least weighted log loss and L2. `signs`: 1 or -1. `importance`: of each, sums to one."""

    def loss(both: Floats) -> tuple[float, Floats]:
        weights, bias = both[:-1], both[-1]
        margins = signs * (inputs @ weights + bias)
        pull = -importance * signs * numpy.exp(-numpy.logaddexp(0.0, margins))
        value = importance @ numpy.logaddexp(0.0, -margins) + strength / 2 * (weights @ weights)
        return float(value), numpy.append(inputs.T @ pull + strength * weights, pull.sum())

    found = _descend(loss, numpy.zeros(inputs.shape[1] + 1))
    return found[:-1], float(found[-1])


def _platt(logits: Floats, labelled: Mask) -> tuple[float, float]:
    """(slope, intercept), with the targets that keep probabilities off 0 and 1 (H.-T. Lin et al., 2007)."""
    many, few = int(labelled.sum()), int((~labelled).sum())
    targets = numpy.where(labelled, (many + 1) / (many + 2), 1 / (few + 2))

    def loss(both: Floats) -> tuple[float, Floats]:
        fitted = both[0] * logits + both[1]
        value = (numpy.logaddexp(0.0, fitted) - targets * fitted).mean()
        pull = (numpy.exp(-numpy.logaddexp(0.0, -fitted)) - targets) / len(logits)
        return float(value), numpy.array([pull @ logits, pull.sum()])

    slope, intercept = _descend(loss, numpy.array([1.0, 0.0]))
    return float(slope), float(intercept)


def _descend(loss: Callable[[Floats], tuple[float, Floats]], start: Floats) -> Floats:
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": _MOST_STEPS})
    return numpy.asarray(found.x, dtype=numpy.float64)
