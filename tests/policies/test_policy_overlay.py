"""Overlays: whatever one says, the floor holds, and nothing gets softer than the base unless the base grants it."""

from dataclasses import replace
from itertools import takewhile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.comparison import differences
from policies.errors import PolicyError
from policies.evaluate import evaluate
from policies.findings import UNANSWERED, Category, Finding, Stage
from policies.loading import load_overlay, load_policy
from policies.overlay import Overlay, overlaid
from policies.policy import ASSURANCE_LEVELS, OTHER, Grant, Policy, Rule
from policies.reading import SHIPPED
from policies.verdicts import Verdict
from tests.policies.house_policy import POLICY, changed, write_policy

BASE = load_policy("default")
CLASSIFIERS = ("terms", "clip")
CATEGORIES = [Category.CSAE.value, Category.DRUGS.value, Category.HATE.value, UNANSWERED]  # few, so that rules meet

stages = st.sampled_from(list(Stage))
verdicts = st.sampled_from(sorted(Verdict, reverse=True))
scores = st.sampled_from([0.0, 0.25, 0.5, 0.6, 0.75, 0.9, 0.96, 1.0]) | st.floats(0, 1)
levels = st.dictionaries(st.sampled_from(CLASSIFIERS), scores).flatmap(
    lambda named: scores.map(lambda other: {**named, OTHER: other})
)
thresholds = st.dictionaries(st.sampled_from(CLASSIFIERS), scores).map(lambda named: tuple(sorted(named.items())))
LEVELS = ("likely", "sure")
READINGS = [
    {"likely": {"terms": 0.5, OTHER: 0.25}, "sure": {"clip": 0.75, OTHER: 0.9}},
    {"likely": {"clip": 0.96, OTHER: 0.5}, "sure": {"terms": 0.25, OTHER: 0.6}},  # not every word means what it says
]


@st.composite
def rules(draw: st.DrawFn, prefix: str) -> tuple[Rule, ...]:
    """Up to five rules; those with a level are read from `LEVELS` by `leveled`."""
    drawn = draw(
        st.lists(
            st.builds(
                Rule,
                id=st.just(""),
                verdict=verdicts,
                categories=st.frozensets(st.sampled_from(CATEGORIES), min_size=1),
                stages=st.frozensets(stages, min_size=1),
                thresholds=thresholds,
                other=st.none() | scores,
                min_assurance=st.sampled_from([0, 2]),
                below_assurance=st.sampled_from([4, 2]),
                level=st.sampled_from([*LEVELS, None]),
            ),
            min_size=1,
            max_size=5,
        )
    )
    return tuple(replace(rule, id=f"{prefix}-{number}") for number, rule in enumerate(drawn))


@st.composite
def bases(draw: st.DrawFn) -> Policy:
    """Any rules at all over the real floor, with any grants of them to the tenant `acme`."""
    known = draw(st.sampled_from(READINGS))
    own = tuple(
        replace(
            rule,
            thresholds=tuple(sorted((n, s) for n, s in known[rule.level].items() if n != OTHER)),
            other=known[rule.level][OTHER],
        )
        if rule.level
        else rule
        for rule in draw(rules("base"))
    )
    grants = tuple(
        Grant(rule.id, draw(verdicts), draw(st.sampled_from([frozenset({"acme"}), frozenset({"else"})])))
        for rule in own
        if not rule.guards_the_floor and draw(st.booleans())
    )
    return replace(BASE, rules=own, levels=known, grants=grants)


@st.composite
def overlays(draw: st.DrawFn, base: Policy) -> Overlay:
    changes = {rule.id: draw(verdicts) for rule in base.rules if draw(st.booleans())}
    said = draw(st.dictionaries(st.sampled_from(LEVELS), levels))
    return Overlay("o.toml", "o", "1", "sha256:0", tuple(said.items()), tuple(changes.items()), draw(rules("extra")))


def found_at(stage: Stage) -> st.SearchStrategy[list[Finding]]:
    said = (st.sampled_from(CATEGORIES), scores, st.just(stage), st.sampled_from(CLASSIFIERS), st.just("1"))
    return st.lists(st.builds(Finding, *said), min_size=1, max_size=6)


