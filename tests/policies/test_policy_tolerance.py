"""Tolerance: a caller may ask to be judged more strictly, more softly only as granted, and never past the floor."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.stations.rulebook import Rulebook
from policies.errors import PolicyError
from policies.evaluate import evaluate
from policies.findings import Finding, Stage
from policies.loading import BUILTIN_POLICIES, load_policy
from policies.policy import ASSURANCE_LEVELS, FLOOR_CATEGORIES, TOLERANCES, USUAL_TOLERANCE, Policy, ToleranceStep
from policies.tolerance import tolerated
from policies.verdicts import Verdict
from tests.policies.house_policy import POLICY, write_policy
from tests.policies.test_policy_overlay import bases, found_at, overlays, stages, telling

asked = st.sampled_from(sorted(TOLERANCES, reverse=True))
assurances = st.sampled_from(list(ASSURANCE_LEVELS))
some_steps = st.lists(
    st.builds(
        ToleranceStep,
        step=st.sampled_from([4, 6, 3, 1, 0]),
        levels=st.sampled_from([(("likely", "sure"),), (("sure", "likely"),)]),
        tenants=st.sampled_from([frozenset({"acme"}), frozenset({"else"})]),
    ),
    min_size=1,
    max_size=4,
).map(tuple)


@settings(max_examples=300)
@given(st.data(), some_steps, stages, assurances, asked, asked)
def test_a_lower_tolerance_is_never_softer_and_a_higher_one_never_below_the_floor(
    data: st.DataObject, steps: tuple[ToleranceStep, ...], stage: Stage, assurance: int, one: int, other: int
) -> None:
    base = replace(data.draw(bases()), tolerance_steps=steps)
    findings = data.draw(telling(base, stage))

    def verdict(policy: Policy) -> Verdict:
        return evaluate(policy, findings, stage=stage, assurance=assurance).verdict

    low, high = sorted((one, other))
    assert verdict(tolerated(base, low, "acme")) >= verdict(tolerated(base, high, "acme"))
    guarding = tuple(rule for rule in base.rules if rule.guards_the_floor)
    assert verdict(tolerated(base, high, "acme")) >= verdict(replace(base, rules=guarding))
    assert tolerated(base, USUAL_TOLERANCE, "acme") == base
    if not any("acme" in step.tenants for step in steps):
        assert verdict(tolerated(base, high, "acme")) >= verdict(base)


@settings(max_examples=300)
@given(st.data(), some_steps, stages, assurances, asked, st.sampled_from(["acme", "else", "nobody"]))
def test_no_base_overlay_assurance_and_parameter_together_soften_what_is_not_granted(
    data: st.DataObject,
    steps: tuple[ToleranceStep, ...],
    stage: Stage,
    assurance: int,
    step: int,
    tenant: str,
) -> None:
    base = replace(data.draw(bases()), tolerance_steps=steps)
    overlay = data.draw(overlays(base))
    findings = data.draw(telling(base, stage))

    def verdict(policy: Policy) -> Verdict:
        return evaluate(policy, findings, stage=stage, assurance=assurance).verdict

    try:
        book = Rulebook(base, {"acme": (overlay,)})
    except PolicyError:
        book = Rulebook(base, {})  # refused at load: nobody has it
    decided = verdict(book.policy_for(tenant, step))
    assert decided >= verdict(replace(base, rules=()))
    guarding = tuple(rule for rule in base.rules if rule.guards_the_floor)
    assert decided >= verdict(replace(base, rules=guarding)), "what speaks about the floor is softened for nobody"
    granted_steps = any(tenant in each.tenants for each in steps)
    granted_rules = any(tenant in grant.tenants for grant in base.grants)
    if not granted_steps and not granted_rules:
        assert decided >= verdict(base)
    if tenant != "acme" and not granted_steps:
        assert decided == verdict(tolerated(base, min(step, USUAL_TOLERANCE), tenant))


@given(st.sampled_from([load_policy(name) for name in BUILTIN_POLICIES]), stages, assurances, asked, st.data())
def test_the_shipped_policies_grant_nobody_a_softer_step(
    policy: Policy, stage: Stage, assurance: int, step: int, data: st.DataObject
) -> None:
    findings = data.draw(found_at(stage))
    read = evaluate(tolerated(policy, step, "acme"), findings, stage=stage, assurance=assurance)
    usual = evaluate(policy, findings, stage=stage, assurance=assurance)
    assert read == usual if step >= USUAL_TOLERANCE else read.verdict >= usual.verdict


STEPPED = (
    POLICY.replace("[levels.sure]", "[levels.likely]\nterms = 0.5\nother = 0.6\n\n[levels.sure]")
    + """
