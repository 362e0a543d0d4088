"""`fluxgate policy explain | diff | test`, and the comparison behind them: complete, honest about what is softer."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from gateway.cli import app
from policies.comparison import differences, ladder
from policies.evaluate import evaluate
from policies.findings import Category, Finding, Stage
from policies.loading import load_policy
from policies.policy import OTHER
from policies.verdicts import Verdict
from tests.policies.house_policy import POLICY, write_policy

CASES = Path(__file__).with_name("cases.toml")
SHIPPED = {name: load_policy(name) for name in ("demo", "default", "strict")}


@given(
    name=st.sampled_from(sorted(SHIPPED)),
    category=st.sampled_from([*map(str, Category), "unanswered"]),
    stage=st.sampled_from(list(Stage)),
    classifier=st.sampled_from(["terms", "semantic", "clip", "pdq_list", "somebody"]),
    level=st.integers(0, 3),
    score=st.floats(0, 1),
)
def test_the_ladder_says_what_the_policy_decides_at_every_score(
    name: str, category: str, stage: Stage, classifier: str, level: int, score: float
) -> None:
    steps = ladder(SHIPPED[name], category, stage, classifier, level)
    said = max((step for step in steps if step.score <= score), key=lambda step: step.score)
    finding = Finding(category, score, stage, classifier, "1")
    assert said.verdict is evaluate(SHIPPED[name], [finding], stage=stage, assurance=level).verdict
    assert [step.verdict for step in steps] == sorted(step.verdict for step in steps), "more score is never softer"


def test_a_policy_does_not_differ_from_itself() -> None:
    assert differences(SHIPPED["default"], SHIPPED["default"]) == ()


def test_a_lowered_threshold_is_harder_and_a_raised_one_softer(tmp_path: Path) -> None:
    one = load_policy(write_policy(tmp_path / "one"))
    other = load_policy(write_policy(tmp_path / "other", POLICY.replace("other = 0.9", "other = 0.8")))
    harder = differences(one, other)
    assert {(each.score, each.below) for each in harder} == {(0.8, 0.9)}
    assert OTHER in {each.classifier for each in harder}
    assert "terms" not in {each.classifier for each in harder}, "it has a level of its own"
    assert not any(each.softer for each in harder)
    assert all(each.softer for each in differences(other, one))
    assert all(each.new is Verdict.REFUSE for each in harder)
    runner = CliRunner()
    files = [str(tmp_path / name / "house.toml") for name in ("one", "other")]
    assert runner.invoke(app, ["policy", "diff", *files, "--no-softer"]).exit_code == 0
    softened = runner.invoke(app, ["policy", "diff", *reversed(files), "--no-softer"])
    assert softened.exit_code == 1
    assert "softer" in softened.output


GUARD = """
[[classifier]]
kind = "prompt"
part = "guard"
asked = { after = "terms", from = 0.3, to = 0.9, seconds = 20 }
"""
NONSENSE = '[[classifier]]\nkind = "prompt"\npart = "nonsense"\n'
IMAGES = '[[classifier]]\nkind = "image"\npart = "pdq_list"\n'


@pytest.mark.parametrize(
    ("old", "new", "change", "softer"),
    [
        (POLICY + NONSENSE, POLICY, "no longer asked", True),
        (POLICY, POLICY + NONSENSE, "asked from now on", False),
        (POLICY, POLICY.replace(IMAGES, IMAGES + "options = { lists = [] }\n"), "other options or data", True),
        (POLICY, POLICY.replace('["words.toml"]', '["words.toml", "shipped:terms/de.toml"]'), "more data", False),
        (POLICY.replace('["words.toml"]', '["words.toml", "shipped:terms/de.toml"]'), POLICY, "other options", True),
        (POLICY + GUARD, POLICY + GUARD.replace("0.3", "0.4"), "from 0.4 to below 0.9", True),
        (POLICY + GUARD, POLICY + GUARD.replace("0.3", "0.2"), "from 0.2 to below 0.9", False),
        (POLICY + GUARD, POLICY + GUARD.replace("0.9", "0.8").replace("20", "5"), "below 0.8, for 5 s", False),
        (POLICY + GUARD.replace("asked", "# asked"), POLICY + GUARD, "was asked always", True),
        (POLICY + GUARD, POLICY + GUARD.replace("asked", "# asked"), "is asked always", False),
    ],
)
def test_diff_says_who_is_asked_otherwise(tmp_path: Path, old: str, new: str, change: str, softer: bool) -> None:
    files = [str(write_policy(tmp_path / name, text)) for name, text in (("old", old), ("new", new))]
    got = CliRunner().invoke(app, ["policy", "diff", *files, "--no-softer", "--json"])
    (asked,) = json.loads(got.stdout)["classifiers"]
    assert change in asked["change"]
    assert (asked["softer"], got.exit_code) == (softer, int(softer))
    shown = CliRunner().invoke(app, ["policy", "diff", *files])
    assert (change in shown.stdout, "red" in shown.stdout) == (True, False)
    assert f"1 differences, {int(softer)} of them softer" in shown.stdout


def test_explain_names_verdict_and_rule_at_each_score() -> None:
    got = CliRunner().invoke(app, ["policy", "explain", "demo", "--category", "csae", "--stage", "prompt", "--json"])
    (terms,) = [row for row in json.loads(got.stdout)["rows"] if row["classifier"] == "terms"]
    assert terms["steps"][0] == {"score": 0.0, "verdict": "allow", "rules": []}
    assert terms["steps"][-1]["verdict"] == "refuse"
    assert terms["steps"][-1]["rules"][0].startswith("floor:")


def test_the_shipped_policies_pass_their_unit_tests(settings_folder: Path) -> None:
    got = CliRunner().invoke(
        app, ["policy", "test", str(CASES), "--policy", "demo", "--data-dir", str(settings_folder)]
    )
    assert got.exit_code == 0, got.output
    assert "5 of 5 cases" in got.output


def test_a_case_that_is_not_met_is_named_and_its_prompt_is_not_printed(tmp_path: Path, settings_folder: Path) -> None:
    file = tmp_path / "cases.toml"
    file.write_text('[[case]]\nid = "apple"\nprompt = "a red apple"\nexpect = "refuse"\n')
    got = CliRunner().invoke(app, ["policy", "test", str(file), "--policy", "demo", "--data-dir", str(settings_folder)])
    assert got.exit_code == 1
    assert "FAILED apple: expected refuse, is allow" in got.output
    assert "a red apple" not in got.output


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "case"),
        ('[[case]]\nid = "a"\nexpect = "allow"\n', "give a prompt or findings"),
        ('[[case]]\nid = "a"\nprompt = "x"\nexpect = "perhaps"\n', "expect"),
        ("[[case", "cannot be read as TOML"),
    ],
)
def test_a_file_that_is_not_usable_says_why(tmp_path: Path, text: str, said: str, settings_folder: Path) -> None:
    file = tmp_path / "cases.toml"
    file.write_text(text)
    got = CliRunner().invoke(app, ["policy", "test", str(file), "--policy", "demo", "--data-dir", str(settings_folder)])
    assert got.exit_code == 2
    assert said in got.output


OVERLAY = """
name = "school"
version = "1"
description = "For tests."