@st.composite
def telling(draw: st.DrawFn, base: Policy, stage: Stage) -> list[Finding]:
    """Findings, often one that just reaches a rule of the base: where a softer reading shows."""
    reached = [
        Finding(category, score, stage, classifier, "1")
        for rule in base.rules
        if stage in rule.stages
        for category in sorted(rule.categories)
        for classifier in CLASSIFIERS
        if (score := rule.threshold_for(classifier)) is not None
    ]
    return [draw(st.sampled_from(reached))] if reached and draw(st.integers(0, 3)) else draw(found_at(stage))


def as_granted(base: Policy, tenant: str) -> Policy:
    """The base with every rule granted to the tenant as soft as the grant allows."""

    def least(rule: Rule) -> Verdict:
        granted = [grant.least for grant in base.grants if grant.rule == rule.id and tenant in grant.tenants]
        return min([rule.verdict, *granted])

    return replace(base, rules=tuple(replace(rule, verdict=least(rule)) for rule in base.rules))


@given(st.data(), stages, st.sampled_from(list(ASSURANCE_LEVELS)))
def test_an_overlay_is_never_softer_than_the_floor_and_the_base_unless_granted(
    data: st.DataObject, stage: Stage, assurance: int
) -> None:
    base = data.draw(bases())
    overlay = data.draw(overlays(base))
    findings = data.draw(telling(base, stage))

    def verdict(policy: Policy) -> Verdict:
        return evaluate(policy, findings, stage=stage, assurance=assurance).verdict

    try:
        merged = overlaid(base, overlay, "acme")
    except PolicyError:
        return  # refused at load: nothing is softer either
    assert verdict(merged) >= verdict(replace(base, rules=()))
    assert verdict(merged) >= verdict(as_granted(base, "acme"))
    assert verdict(merged) >= verdict(replace(base, rules=overlay.rules))


@given(st.data())
def test_an_overlay_is_taken_exactly_where_no_rule_gets_softer_without_a_grant(data: st.DataObject) -> None:
    base = data.draw(bases())
    overlay = data.draw(overlays(base))
    least = {rule.id: rule.verdict for rule in as_granted(base, "acme").rules}
    if all(verdict >= least[rule] for rule, verdict in overlay.verdicts):
        assert {rule.id for rule in overlaid(base, overlay, "acme").rules} >= set(least)
    else:
        with pytest.raises(PolicyError, match="softer"):
            overlaid(base, overlay, "acme")


OVERLAY = """
name = "school"
version = "2"
description = "For tests."

[levels.sure]
pdq_list = 0.5
other = 0.8

[[change]]
rule = "notes"
verdict = "refuse"

[[rule]]
id = "no-toys"
verdict = "hold"
categories = ["weapons"]
threshold = 0.3
"""

GRANTING = (
    POLICY
    + """
[[rule]]
id = "notes"
verdict = "hold"
categories = ["drugs"]
threshold = 0.4

[[grant]]
rule = "notes"
verdict = "flag"
tenants = ["acme"]
"""
)


def overlay_over(folder: Path, text: str, policy: str = GRANTING, tenant: str = "acme") -> Policy:
    base = load_policy(write_policy(folder, policy))
    file = folder / "overlay.toml"
    file.write_text(text, encoding="utf-8")
    return overlaid(base, load_overlay(file, base), tenant)


@pytest.mark.parametrize(
    ("category", "classifier", "score", "verdict"),
    [
        ("weapons", "terms", 0.3, "hold"),  # the added rule
        ("drugs", "terms", 0.4, "refuse"),  # the changed verdict
        ("hate", "pdq_list", 0.5, "refuse"),  # a lowered level
        ("hate", "somebody", 0.8, "refuse"),
        ("hate", "terms", 0.99, "allow"),  # not named, so as in the base
    ],
)
def test_an_overlay_lowers_levels_hardens_verdicts_and_adds_rules(
    tmp_path: Path, category: str, classifier: str, score: float, verdict: str
) -> None:
    policy = overlay_over(tmp_path, OVERLAY)
    found = Finding(category, score, Stage.PROMPT, classifier, "1")
    assert evaluate(policy, [found], stage=Stage.PROMPT, assurance=1).verdict.word == verdict


