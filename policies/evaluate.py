"""Findings in, decision out: pure, and every finding more can only make it harder."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from policies.findings import CITED_FACTS, UNANSWERED, Category, Finding, Stage
from policies.policy import ASSURANCE_LEVELS, Policy, Rule
from policies.verdicts import Decision, Reason, Verdict


def evaluate(
    policy: Policy,
    findings: Iterable[Finding],
    *,
    stage: Stage,
    assurance: int,
    pictures: Sequence[Sequence[Finding]] = (),
) -> Decision:
    """The hardest verdict of every rule that applies to any of the findings; ALLOW if none applies.

    The floor's rules are asked first and for every assurance level; the verdict is a maximum, so no rule softens
    another. `findings`: all of `stage`, at least one, since a screening that saw nothing still reports its scores.
    `assurance`: the caller's level, 0 to 3. `pictures`: the findings on each picture sent in with words that are
    decided on; the floor refuses beside a person what it leaves to the policy without one. One more of them never
    softens; within one, a finding that nobody is there does.

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
        applying = (
            rule
            for rule in rules
            if stage in rule.stages
            and rule.applies_to(assurance)
            and (rule.beside is None or any(map(rule.beside.met_by, pictures)))
        )
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


def stopped_from(score: float, classifier: str, policies: Sequence[Policy]) -> frozenset[str]:
    """Categories that every one of `policies` holds or refuses at this score of `classifier`, whoever asks, everywhere.

    A higher score is never judged softer, so they are stopped from there on.
    """
    return frozenset(
        category.value
        for category in Category
        if all(
            evaluate(policy, [Finding(category, score, stage, classifier, "")], stage=stage, assurance=level).stops
            for policy in policies
            for stage in Stage
            for level in ASSURANCE_LEVELS
        )
    )


def _reasons(rule: Rule, findings: tuple[Finding, ...], *, floor: bool) -> Iterator[Reason]:
    for finding in findings:
        if finding.category not in rule.categories:
            continue
        threshold = rule.threshold_for(finding.classifier)
        if threshold is not None and finding.score >= threshold:
            yield Reason(
                rule=rule.id,
                category=rule.beside.told(finding.category) if rule.beside else finding.category,
                stage=finding.stage,
                verdict=rule.verdict,
                classifier=finding.classifier,
                version=finding.version,
                score=finding.score,
                threshold=threshold,
                floor=floor,
                cites=tuple(fact for fact in finding.facts if fact[0] in CITED_FACTS),
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
