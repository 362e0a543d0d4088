"""Deciding: nothing softens, silence refuses, and the floor holds whatever a policy file says."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.errors import PolicyError
from policies.evaluate import evaluate, stale_gaps, uncovered
from policies.findings import OF_FILES_SENT_IN, UNANSWERED, Category, Fact, Finding, Stage, unanswered
from policies.loading import BUILTIN_POLICIES, load_policy
from policies.policy import ASSURANCE_LEVELS, AcceptedGap, Policy, Rule
from policies.verdicts import Decision, Verdict
from tests.policies.house_policy import POLICY, write_policy

FLOOR = load_policy("demo").floor
SHIPPED = {name: load_policy(name) for name in BUILTIN_POLICIES}

CLASSIFIERS = ("terms", "semantic", "clip", "pdq_list", "strangers")

stages = st.sampled_from(list(Stage))
assurances = st.sampled_from(list(ASSURANCE_LEVELS))
shipped = st.sampled_from(list(SHIPPED.values()))


def findings_at(stage: Stage) -> st.SearchStrategy[Finding]:
    return st.builds(
        Finding,
        category=st.sampled_from([*(category.value for category in Category), UNANSWERED]),
        score=st.floats(0, 1),
        stage=st.just(stage),
        classifier=st.sampled_from(CLASSIFIERS),
        version=st.just("1"),
    )


some_rules = st.builds(
    Rule,
    id=st.sampled_from(["a", "b", "c"]),
    verdict=st.sampled_from(list(Verdict)),
    categories=st.frozensets(st.sampled_from([*(category.value for category in Category), UNANSWERED])),
    stages=st.frozensets(stages),
    thresholds=st.just(()),
    other=st.none() | st.floats(0, 1),
    min_assurance=st.integers(0, 3),
    below_assurance=st.integers(1, 4),
)


@st.composite
def decisions(draw: st.DrawFn) -> Decision:
    stage = draw(stages)
    found = draw(st.lists(findings_at(stage), min_size=1, max_size=6))
    return evaluate(SHIPPED["strict"], found, stage=stage, assurance=draw(assurances))


@given(decisions(), decisions(), decisions())
def test_joining_is_associative_commutative_idempotent_and_never_softer(a: Decision, b: Decision, c: Decision) -> None:
    assert a.join(b).join(c) == a.join(b.join(c))
    assert a.join(b) == b.join(a)
    assert a.join(a) == a
    assert a.join(b).verdict >= max(a.verdict, b.verdict)
    assert set(a.join(b).reasons) == set(a.reasons) | set(b.reasons)


def test_decisions_of_two_policies_are_not_joined() -> None:
    with pytest.raises(ValueError, match="different policies"):
        Decision(Verdict.ALLOW, "sha256:a").join(Decision(Verdict.ALLOW, "sha256:b"))


@given(shipped, stages, assurances, st.data())
def test_more_findings_never_soften(policy: Policy, stage: Stage, assurance: int, data: st.DataObject) -> None:
    some = data.draw(st.lists(findings_at(stage), min_size=1, max_size=6))
    more = data.draw(st.lists(findings_at(stage), max_size=6))
    before = evaluate(policy, some, stage=stage, assurance=assurance)
    after = evaluate(policy, some + more, stage=stage, assurance=assurance)
    assert after.verdict >= before.verdict
    assert set(before.reasons) <= set(after.reasons)


@given(shipped, stages, assurances, st.data())
def test_deciding_together_equals_joining_the_parts(
    policy: Policy, stage: Stage, assurance: int, data: st.DataObject
) -> None:
    some = data.draw(st.lists(findings_at(stage), min_size=1, max_size=5))
    rest = data.draw(st.lists(findings_at(stage), min_size=1, max_size=5))
    apart = [evaluate(policy, part, stage=stage, assurance=assurance) for part in (some, rest)]
    assert apart[0].join(apart[1]) == evaluate(policy, some + rest, stage=stage, assurance=assurance)


@given(shipped, stages, assurances, st.sampled_from(CLASSIFIERS))
def test_an_unanswered_question_is_refused_by_every_policy(
    policy: Policy, stage: Stage, assurance: int, classifier: str
) -> None:
    silence = unanswered(stage, classifier, "1", "timeout")
    decision = evaluate(policy, [silence], stage=stage, assurance=assurance)
    assert decision.verdict is Verdict.REFUSE
    assert any(reason.floor and reason.category == UNANSWERED for reason in decision.reasons)


@given(
    rules=st.lists(some_rules, max_size=8),
    category=st.sampled_from([Category.CSAE.value, Category.NCII.value]),
    stage=stages,
    assurance=assurances,
    classifier=st.sampled_from(CLASSIFIERS),
)
def test_no_rules_whatever_lower_the_floor(
    rules: list[Rule], category: str, stage: Stage, assurance: int, classifier: str
) -> None:
    policy = replace(SHIPPED["demo"], rules=tuple(rules), accepted_gaps=())
    certain = Finding(category, 1.0, stage, classifier, "1")
    decision = evaluate(policy, [certain], stage=stage, assurance=assurance)
    assert decision.verdict is Verdict.REFUSE
    assert any(reason.floor and reason.category == category for reason in decision.reasons)


@settings(max_examples=50)
@given(keep=st.sets(st.integers(0, 4), max_size=4))
def test_a_policy_without_the_whole_floor_cannot_be_built(keep: set[int]) -> None:
    policy = SHIPPED["default"]
    with pytest.raises(ValueError, match="the floor leaves"):
        replace(policy, floor=tuple(policy.floor[at] for at in keep))


def test_a_floor_limited_to_some_callers_cannot_be_built() -> None:
    policy = SHIPPED["default"]
    with pytest.raises(ValueError, match="the floor leaves"):
        replace(policy, floor=tuple(replace(rule, below_assurance=3) for rule in policy.floor))


def test_the_floors_thresholds_are_these_and_change_only_with_this_test() -> None:
    thresholds = {rule.id: (dict(rule.thresholds), rule.other) for rule in FLOOR}
    on_scores = ({"terms": 1.0, "semantic": 0.90, "clip": 0.90, "pdq_list": 0.75}, 0.90)
    assert thresholds == {
        "floor-minors": on_scores,
        "floor-intimate-imagery": on_scores,
        "floor-undressing-a-picture": ({"terms": 1.0}, 0.90),
        "floor-sexualising-a-person": ({"terms": 0.5, "semantic": 0.90}, 0.50),
        "floor-unanswered": ({}, 0.0),
    }
    somebody = {rule.id: (dict(rule.beside.thresholds), rule.beside.other) for rule in FLOOR if rule.beside}
    assert somebody == {
        "floor-undressing-a-picture": ({}, 0.0),
        "floor-sexualising-a-person": ({"people": 0.30, "clip": 0.20}, 0.10),
    }


@given(shipped, stages, assurances, st.sampled_from(CLASSIFIERS))
def test_findings_below_every_threshold_are_allowed(
    policy: Policy, stage: Stage, assurance: int, classifier: str
) -> None:
    quiet = [Finding(category.value, 0.04, stage, classifier, "1") for category in Category]
    assert evaluate(policy, quiet, stage=stage, assurance=assurance) == Decision(Verdict.ALLOW, policy.digest)


def test_a_reason_says_rule_score_threshold_and_who_reported() -> None:
    found = Finding(Category.WEAPONS.value, 0.99, Stage.PROMPT, "semantic", "m1")
    decision = evaluate(SHIPPED["default"], [found], stage=Stage.PROMPT, assurance=0)
    assert decision.verdict is Verdict.REFUSE
    hardest = max(decision.reasons, key=lambda reason: reason.verdict)
    assert (hardest.rule, hardest.category, hardest.stage) == ("out-of-scope-words", "weapons", Stage.PROMPT)
    assert (hardest.score, hardest.classifier, hardest.version, hardest.floor) == (0.99, "semantic", "m1", False)
    assert 0 < hardest.threshold <= 0.99


def test_a_threshold_applies_from_the_score_itself_on() -> None:
    exactly = Finding(Category.CSAE.value, 1.0, Stage.PROMPT, "terms", "1")
    assert evaluate(SHIPPED["demo"], [exactly], stage=Stage.PROMPT, assurance=3).verdict is Verdict.REFUSE


@pytest.mark.parametrize(("assurance", "verdict"), [(0, "refuse"), (2, "refuse"), (3, "hold")])
def test_assurance_decides_about_adult_content_under_default(assurance: int, verdict: str) -> None:
    found = Finding(Category.SEXUAL.value, 1.0, Stage.PROMPT, "terms", "1")
    assert evaluate(SHIPPED["default"], [found], stage=Stage.PROMPT, assurance=assurance).verdict.word == verdict


@pytest.mark.parametrize(("assurance", "verdict"), [(0, "hold"), (1, "hold"), (2, "flag"), (3, "flag")])
def test_strict_holds_what_is_likely_for_callers_nobody_verified(assurance: int, verdict: str) -> None:
    found = Finding(Category.WEAPONS.value, 0.5, Stage.PROMPT, "terms", "1")
    assert evaluate(SHIPPED["strict"], [found], stage=Stage.PROMPT, assurance=assurance).verdict.word == verdict


def test_a_rule_for_one_classifier_says_nothing_about_another(tmp_path: Path) -> None:
    rule = """