[[rule]]
id = "notes"
verdict = "hold"
categories = ["drugs"]
level = "likely"

[[rule]]
id = "minors"
verdict = "hold"
categories = ["csae"]
level = "likely"

[[tolerance]]
step = 1
levels = { sure = "likely" }

[[tolerance]]
step = 4
levels = { likely = "sure" }
tenants = ["acme"]
"""
)


@pytest.mark.parametrize(
    ("tenant", "step", "counted", "category", "verdict"),
    [
        ("acme", 0, 1, "hate", "refuse"),
        ("acme", 1, 1, "hate", "refuse"),
        ("acme", 2, 2, "hate", "allow"),
        ("acme", 2, 2, "drugs", "hold"),
        ("acme", 3, 2, "drugs", "hold"),
        ("acme", 4, 4, "drugs", "allow"),
        ("acme", 6, 4, "drugs", "allow"),
        ("acme", 6, 4, "csae", "hold"),  # speaks about what the floor refuses
        ("else", 6, 2, "drugs", "hold"),  # was granted nothing
        ("else", 0, 1, "hate", "refuse"),
    ],
)
def test_a_step_counts_as_far_as_the_policy_has_and_grants_it(
    tmp_path: Path, tenant: str, step: int, counted: int, category: str, verdict: str
) -> None:
    base = load_policy(write_policy(tmp_path, STEPPED))
    policy = Rulebook(base, {}).policy_for(tenant, step)
    found = Finding(category, 0.7, Stage.PROMPT, "terms", "1")
    assert policy.tolerance == counted
    assert policy.digest == base.digest
    assert evaluate(policy, [found], stage=Stage.PROMPT, assurance=1).verdict.word == verdict


def test_every_step_refuses_what_the_floor_refuses(tmp_path: Path) -> None:
    book = Rulebook(load_policy(write_policy(tmp_path, STEPPED)), {})
    for step in TOLERANCES:
        for category in FLOOR_CATEGORIES:
            for stage in Stage:
                certain = Finding(category, 1.0, stage, "terms", "1")
                decision = evaluate(book.policy_for("acme", step), [certain], stage=stage, assurance=3)
                assert decision.verdict is Verdict.REFUSE
                assert any(reason.floor for reason in decision.reasons)


FAULTS = {
    "the usual step": ("step = 4", "step = 2", "tolerance[1].step", "below 2"),
    "a step outside the scale": ("step = 4", "step = 7", "tolerance[1].step", "less than 7"),
    "a softer step for everybody": ('tenants = ["acme"]', "", "tolerance[1].tenants", "Name the tenants"),
    "a stricter step for somebody": ("step = 4", "step = 0", "tolerance[1].tenants", "Take the tenants out"),
    "a level nobody defined": (
        'likely = "sure"',
        'likely = "certain"',
        "tolerance[1].levels",
        "Use one of: likely, sure",
    ),
    "a level of no rule": ('likely = "sure"', 'maybe = "sure"', "tolerance[1].levels", "Use one of: likely, sure"),
    "no levels": ('{ likely = "sure" }', "{}", "tolerance[1].levels", "at least 1 item"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_step_is_refused_by_field_and_remedy(tmp_path: Path, fault: str) -> None:
    old, new, field, remedy = FAULTS[fault]
    assert STEPPED.count(old) == 1
    with pytest.raises(PolicyError) as refusal:
        load_policy(write_policy(tmp_path, STEPPED.replace(old, new)))
    assert refusal.value.field == field
    assert remedy in refusal.value.remedy
