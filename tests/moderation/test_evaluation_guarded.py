"""A policy with a guard is measured as it is served: asked in the zone, and nowhere else."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.commands.moderation import moderation_app
from tests.moderation.tiny_guards import NAMING, save_naming_guard
from tests.policies.house_policy import POLICY, write_policy

WORDS = """
language = "en"
version = "1"

[[term]]
category = "weapons"
strength = "ambiguous"
words = ["cat", "rifle"]
"""
GUARD = """
[[classifier]]
kind = "prompt"
part = "guard"
options = { model = "MODEL", sha256 = "DIGEST", family = "FAMILY" }
asked = { after = "terms", from = 0.50, to = 1.0, seconds = 60 }

[[classifier]]
kind = "image"
"""


def evaluated(folder: Path, *more: str) -> dict:
    rows = [{"text": text, "label": int(said != "safe")} for text, said in NAMING.items() if text != "a the"]
    (folder / "own.jsonl").write_text("\n".join(map(json.dumps, rows)))
    told = [*more, "--out", str(folder / "report"), "--data-dir", str(folder / "data"), "--disguised", "0", "--json"]
    ran = CliRunner().invoke(moderation_app, ["evaluate", str(folder / "own.jsonl"), *told])
    assert ran.exit_code == 0, ran.output
    return json.loads(ran.stdout)["subjects"]


def guarded(folder: Path) -> Path:
    digest = save_naming_guard(folder / "guard")
    table = GUARD.replace("MODEL", str(folder / "guard")).replace("DIGEST", digest).replace("FAMILY", "llama_guard_3")
    return write_policy(folder / "guarded", POLICY.replace('\n[[classifier]]\nkind = "image"\n', table, 1), WORDS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("evaluated")
    (made / "data").mkdir()
    (made / "data" / "fluxgate.toml").touch()
    return made


def test_the_command_scores_a_policy_with_a_guard(folder: Path) -> None:
    (judged,) = evaluated(folder, "--policy", str(guarded(folder))).values()
    assert judged["all"]["refused_harmless"]["value"] == 0.0
    assert judged["all"]["recall"]["value"] == pytest.approx(3 / 5, abs=1e-4), "syringe is in no list: below the zone"


def test_without_the_guard_the_same_texts_pass(folder: Path) -> None:
    (judged,) = evaluated(folder, "--policy", str(write_policy(folder / "alone", words=WORDS))).values()
    assert judged["all"]["recall"]["value"] == 0.0


def test_the_command_counts_a_zone(folder: Path) -> None:
    (terms,) = evaluated(folder, "--classifier", "terms=1.0", "--zone", "0.5", "1.0").values()
    assert terms["zone"]["scores"] == [0.5, 1.0]