[[rule]]
id = "terms-only"
verdict = "flag"
categories = ["drugs"]
classifier = "terms"
threshold = 0.5
"""
    policy = load_policy(write_policy(tmp_path, POLICY + rule))
    for classifier, verdict in (("terms", Verdict.FLAG), ("semantic", Verdict.ALLOW)):
        found = Finding(Category.DRUGS.value, 0.6, Stage.PROMPT, classifier, "1")
        assert evaluate(policy, [found], stage=Stage.PROMPT, assurance=0).verdict is verdict


def test_strict_is_nowhere_softer_than_default() -> None:
    for stage in Stage:
        for category in Category:
            for classifier in CLASSIFIERS:
                for assurance in ASSURANCE_LEVELS:
                    for score in (0.25, 0.45, 0.5, 0.6, 0.75, 0.9, 1.0):
                        found = Finding(category.value, score, stage, classifier, "1")
                        strict, default = (
                            evaluate(SHIPPED[name], [found], stage=stage, assurance=assurance).verdict
                            for name in ("strict", "default")
                        )
                        assert strict >= default, (stage, category, classifier, assurance, score)


@pytest.mark.parametrize("assurance", [-1, 4, 99])
def test_an_unknown_assurance_level_is_an_error_not_a_verdict(assurance: int) -> None:
    found = Finding(Category.HATE.value, 0.0, Stage.PROMPT, "terms", "1")
    with pytest.raises(ValueError, match="assurance"):
        evaluate(SHIPPED["demo"], [found], stage=Stage.PROMPT, assurance=assurance)


def test_no_findings_at_all_are_not_an_allowance() -> None:
    with pytest.raises(ValueError, match="nothing to decide on"):
        evaluate(SHIPPED["demo"], [], stage=Stage.PROMPT, assurance=3)


def test_findings_of_another_stage_are_not_decided_here() -> None:
    found = Finding(Category.HATE.value, 0.0, Stage.OUTPUT_IMAGE, "terms", "1")
    with pytest.raises(ValueError, match="another stage"):
        evaluate(SHIPPED["demo"], [found], stage=Stage.PROMPT, assurance=0)


EVERYTHING = frozenset(category.value for category in (*Category, Fact.EXPOSURE))


def test_a_category_nobody_claims_is_uncovered_unless_its_gap_is_accepted_by_name() -> None:
    claims = dict.fromkeys(Stage, EVERYTHING) | {Stage.OUTPUT_IMAGE: EVERYTHING - {"gore"}}
    policy = SHIPPED["default"]
    assert uncovered(policy, claims) == (("gore", Stage.OUTPUT_IMAGE),)
    gap = AcceptedGap("gore", Stage.OUTPUT_IMAGE, "a reason that somebody wrote down")
    assert uncovered(replace(policy, accepted_gaps=(gap,)), claims) == ()


def test_a_floor_category_nobody_claims_is_uncovered_too() -> None:
    policy = replace(SHIPPED["default"], rules=())
    claims = {stage: EVERYTHING - {"csae"} for stage in Stage}
    assert uncovered(policy, claims) == tuple(sorted(("csae", stage) for stage in Stage))


def test_a_gap_that_is_none_is_reported_as_stale() -> None:
    claims = dict.fromkeys(Stage, EVERYTHING)
    gap = AcceptedGap("gore", Stage.OUTPUT_IMAGE, "a reason that somebody wrote down")
    policy = replace(SHIPPED["default"], accepted_gaps=(gap,))
    assert stale_gaps(policy, claims) == (("gore", Stage.OUTPUT_IMAGE),)
    assert stale_gaps(policy, claims | {Stage.OUTPUT_IMAGE: EVERYTHING - {"gore"}}) == ()


def test_the_demo_is_covered_by_what_it_ships_and_none_of_its_gaps_is_stale() -> None:
    # The one test card of the shipped list, and what the pictogram classifier knows.
    images = frozenset(map(str, (Category.INTELLECTUAL_PROPERTY, Category.WEAPONS, Category.DRUGS, Category.GORE)))
    claims = {Stage.PROMPT: EVERYTHING, Stage.INPUT_IMAGE: images | OF_FILES_SENT_IN, Stage.OUTPUT_IMAGE: images}
    assert uncovered(SHIPPED["demo"], claims) == ()
    assert stale_gaps(SHIPPED["demo"], claims) == ()


@given(shipped, st.lists(some_rules, max_size=5), stages, assurances, st.data())
def test_shadows_are_noted_as_if_they_decided_and_decide_nothing(
    policy: Policy, shadows: list[Rule], stage: Stage, assurance: int, data: st.DataObject
) -> None:
    found = data.draw(st.lists(findings_at(stage), min_size=1, max_size=6))

    def decide(changed: Policy) -> Decision:
        return evaluate(changed, found, stage=stage, assurance=assurance)

    without = decide(policy)
    noted = decide(replace(policy, shadows=tuple(shadows)))
    assert (noted.verdict, noted.reasons) == (without.verdict, without.reasons)
    enforced = decide(replace(policy, rules=tuple(shadows)))
    assert noted.shadows == tuple(reason for reason in enforced.reasons if not reason.floor)
    assert noted.join(without) == noted


def test_a_shadow_is_read_from_the_file_and_somebody_must_look_for_it(tmp_path: Path) -> None:
    rule = """
[[rule]]
id = "on-trial"
verdict = "refuse"
categories = ["drugs"]
threshold = 0.3
shadow = true
"""
    policy = load_policy(write_policy(tmp_path, POLICY + rule))
    found = Finding(Category.DRUGS.value, 0.4, Stage.PROMPT, "terms", "1")
    decision = evaluate(policy, [found], stage=Stage.PROMPT, assurance=0)
    assert (decision.verdict, decision.reasons) == (Verdict.ALLOW, ())
    assert [(reason.rule, reason.verdict, reason.score) for reason in decision.shadows] == [
        ("on-trial", Verdict.REFUSE, 0.4)
    ]
    claims = dict.fromkeys(Stage, EVERYTHING) | {Stage.OUTPUT_IMAGE: EVERYTHING - {"drugs"}}
    only = replace(policy, rules=(), accepted_gaps=())
    assert uncovered(only, claims) == (("drugs", Stage.OUTPUT_IMAGE),)


def test_a_shadow_does_not_make_a_policy_complete(tmp_path: Path) -> None:
    on_trial = POLICY.replace('level = "sure"', 'level = "sure"\nshadow = true')
    with pytest.raises(PolicyError, match="says nothing about"):
        load_policy(write_policy(tmp_path, on_trial))
