"""What is measured: one classifier, several, or a whole policy, each as one score per text and a threshold."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy

from moderation.classifiers import PromptClassifier
from moderation.evaluation.figures import Scores
from moderation.text.folding import fold
from policies.findings import UNANSWERED, Fact


@dataclass(frozen=True, slots=True)
class Read:
    """One text as it was judged. `categories`: score per category, where the subject says."""

    score: float
    categories: Mapping[str, float]


class Subject(Protocol):
    """`threshold`: the score from which a text counts as refused. `digest`: of the policy, or "" for a classifier.

    `steps`: what the scores mean if there are only few, the lowest (0) first, evenly apart up to 1; empty otherwise.
    """

    @property
    def name(self) -> str:
        """As it stands in the report."""
        ...

    @property
    def digest(self) -> str:
        """`sha256:…` of the policy, or ""."""
        ...

    @property
    def threshold(self) -> float:
        """In [0, 1]."""
        ...

    @property
    def steps(self) -> tuple[str, ...]:
        """Such as the verdicts of a policy."""
        ...

    def read(self, text: str) -> Read:
        """One text, whole."""
        ...


@dataclass(frozen=True, slots=True)
class ClassifierSubject:
    """The highest score any of `classifiers` gives any category; a category's score is its highest finding.

    An `unanswered` finding counts as a score of 1: silence is never consent.
    """

    name: str
    classifiers: Sequence[PromptClassifier]
    threshold: float
    digest: str = ""
    steps: tuple[str, ...] = ()

    def read(self, text: str) -> Read:
        """One text, whole."""
        folded = fold(text)
        categories: dict[str, float] = {}
        for classifier in self.classifiers:
            for finding in classifier.classify(folded):
                if finding.category in set(Fact):  # nothing is wrong with it
                    continue
                score = 1.0 if finding.category == UNANSWERED else finding.score
                categories[finding.category] = max(score, categories.get(finding.category, 0.0))
        return Read(max(categories.values(), default=1.0), categories)


@dataclass(frozen=True, slots=True)
class VerdictSubject:
    """A whole policy: `judge` gives a verdict's severity in [0, 1]; from `threshold` on the text does not pass."""

    name: str
    judge: Callable[[str], float]
    threshold: float
    digest: str
    steps: tuple[str, ...]

    def read(self, text: str) -> Read:
        """One text, whole."""
        return Read(self.judge(text), {})


@dataclass(frozen=True, slots=True)
class Scored:
    """`scores`: (texts,). `categories`: (texts,) per category. `milliseconds`: (texts,), wall clock, one by one."""

    scores: Scores
    categories: Mapping[str, Scores]
    milliseconds: Scores


def score(
    subject: Subject, texts: Sequence[str], watch: Callable[[Sequence[str]], Sequence[str]] = lambda t: t
) -> Scored:
    """Every text through the subject, one at a time. `watch` may wrap the texts, for a progress bar."""
    reads: list[Read] = []
    spent: list[float] = []
    for text in watch(texts):
        before = time.perf_counter()
        reads.append(subject.read(text))
        spent.append((time.perf_counter() - before) * 1000)
    names = sorted({name for read in reads for name in read.categories})
    return Scored(
        numpy.array([read.score for read in reads]),
        {name: numpy.array([read.categories.get(name, 0.0) for read in reads]) for name in names},
        numpy.array(spent),
    )
