"""Policies over registers: what the shipped ones rule, what is explained of them, and that a start reads them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli import app as command_line
from gateway.parts import BootError
from policies.evaluate import evaluate
from policies.findings import OF_FILES_SENT_IN, Category, Finding, Stage
from policies.loading import BUILTIN_POLICIES, load_policy
from policies.verdicts import Verdict
from tests.policies.house_policy import POLICY, RIGHTS, write_policy

EXAMPLES = Path(__file__).with_name("registers")


@pytest.mark.parametrize("policy", BUILTIN_POLICIES)
@pytest.mark.parametrize("level", range(4))
def test_every_shipped_policy_rules_on_rights_and_reservations(policy: str, level: int) -> None:
    def verdict(category: Category, score: float, stage: Stage, part: str) -> Verdict:
        found = Finding(category, score, stage, part, "1")
        return evaluate(load_policy(policy), [found], stage=stage, assurance=level).verdict

    reserved = (Category.RESERVED_RIGHTS, 0.5, Stage.INPUT_IMAGE, "credentials")
    assert verdict(*reserved) >= Verdict.FLAG
    for stage in Stage:
        assert verdict(Category.INTELLECTUAL_PROPERTY, 1.0, stage, "rights_holders") >= Verdict.HOLD
    for stage in (Stage.INPUT_IMAGE, Stage.OUTPUT_IMAGE):
        farthest_match = 1 - 31 / 256
        assert verdict(Category.INTELLECTUAL_PROPERTY, farthest_match, stage, "rights_holders") >= Verdict.HOLD


def test_explain_says_what_a_purpose_scores_and_what_follows_at_each_level() -> None:
    asked = ["policy", "explain", "default", "--category", "impersonation", "--stage", "prompt", "--json"]
    said = json.loads(CliRunner().invoke(command_line, [*asked, "--level", "0"]).stdout)
    assert said["purposes"] == {"satire": 0.5, "news": 0.5, "education": 0.4}
    (row,) = (row for row in said["rows"] if row["classifier"] == "named_people")
    assert [(step["score"], step["verdict"]) for step in row["steps"]] == [
        (0.0, "allow"),
        (0.25, "flag"),
        (0.3, "hold"),
        (0.9, "refuse"),
    ]


def policy_with_registers(folder: Path) -> Path:
    for name in ("people.toml", "rights.toml"):
        folder.mkdir(exist_ok=True)
        (folder / name).write_text((EXAMPLES / name).read_text())
    classifiers = """
[[classifier]]
kind = "prompt"
part = "named_people"
data = ["people.toml", "shipped:terms/en.toml"]
"""
    text = POLICY.replace('[[classifier]]\nkind = "image"\npart = "pdq_list"\n', classifiers + RIGHTS)
    text = text.replace('data = ["words.toml"]', 'data = ["words.toml", "shipped:terms/exposure.toml"]')
    reason = "The house tests the registers alone: nobody looks for what stands here."
    of_words = {"impersonation", "ncii", "weapons", "evasion"}
    for stage, looked_for in (("prompt", of_words), ("input_image", OF_FILES_SENT_IN), ("output_image", ())):
        named = [each.value for each in Category if each not in {"intellectual_property", *looked_for}]
        text += f'\n[[gap]]\ncategories = {json.dumps(named)}\nstages = ["{stage}"]\nreason = "{reason}"\n'
    return write_policy(folder, text)


def test_policy_check_reads_the_registers_as_a_start_would(tmp_path: Path, settings_folder: Path) -> None:
    path = policy_with_registers(tmp_path / "house")
    checking = ["policy", "check", str(path), "--data-dir", str(settings_folder)]
    done = CliRunner().invoke(command_line, checking)
    assert done.exit_code == 0, (done.output, done.exception)
    register = path.parent / "people.toml"
    register.write_text(register.read_text().replace("until = 2026-12-31", 'until = "soon"'))
    failed = CliRunner().invoke(command_line, checking)
    assert isinstance(failed.exception, BootError)
    assert "consent.0.until" in str(failed.exception)
