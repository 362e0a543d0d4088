"""The figures of a binary classifier and how sure they are. Pure functions of scores and labels.

Shares carry Wilson intervals (Wilson 1927), areas carry percentile bootstrap intervals (Efron 1979), all at 95 %.
`positives` and `negatives` are the scores of harmful and harmless texts, float arrays of one dimension.
"""

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy
import numpy.typing

Scores = numpy.typing.NDArray[numpy.float64]

Z = 1.959963984540054  # two-sided 95 % of the normal distribution
RESAMPLES = 300


@dataclass(frozen=True, slots=True)
class Share:
    """`count` of `of`, with its interval; the value of nothing of nothing is NaN-free: 0.0 with interval 0 to 1."""

    count: int
    of: int

    @property
    def value(self) -> float:
        """In [0, 1]."""
        return self.count / self.of if self.of else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's score interval."""
        if not self.of:
            return 0.0, 1.0
        spread = Z * Z / self.of
        middle = (self.value + spread / 2) / (1 + spread)
        half = Z / (1 + spread) * math.sqrt(self.value * (1 - self.value) / self.of + spread / (4 * self.of))
        return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True, slots=True)
class Area:
    """An area under a curve with its bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class AtThreshold:
    """What a threshold does: `recall` of the harmful, `refused` of the harmless, `precision` of what reaches it."""

    threshold: float
    recall: Share
    refused: Share
    precision: Share

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        total = self.precision.value + self.recall.value
        return 2 * self.precision.value * self.recall.value / total if total else 0.0


def at_threshold(positives: Scores, negatives: Scores, threshold: float) -> AtThreshold:
    """Counts at or above `threshold`."""
    caught, refused = int((positives >= threshold).sum()), int((negatives >= threshold).sum())
    return AtThreshold(
        threshold, Share(caught, len(positives)), Share(refused, len(negatives)), Share(caught, caught + refused)
    )


def auroc(positives: Scores, negatives: Scores) -> float:
    """Probability that a harmful text scores above a harmless one; ties count half. Both must be non-empty."""
    ordered = numpy.sort(negatives)
    below = numpy.searchsorted(ordered, positives, "left") + numpy.searchsorted(ordered, positives, "right")
    return float(below.mean() / 2 / len(ordered))


def auprc(positives: Scores, negatives: Scores) -> float:
    """Average precision: the mean over recall steps of the precision there; tied scores enter together."""
    scores = numpy.concatenate([positives, negatives])
    labels = numpy.concatenate([numpy.ones(len(positives)), numpy.zeros(len(negatives))])
    order = numpy.argsort(-scores, kind="stable")
    scores, labels = scores[order], labels[order]
    ends = numpy.append(numpy.flatnonzero(numpy.diff(scores)), len(scores) - 1)
    caught = numpy.cumsum(labels)[ends]
    precision = caught / (ends + 1)
    return float((numpy.diff(caught, prepend=0.0) * precision).sum() / len(positives))


def areas(positives: Scores, negatives: Scores, seed: int = 0) -> tuple[Area, Area]:
    """(AUROC, AUPRC), bootstrapped over harmful and harmless texts apart."""
    draw = numpy.random.default_rng(seed)
    drawn = []
    for _ in range(RESAMPLES):
        some, others = draw.choice(positives, len(positives)), draw.choice(negatives, len(negatives))
        drawn.append((auroc(some, others), auprc(some, others)))
    low, high = numpy.quantile(numpy.array(drawn), (0.025, 0.975), axis=0)
    whole = auroc(positives, negatives), auprc(positives, negatives)
    first, second = (Area(whole[each], float(low[each]), float(high[each])) for each in (0, 1))
    return first, second


def by_chance(first_only: int, second_only: int) -> float:
    """How often two subjects that refuse equally often would differ at least so lopsidedly: McNemar's exact test.

    `first_only`, `second_only`: texts refused by one of the two alone. Two-sided, in (0, 1]; 1.0 if they never differ.
    """
    differing = first_only + second_only
    tail = sum(math.comb(differing, count) for count in range(min(first_only, second_only) + 1))
    return min(1.0, float(Fraction(2 * tail, 2**differing)))


def threshold_for(negatives: Scores, wanted: float) -> float:
    """The smallest score of four decimals that at most the share `wanted` of `negatives` reaches; above 1 if only that
    does. `negatives` must be non-empty.
    """
    ordered = numpy.sort(negatives)[::-1]
    allowed = int(wanted * len(ordered))
    if allowed >= len(ordered):
        return 0.0
    return math.floor(float(ordered[allowed]) * 1e4 + 1.0) / 1e4


def roc(positives: Scores, negatives: Scores) -> tuple[list[float], list[float]]:
    """(shares of harmless refused, shares of harmful caught) at every distinct score, from none to all."""
    cuts = numpy.unique(numpy.concatenate([positives, negatives]))[::-1]
    some, others = numpy.sort(positives), numpy.sort(negatives)
    caught = 1.0 - numpy.searchsorted(some, cuts, "left") / len(some)
    refused = 1.0 - numpy.searchsorted(others, cuts, "left") / len(others)
    return [0.0, *refused.tolist()], [0.0, *caught.tolist()]