def test_name_version_and_digest_say_what_was_laid_over_what(tmp_path: Path) -> None:
    base = load_policy(write_policy(tmp_path, GRANTING))
    one, other = overlay_over(tmp_path, OVERLAY), overlay_over(tmp_path, OVERLAY + "\n# a comment")
    assert (one.name, one.version) == ("house+school", "7+2")
    assert len({base.digest, one.digest, other.digest}) == 3
    assert one.digest == overlay_over(tmp_path / "elsewhere", OVERLAY, tenant="another").digest
    assert one.digest != overlay_over(tmp_path, OVERLAY, GRANTING + "\n# a comment").digest


def test_a_granted_rule_is_softened_for_that_tenant_as_far_as_granted_and_no_further(tmp_path: Path) -> None:
    softened = OVERLAY.replace('verdict = "refuse"', 'verdict = "flag"')
    found = Finding("drugs", 0.4, Stage.PROMPT, "terms", "1")
    decision = evaluate(overlay_over(tmp_path, softened), [found], stage=Stage.PROMPT, assurance=1)
    assert decision.verdict is Verdict.FLAG
    with pytest.raises(PolicyError, match=r"change\[notes\]\.verdict.*does not grant it to 'another'.*\[\[grant\]\]"):
        overlay_over(tmp_path, softened, tenant="another")
    with pytest.raises(PolicyError, match=r"change\[notes\]\.verdict: allow is softer than hold"):
        overlay_over(tmp_path, softened.replace('"flag"', '"allow"'))


