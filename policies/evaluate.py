"""Findings in, decision out: pure, and every finding more can only make it harder."""

from collections.abc import Iterable, Iterator, Mapping

from policies.findings import UNANSWERED, Finding, Stage
from policies.policy import ASSURANCE_LEVELS, Policy, Rule
from policies.verdicts import Decision, Reason, Verdict


def evaluate(policy: Policy, findings: Iterable[Finding], *, stage: Stage, assurance: int) -> Decision:
    """The hardest verdict of every rule that applies to any of the findings; ALLOW if none applies.

    The floor's rules are asked first and for every assurance level; the verdict is a maximum, so no rule softens
    another. `findings`: all of `stage`, at least one, since a screening that saw nothing still reports its scores.
    `assurance`: the caller's level, 0 to 3.

    Raises `ValueError` for no findings, findings of another stage, or an unknown assurance level.
    """
    if assurance not in ASSURANCE_LEVELS:
        raise ValueError(f"assurance must be one of 0, 1, 2, 3, got {assurance!r}")
    findings = tuple(findings)
    if not findings:
        raise ValueError("nothing to decide on: a screening without findings is not a clean one")
    if any(finding.stage is not stage for finding in findings):
        raise ValueError(f"findings of another stage cannot be decided at {stage.value}")

    def asked(rules: tuple[Rule, ...], *, floor: bool = False) -> tuple[Reason, ...]:
        applying = (rule for rule in rules if stage in rule.stages and rule.applies_to(assurance))
        return tuple(reason for rule in applying for reason in _reasons(rule, findings, floor=floor))

    reasons = asked(policy.floor, floor=True) + asked(policy.rules)
    verdict = max((reason.verdict for reason in reasons), default=Verdict.ALLOW)
    return Decision(verdict, policy.digest, reasons, shadows=asked(policy.shadows))


def uncovered(policy: Policy, claims: Mapping[Stage, frozenset[str]]) -> tuple[tuple[str, Stage], ...]:
    """(category, stage) pairs the policy rules on, no classifier claims, and no accepted gap names; sorted.

    `claims`: what the classifiers of each stage say they can report. The process starts only on an empty answer.
    """
    accepted = {(gap.category, gap.stage) for gap in policy.accepted_gaps}
    return tuple(sorted(_ruled_on(policy) - _claimed(claims) - accepted))


def stale_gaps(policy: Policy, claims: Mapping[Stage, frozenset[str]]) -> tuple[tuple[str, Stage], ...]:
    """(category, stage) pairs accepted as gaps although a classifier claims them or no rule asks for them; sorted.

    A stale gap hides the day on which the classifier goes missing again, so it belongs in the boot report.
    """
    accepted = {(gap.category, gap.stage) for gap in policy.accepted_gaps}
    return tuple(sorted(accepted - (_ruled_on(policy) - _claimed(claims))))


def _reasons(rule: Rule, findings: tuple[Finding, ...], *, floor: bool) -> Iterator[Reason]:
    for finding in findings:
        if finding.category not in rule.categories:
            continue
        threshold = rule.threshold_for(finding.classifier)
        if threshold is not None and finding.score >= threshold:
            yield Reason(
                rule=rule.id,
                category=finding.category,
                stage=finding.stage,
                verdict=rule.verdict,
                classifier=finding.classifier,
                version=finding.version,
                score=finding.score,
                threshold=threshold,
                floor=floor,
            )


def _ruled_on(policy: Policy) -> set[tuple[str, Stage]]:
    """What somebody has to look at: every category a rule stops or flags, at its stages. An allow rule needs nobody.

    Shadows do: one that nobody answers would look as if it found nothing.
    """
    return {
        (category, stage)
        for rule in policy.floor + policy.rules + policy.shadows
        if rule.verdict > Verdict.ALLOW
        for category in rule.categories - {UNANSWERED}
        for stage in rule.stages
    }


def _claimed(claims: Mapping[Stage, frozenset[str]]) -> set[tuple[str, Stage]]:
    return {(category, stage) for stage, categories in claims.items() for category in categories}