[[change]]
rule = "rights-holders"
verdict = "refuse"

[[rule]]
id = "drugs-on-trial"
verdict = "refuse"
categories = ["drugs"]
threshold = 0.5
shadow = true
"""


@pytest.fixture
def overlay(tmp_path: Path) -> str:
    file = tmp_path / "school.toml"
    file.write_text(OVERLAY)
    return str(file)


def test_diff_shows_what_an_overlay_changes_and_nothing_of_it_is_softer(overlay: str) -> None:
    got = CliRunner().invoke(app, ["policy", "diff", "demo", "demo", "--overlay", overlay, "--no-softer", "--json"])
    assert got.exit_code == 0, got.output
    found = json.loads(got.stdout)["differences"]
    assert {(each["category"], each["old"], each["new"]) for each in found} == {
        ("intellectual_property", "hold", "refuse")
    }


def test_diff_shows_what_a_tolerance_changes() -> None:
    for tolerance, differing in (("0", True), ("6", False)):
        asked = ["policy", "diff", "strict", "strict", "--tolerance", tolerance, "--no-softer", "--json"]
        got = CliRunner().invoke(app, asked)
        assert got.exit_code == 0, got.output
        assert bool(json.loads(got.stdout)["differences"]) is differing


def test_explain_names_the_verdict_an_overlay_gives(overlay: str) -> None:
    asked = ["policy", "explain", "demo", "--category", "intellectual_property", "--overlay", overlay, "--json"]
    said = json.loads(CliRunner().invoke(app, asked).stdout)
    assert said["policy"] == "demo+school"
    assert {row["steps"][-1]["verdict"] for row in said["rows"]} == {"refuse"}


def test_cases_are_run_under_an_overlay_and_see_rules_on_trial(
    tmp_path: Path, overlay: str, settings_folder: Path
) -> None:
    file = tmp_path / "cases.toml"
    file.write_text(
        '[[case]]\nid = "a"\nfindings = [{category = "drugs", score = 0.5, classifier = "terms"}]\n'
        'expect = "flag"\nshadow = "drugs-on-trial"\n'
    )
    asked = ["policy", "test", str(file), "--policy", "demo", "--data-dir", str(settings_folder)]
    got = CliRunner().invoke(app, [*asked, "--overlay", overlay])
    assert got.exit_code == 0, got.output
    assert "under demo+school" in got.output
    got = CliRunner().invoke(app, asked)
    assert got.exit_code == 1
    assert "expected flag with drugs-on-trial on trial" in got.output


def test_check_shows_shadows_grants_and_steps_and_reads_the_settings_overlays(
    tmp_path: Path, overlay: str, settings_folder: Path
) -> None:
    asked = ["policy", "check", "demo", "--no-build", "--data-dir", str(settings_folder)]
    said = json.loads(CliRunner().invoke(app, [*asked, "--overlay", overlay, "--json"]).stdout)
    assert [rule["id"] for rule in said["rules"] if rule["shadow"]] == ["drugs-on-trial"]
    assert said["tolerance_steps"] == [{"step": 1, "levels": {"sure": "likely"}, "tenants": []}]
    assert said["grants"] == []
    (settings_folder / "fluxgate.toml").write_text(f'[overlays]\nacme = "{tmp_path / "nowhere.toml"}"\n')
    got = CliRunner().invoke(app, asked)
    assert got.exit_code != 0
    assert "nowhere.toml" in str(got.exception)
