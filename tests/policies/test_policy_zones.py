"""The grey zone: who is asked when is policy, and not being asked never makes anything pass."""

import functools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.errors import PolicyError
from policies.evaluate import evaluate, stopped_from
from policies.findings import UNANSWERED, Category, Finding, Stage, unanswered
from policies.loading import load_policy
from policies.policy import ASSURANCE_LEVELS
from policies.zones import Place, Zone
from tests.policies.house_policy import POLICY, write_policy

GUARD = """
[[classifier]]
kind = "prompt"
part = "guard"
asked = { after = "terms", from = 0.3, to = 0.9, seconds = 20 }

[[classifier]]
kind = "image"
"""
GUARDED = POLICY.replace('\n[[classifier]]\nkind = "image"\n', GUARD, 1)
ZONE = Zone("terms", 0.3, 0.9, 20.0)
ALL = frozenset(map(str, Category))


def found(*scores: tuple[str, float], by: str = "terms") -> tuple[Finding, ...]:
    return tuple(Finding(category, score, Stage.PROMPT, by, "1") for category, score in scores)


@pytest.mark.parametrize(
    ("findings", "place"),
    [
        (found(("hate", 0.29)), Place.BELOW),
        (found(("hate", 0.3)), Place.ASKED),
        (found(("hate", 0.1), ("gore", 0.5)), Place.ASKED),
        (found(("hate", 0.9)), Place.ABOVE),
        (found(("hate", 0.9), ("gore", 0.5)), Place.ABOVE),
        (found(("hate", 0.9), by="another"), Place.SILENT),
        ((), Place.SILENT),
        ((*found(("hate", 0.5)), unanswered(Stage.PROMPT, "terms", "1", "timeout")), Place.SILENT),
    ],
)
def test_the_zone_holds_its_lower_end_and_not_its_upper(findings: tuple[Finding, ...], place: Place) -> None:
    assert ZONE.place(findings, ALL) is place


def test_a_sure_score_in_a_category_that_is_not_stopped_does_not_spare_the_guard() -> None:
    assert ZONE.place(found(("hate", 0.95)), ALL - {"hate"}) is Place.ASKED


@given(
    st.lists(st.tuples(st.sampled_from(sorted(ALL)), st.floats(0, 1)), min_size=1),
    st.sampled_from(["house", "default", "strict"]),
    st.sampled_from(ASSURANCE_LEVELS),
)
@settings(deadline=None)
def test_what_is_not_asked_about_was_below_the_zone_or_is_stopped(
    guarded: Path, scores: list[tuple[str, float]], name: str, assurance: int
) -> None:
    policy = known(guarded if name == "house" else name)
    findings = found(*scores)
    place = ZONE.place(findings, stopped_from(ZONE.high, ZONE.after, (policy,)))
    decision = evaluate(policy, findings, stage=Stage.PROMPT, assurance=assurance)
    assert place is not Place.ABOVE or decision.stops
    assert place is not Place.BELOW or max(score for _, score in scores) < ZONE.low
    assert place is not Place.SILENT


known = functools.cache(load_policy)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_policy(tmp_path_factory.mktemp("guarded"), GUARDED)


def test_stopped_is_only_what_every_policy_stops_for_everybody(guarded: Path) -> None:
    strict, default = load_policy("strict"), load_policy("default")
    assert stopped_from(1.0, "terms", (load_policy(guarded),)) == ALL
    assert stopped_from(0.5, "terms", (strict, default)) < stopped_from(1.0, "terms", (strict, default)) < ALL
    assert UNANSWERED not in stopped_from(1.0, "terms", (strict,))


def test_the_zone_is_in_the_policy_and_its_digest(guarded: Path, tmp_path: Path) -> None:
    policy = load_policy(guarded)
    assert [use.asked for use in policy.classifiers if use.part == "guard"] == [ZONE]
    other = load_policy(write_policy(tmp_path, GUARDED.replace("from = 0.3", "from = 0.4")))
    assert other.digest != policy.digest


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ('after = "terms"', 'after = "semantic"', "asked.after"),
        ('after = "terms"', 'after = "guard"', "asked.after"),
        ("from = 0.3", "from = 0.9", "asked.to"),
        ("from = 0.3", "from = -0.1", "from"),
        ("to = 0.9", "to = 1.1", "to"),
        ("seconds = 20", "seconds = 0", "seconds"),
        (", seconds = 20", "", "seconds"),
        ("seconds = 20", 'seconds = 20, unless = "x"', "unless"),
        ('kind = "prompt"\npart = "guard"', 'kind = "image"\npart = "guard"', "classifier[guard].asked"),
    ],
)
def test_a_zone_that_makes_no_sense_is_refused(tmp_path: Path, old: str, new: str, field: str) -> None:
    assert old in GUARDED
    with pytest.raises(PolicyError) as refused:
        load_policy(write_policy(tmp_path, GUARDED.replace(old, new)))
    assert field in str(refused.value)
