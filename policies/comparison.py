"""What a policy would say to every possible finding, and where two policies differ. Pure.

A verdict over one finding changes only at thresholds, so every score between two of them is covered by trying each
threshold once: the comparison is complete, not a sample.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from policies.evaluate import evaluate
from policies.findings import UNANSWERED, Category, Finding, Stage
from policies.policy import ASSURANCE_LEVELS, OTHER, Policy
from policies.verdicts import Verdict


@dataclass(frozen=True, slots=True)
class Step:
    """From `score` on (up to the next step) the verdict is `verdict`, by `rules` (ids; the floor's with `floor:`)."""

    score: float
    verdict: Verdict
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """Where two policies part: scores from `score` up to `below` (1 included where it is 1)."""

    category: str
    stage: Stage
    classifier: str
    assurance: int
    score: float
    below: float
    old: Verdict
    new: Verdict

    @property
    def softer(self) -> bool:
        """Whether the new policy lets more pass."""
        return self.new < self.old


def classifiers_named(*policies: Policy) -> tuple[str, ...]:
    """Every classifier that a rule of any of them names, sorted, and `OTHER`."""
    rules = [rule for policy in policies for rule in policy.floor + policy.rules]
    return (*sorted({name for rule in rules for name, _ in rule.thresholds}), OTHER)


def ladder(policy: Policy, category: str, stage: Stage, classifier: str, assurance: int) -> tuple[Step, ...]:
    """The verdicts over a single finding, from score 0 upwards; neighbours differ. The first step is at 0."""
    steps: list[Step] = []
    for score in (0.0, *_thresholds(policy, classifier)):
        decision = evaluate(policy, [Finding(category, score, stage, classifier, "")], stage=stage, assurance=assurance)
        hardest = [reason for reason in decision.reasons if reason.verdict is decision.verdict]
        rules = tuple(sorted({f"floor:{reason.rule}" if reason.floor else reason.rule for reason in hardest}))
        if not steps or (decision.verdict, rules) != (steps[-1].verdict, steps[-1].rules):
            steps.append(Step(score, decision.verdict, rules))
    return tuple(steps)


def differences(old: Policy, new: Policy) -> tuple[Difference, ...]:
    """Every stretch of scores on which the two say something different to a single finding, widest stretches joined."""
    found: list[Difference] = []
    for stage in Stage:
        for category in (*map(str, Category), UNANSWERED):
            for classifier in classifiers_named(old, new):
                for assurance in ASSURANCE_LEVELS:
                    found += _apart(old, new, category, stage, classifier, assurance)
    return tuple(found)


def _apart(
    old: Policy, new: Policy, category: str, stage: Stage, classifier: str, assurance: int
) -> Iterator[Difference]:
    before = ladder(old, category, stage, classifier, assurance)
    after = ladder(new, category, stage, classifier, assurance)
    scores = sorted({step.score for step in (*before, *after)})
    for score, below in zip(scores, (*scores[1:], 1.0), strict=True):
        one, other = _at(before, score), _at(after, score)
        if one is not other:
            yield Difference(category, stage, classifier, assurance, score, below, one, other)


def _at(steps: tuple[Step, ...], score: float) -> Verdict:
    return max((step for step in steps if step.score <= score), key=lambda step: step.score).verdict


def _thresholds(policy: Policy, classifier: str) -> tuple[float, ...]:
    spoken = {rule.threshold_for(classifier) for rule in policy.floor + policy.rules}
    return tuple(sorted(score for score in spoken if score is not None and score > 0.0))
