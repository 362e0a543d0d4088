"""A canary decides about its share of ids, always the same ones, under the same overlays."""

import functools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.parts import BootError
from gateway.settings import SettingsError, load_settings
from gateway.stations.rulebook import Rulebook, rulebook
from policies.loading import load_policy
from policies.policy import TOLERANCES
from tests.policies.house_policy import POLICY, WORDS, write_policy

OVERLAY = """
name = "school"
version = "1"
description = "For tests."

[[change]]
rule = "silence"
verdict = "refuse"
"""
CANARY = POLICY.replace('"house"', '"house-next"').replace("other = 0.9", "other = 0.8")


def book_of(folder: Path, share: float) -> Rulebook:
    overlay = folder / "school.toml"
    base = load_policy(write_policy(folder / "base"))
    canary = load_policy(write_policy(folder / "next", CANARY))
    overlay.write_text(OVERLAY)
    return rulebook(base, {"acme": overlay}, canary, share)


def test_a_canary_decides_about_its_share_of_ids_and_stays_with_each(tmp_path: Path) -> None:
    ids = [f"pred_{number}" for number in range(4000)]

    def chosen(share: float) -> set[str]:
        book = book_of(tmp_path, share)
        return {each for each in ids if book.policy_for("else", subject=each).name == "house-next"}

    tenth, half = chosen(0.1), chosen(0.5)
    assert 300 < len(tenth) < 500, "400 expected; 5 standard deviations are 95"
    assert 1840 < len(half) < 2160
    assert tenth < half, "a larger share takes more ids and gives none back"
    assert chosen(1.0) == set(ids)
    assert chosen(0.0) == set()


def test_the_readings_are_everything_that_can_decide(tmp_path: Path) -> None:
    book = book_of(tmp_path, 0.5)
    deciding = {
        id(book.policy_for(tenant, tolerance, subject=subject))
        for tenant in ("acme", "else")
        for tolerance in TOLERANCES
        for subject in ("pred_1", "pred_2", "pred_3", "pred_4")
    }
    assert deciding <= {id(each) for each in book.readings}


@functools.cache
def strict_instead() -> Rulebook:
    return Rulebook(load_policy("default"), {}, Rulebook(load_policy("strict"), {}), 1.0)


@given(st.text(min_size=1, max_size=40))
def test_what_has_no_id_is_decided_by_the_base(subject: str) -> None:
    book = strict_instead()
    assert book.policy_for("acme").name == "default"
    assert book.policy_for("acme", subject=subject).name == "strict"


def test_overlays_and_tolerance_hold_under_the_canary_too(tmp_path: Path) -> None:
    book = book_of(tmp_path, 1.0)
    assert book.policy_for("acme", subject="pred_1").name == "house-next+school"
    assert {policy.name for policy in book.others} == {"house+school", "house-next", "house-next+school"}
    stepped = Rulebook(load_policy("demo"), {}, Rulebook(load_policy("default"), {}), 1.0)
    assert stepped.policy_for("acme", 0, subject="pred_1").tolerance == 1


def test_a_canary_that_asks_other_classifiers_does_not_start(tmp_path: Path) -> None:
    base = load_policy(write_policy(tmp_path / "base"))
    other = load_policy(write_policy(tmp_path / "next", CANARY, WORDS.replace("blunderbuss", "musket")))
    with pytest.raises(BootError, match=r"house-next does not ask the classifiers that house asks.*same"):
        rulebook(base, {}, other, 0.5)


@pytest.mark.parametrize("settings", [{"canary_policy": "strict"}, {"canary_share": 0.5}, {"canary_share": 1.5}])
def test_half_a_canary_is_refused_with_its_settings(tmp_path: Path, settings: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match="canary_share"):
        load_settings(tmp_path, settings, environ={})
