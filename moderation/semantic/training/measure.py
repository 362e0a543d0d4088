"""Measures a model on what it never saw: ranking, twins, thresholds, int8 beside the reference. Prints no text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy
import torch

from moderation.evaluation.figures import Scores, areas, auroc, threshold_for
from moderation.semantic.head import Array, Channel, Head, Line
from moderation.semantic.training.corpus import Text

FALSE_ALARMS = {"refuse": 0.0015, "hold": 0.005, "flag": 0.01}
"""Share of the held-out harmless texts, taken together, that may reach each threshold."""

CATEGORY_FALSE_ALARMS = 0.0005
"""The same for the score of one category alone: a few categories together make up FALSE_ALARMS."""

TWINS_REFUSED = (0.05, 0.15)


@dataclass(frozen=True, slots=True)
class Measured:
    """A set of texts with the int8 model's cosines and the reference's, both (texts, prototypes)."""

    texts: Sequence[Text]
    int8: Array
    reference: Array

    @property
    def harmful(self) -> numpy.ndarray[Any, numpy.dtype[numpy.bool_]]:
        """(texts,)."""
        return numpy.array([text.harmful for text in self.texts], bool)


def calibrated(head: Head, sets: Mapping[Channel, Sequence[Measured]]) -> Head:
    """Platt scaling per channel: p is a probability where harmful and harmless are equally likely."""
    lines = {}
    for channel, found in sets.items():
        values = numpy.concatenate([head.logits(each.int8) for each in found])
        lines[channel] = _line(values, numpy.concatenate([each.harmful for each in found]))
    return Head(head.owners, head.bias, lines, head.version)


def _line(logits: Array, harmful: numpy.ndarray[Any, Any]) -> Line:
    values, labels = torch.from_numpy(logits).double(), torch.from_numpy(harmful).double()
    weights = torch.where(labels > 0, 0.5 / labels.sum(), 0.5 / (1 - labels).sum())
    line = torch.tensor([1.0, 0.0], dtype=torch.double, requires_grad=True)
    optimizer = torch.optim.LBFGS([line], max_iter=200)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            line[0] * values + line[1], labels, weight=weights, reduction="sum"
        )
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    slope, offset = line.tolist()
    return Line(slope, offset)


def ranking(head: Head, found: Measured) -> dict[str, Any]:
    """AUROC and AUPRC with intervals of the int8 model, AUROC of the reference, recall where few twins are refused."""
    served, whole = (head.logits(cosines).astype(numpy.float64) for cosines in (found.int8, found.reference))
    harmful = found.harmful
    positives, negatives = served[harmful], served[~harmful]
    first, second = areas(positives, negatives)
    told: dict[str, Any] = {
        "texts": [len(positives), len(negatives)],
        "auroc": _rounded(first.value, first.low, first.high),
        "auprc": _rounded(second.value, second.low, second.high),
        "auroc_reference": round(auroc(whole[harmful], whole[~harmful]), 4),
    }
    for rate in TWINS_REFUSED:
        told[f"recall_at_{rate:.0%}_refused"] = round(float((positives >= threshold_for(negatives, rate)).mean()), 4)
    return told


def _rounded(*values: float) -> list[float]:
    return [round(value, 4) for value in values]


def thresholds(head: Head, channel: Channel, harmless: Sequence[Measured]) -> dict[str, float]:
    """Per verdict, the score that the wanted share of `harmless` reaches; on the int8 model."""
    scores = numpy.concatenate([harm(head, each, channel)[~each.harmful] for each in harmless])
    return {verdict: threshold_for(scores, rate) for verdict, rate in FALSE_ALARMS.items()}


def per_category(head: Head, channel: Channel, harmless: Sequence[Measured]) -> dict[str, dict[str, float]]:
    """Per category, the score that at most CATEGORY_FALSE_ALARMS of `harmless` reach, and what share reaches 0.9."""
    scores = numpy.concatenate([head.scores(each.int8[~each.harmful], channel) for each in harmless])
    return {
        category: {
            "threshold": threshold_for(scores[:, column].astype(numpy.float64), CATEGORY_FALSE_ALARMS),
            "harmless_at_0.9": round(float((scores[:, column] >= 0.9).mean()), 5),
        }
        for column, category in enumerate(head.categories)
    }


def harm(head: Head, found: Measured, channel: Channel) -> Scores:
    """(texts,): the int8 model's probability of harm."""
    return head.harm(found.int8, channel).astype(numpy.float64)


def reached(scores: Scores, limits: Mapping[str, float]) -> dict[str, float]:
    """Per verdict, the share of scores at or above its threshold."""
    return {verdict: round(float((scores >= limit).mean()), 4) for verdict, limit in limits.items()}


def agreement(head: Head, found: Sequence[Measured], channel: Channel, limits: Mapping[str, float]) -> dict[str, Any]:
    """How closely int8 follows the reference: correlation of logits, equal decisions at every threshold."""
    served = numpy.concatenate([head.harm(each.int8, channel) for each in found])
    whole = numpy.concatenate([head.harm(each.reference, channel) for each in found])
    logits = [
        numpy.concatenate([head.logits(rows) for rows in some])
        for some in zip(*((e.int8, e.reference) for e in found), strict=True)
    ]
    return {
        "texts": len(served),
        "correlation": round(float(numpy.corrcoef(logits[0], logits[1])[0, 1]), 5),
        "equal_decisions": {
            verdict: round(float(((served >= limit) == (whole >= limit)).mean()), 5)
            for verdict, limit in limits.items()
        },
    }


def naming(head: Head, found: Sequence[Measured]) -> dict[str, dict[str, float]]:
    """Per category of held-out harmful texts: how often its definitions are the nearest."""
    columns = {category: column for column, category in enumerate(head.categories)}
    told: dict[str, list[bool]] = {}
    for each in found:
        nearest = head.nearness(each.int8).argmax(axis=1)
        for text, column in zip(each.texts, nearest, strict=True):
            if text.harmful and text.category in columns:
                told.setdefault(text.category, []).append(column == columns[text.category])
    return {
        name: {"texts": len(hits), "named_first": round(sum(hits) / len(hits), 4)}
        for name, hits in sorted(told.items())
    }