FAULTS = {
    "a raised level": (OVERLAY.replace("other = 0.8", "other = 0.95"), "levels.sure.other", "at most 0.9"),
    "a raised score of one classifier": (
        OVERLAY.replace("other = 0.8", "terms = 1.0").replace("pdq_list = 0.5", "pdq_list = 0.91"),
        "levels.sure.pdq_list",
        "at most 0.9",
    ),
    "a new level silent about others": (
        OVERLAY.replace("[levels.sure]\n", "[levels.hint]\n").replace("other = 0.8\n", ""),
        "levels.hint",
        "Add other",
    ),
    "a classifier nobody asks": (
        OVERLAY.replace("pdq_list = 0.5", "clip = 0.5"),
        "levels.sure.clip",
        "Use one of pdq_list, terms",
    ),
    "an id of the base": (OVERLAY.replace('"no-toys"', '"everything"'), "rule[everything].id", "its own id"),
    "an id of the floor": (OVERLAY.replace('"no-toys"', '"floor-minors"'), "rule[floor-minors].id", "its own id"),
    "a rule that would soften the floor": (
        OVERLAY.replace('["weapons"]\nthreshold = 0.3', '["csae"]\nthreshold = 1.0'),
        "rule[no-toys].verdict",
        "Take the category out",
    ),
    "a change of no rule": (OVERLAY.replace('"notes"', '"nots"'), "change[nots].rule", "fluxgate policy check"),
    "a change of the floor": (
        OVERLAY.replace('"notes"', '"floor-minors"'),
        "change[floor-minors].rule",
        "of the base policy's own",
    ),
    "silence softened": (
        OVERLAY.replace('"notes"\nverdict = "refuse"', '"silence"\nverdict = "hold"'),
        "change[silence].verdict",
        "granted to nobody",
    ),
    "a rule changed twice": (
        OVERLAY + '\n[[change]]\nrule = "notes"\nverdict = "hold"\n',
        "change[notes].rule",
        "Change it once",
    ),
    "a classifier of its own": (
        OVERLAY + '\n[[classifier]]\nkind = "prompt"\npart = "semantic"\n',
        "classifier",
        "Remove it",
    ),
    "a grant to itself": (
        OVERLAY + '\n[[grant]]\nrule = "everything"\nverdict = "flag"\ntenants = ["acme"]\n',
        "grant",
        "Remove it",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_overlay_is_refused_by_file_field_and_remedy(tmp_path: Path, fault: str) -> None:
    text, field, remedy = FAULTS[fault]
    with pytest.raises(PolicyError) as refusal:
        overlay_over(tmp_path, text)
    assert (refusal.value.file, refusal.value.field) == (str(tmp_path / "overlay.toml"), field)
    assert remedy in refusal.value.remedy


GRANT_FAULTS = {
    "of no rule": ('"notes"\nverdict = "flag"', '"nots"\nverdict = "flag"', "grant[nots].rule", "Name a rule"),
    "of the floor": (
        '"notes"\nverdict = "flag"',
        '"floor-minors"\nverdict = "flag"',
        "grant[floor-minors].rule",
        "granted to nobody",
    ),
    "of a rule about what the floor refuses": (
        '"notes"\nverdict = "flag"',
        '"everything"\nverdict = "flag"',
        "grant[everything].rule",
        "softened for nobody",
    ),
    "of what is allowed anyway": (
        '"notes"\nverdict = "flag"',
        '"notes"\nverdict = "refuse"',
        "grant[notes].verdict",
        "softer than hold",
    ),
    "to nobody": ('["acme"]', "[]", "grant[notes].tenants", "at least 1 item"),
}


@pytest.mark.parametrize("fault", GRANT_FAULTS)
def test_a_faulty_grant_is_refused_by_field_and_remedy(tmp_path: Path, fault: str) -> None:
    old, new, field, remedy = GRANT_FAULTS[fault]
    assert GRANTING.count(old) == 1
    with pytest.raises(PolicyError) as refusal:
        load_policy(write_policy(tmp_path, GRANTING.replace(old, new)))
    assert refusal.value.field == field
    assert remedy in refusal.value.remedy


def test_a_shadow_of_an_overlay_is_added_to_those_of_the_base(tmp_path: Path) -> None:
    on_trial = '\n[[rule]]\nid = "trial"\nverdict = "hold"\ncategories = ["gore"]\nthreshold = 0.2\nshadow = true\n'
    base = GRANTING + on_trial.replace('"trial"', '"older-trial"')
    policy = overlay_over(tmp_path, OVERLAY + on_trial, base)
    assert [rule.id for rule in policy.shadows] == ["older-trial", "trial"]
    found = Finding("gore", 0.3, Stage.PROMPT, "terms", "1")
    assert evaluate(policy, [found], stage=Stage.PROMPT, assurance=1).verdict is Verdict.ALLOW
    with pytest.raises(PolicyError, match=r"rule\[trial\]\.id"):
        overlay_over(tmp_path, OVERLAY + on_trial, base.replace("older-trial", "trial"))


def test_an_overlay_over_a_level_the_base_does_not_have_defines_it_for_its_own_rules(tmp_path: Path) -> None:
    text = OVERLAY.replace("[levels.sure]\npdq_list = 0.5", "[levels.hint]\npdq_list = 0.2").replace(
        "threshold = 0.3", 'level = "hint"'
    )
    policy = overlay_over(tmp_path, text, changed("other = 0.9", "other = 0.95") + GRANTING.removeprefix(POLICY))
    for classifier, score, verdict in (("pdq_list", 0.2, Verdict.HOLD), ("terms", 0.79, Verdict.ALLOW)):
        found = Finding("weapons", score, Stage.INPUT_IMAGE, classifier, "1")
        assert evaluate(policy, [found], stage=Stage.INPUT_IMAGE, assurance=0).verdict is verdict


def example(first_line: str) -> str:
    """The indented block of policies/README.md that begins with that line."""
    text = (SHIPPED.parent / "README.md").read_text("utf-8")
    block = text[text.index(f"    {first_line}") :].splitlines()
    return "\n".join(
        line.removeprefix("    ") for line in takewhile(lambda line: line[:4].isspace() or not line, block)
    )


def test_the_examples_of_the_readme_load_and_tighten(tmp_path: Path) -> None:
    (tmp_path / "terms").symlink_to(SHIPPED / "terms")
    (tmp_path / "hashes").symlink_to(SHIPPED / "hashes")
    (tmp_path / "registers").symlink_to(SHIPPED / "registers")
    (tmp_path / "image_prompts.toml").symlink_to(SHIPPED / "image_prompts.toml")
    own = (SHIPPED / "default.toml").read_text("utf-8").split("[[tolerance]]")
    text = own[0] + own[1].replace('step = 1\nlevels = { sure = "likely" }', "")
    (tmp_path / "mine.toml").write_text(text + example("[[grant]]") + "\n" + example("[[tolerance]]"))
    (tmp_path / "school.toml").write_text(example('name = "school"'))
    base = load_policy(tmp_path / "mine.toml")
    assert [(step.step, step.tenants) for step in base.tolerance_steps] == [(1, frozenset()), (4, frozenset({"acme"}))]
    assert [grant.rule for grant in base.grants] == ["worth-noting"]
    changes = differences(base, overlaid(base, load_overlay(tmp_path / "school.toml", base), "acme"))
    assert changes
    assert not any(change.softer for change in changes)
