"""Jurisdiction profiles: shipped overlays that lie lowest, only tighten, and add labels to pictures."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.cli import app as command_line
from gateway.parts import BootError
from gateway.settings import Settings, load_settings
from gateway.stations.labelling import Labelling
from gateway.stations.rulebook import EVERYBODY, Rulebook, rulebook, stacked
from gateway.wiring import labelling_of
from policies.comparison import differences
from policies.errors import PolicyError
from policies.loading import BUILTIN_POLICIES, JURISDICTIONS, load_policy
from tests.policies.house_policy import POLICY, write_policy

GRANTING = """
[[rule]]
id = "mild"
verdict = "hold"
categories = ["weapons"]
level = "sure"

[[grant]]
rule = "mild"
verdict = "allow"
tenants = ["acme"]
"""
CHANGING = """
name = "{name}"
version = "1"
description = "For tests."

[[change]]
rule = "mild"
verdict = "{verdict}"
"""


def made(tmp_path: Path, jurisdictions: dict[str, Any], **more: Any) -> tuple[Rulebook, Labelling]:
    settings = load_settings(tmp_path, {"jurisdictions": jurisdictions, **more}, environ={})
    book = rulebook(load_policy("default"), settings.overlays, jurisdictions=settings.jurisdictions)
    return book, labelling_of(settings, book)


@pytest.mark.parametrize("code", JURISDICTIONS)
@pytest.mark.parametrize("policy", BUILTIN_POLICIES)
def test_every_profile_lies_over_every_shipped_policy_and_softens_nothing(policy: str, code: str) -> None:
    base = load_policy(policy)
    book = rulebook(base, {}, jurisdictions={EVERYBODY: [code]})
    assert book.base.name == f"{policy}+{code}"
    assert not [change for change in differences(base, book.base) if change.softer]
    (overlay,) = book.overlays_for("anybody")
    assert overlay.grounds, "a profile says what it rests on"


def test_the_setting_names_every_profile_there_is() -> None:
    said = Settings.model_fields["jurisdictions"].description or ""
    assert [code for code in JURISDICTIONS if f"`{code}`" not in said] == []


def test_a_tenant_has_everybodys_profiles_and_its_own(tmp_path: Path) -> None:
    book, labelling = made(tmp_path, {"*": ["eu"], "acme": ["de", "in"]})
    assert book.policy_for("else").name == "default+eu"
    assert book.policy_for("acme").name == "default+eu+de+in"
    assert (labelling.of("else").minimum, labelling.of("acme").minimum) == ("none", "text")
    assert "de-expression" in {rule.id for rule in book.policy_for("acme", 6).rules}, "whatever a request asks for"


def test_a_profile_adds_labels_and_never_takes_one(tmp_path: Path) -> None:
    _, labelling = made(tmp_path, {"*": ["us-ca"]}, labels=("eu",), visible_label="text")
    assert (labelling.profiles, labelling.minimum) == (("eu", "iptc", "california"), "text")


def test_a_label_that_needs_more_than_a_profile_is_refused_at_start(tmp_path: Path) -> None:
    with pytest.raises(BootError, match="provider_code"):
        made(tmp_path, {"acme": ["cn"]})
    _, labelling = made(tmp_path, {"acme": ["cn"]}, provider_code="EXAMPLE-1")
    assert "china" in labelling.of("acme").profiles
    assert "china" not in labelling.of("else").profiles


@pytest.mark.parametrize("jurisdictions", [{"*": ["mars"]}, {"no tenant": ["eu"]}])
def test_what_is_no_jurisdiction_or_no_tenant_is_refused_at_start(
    tmp_path: Path, jurisdictions: dict[str, Any]
) -> None:
    with pytest.raises(BootError, match=r"jurisdictions: .*(mars|no tenant)"):
        made(tmp_path, jurisdictions)


def test_what_one_overlay_changed_no_grant_lets_the_next_soften(tmp_path: Path) -> None:
    base = load_policy(write_policy(tmp_path, POLICY + GRANTING))
    lower, upper = tmp_path / "lower.toml", tmp_path / "upper.toml"
    lower.write_text(CHANGING.format(name="lower", verdict="refuse"))
    upper.write_text(CHANGING.format(name="upper", verdict="allow"))
    assert [overlay.name for overlay in stacked(base, (upper,), "acme")] == ["upper"], "granted"
    with pytest.raises(PolicyError, match="softer"):
        stacked(base, (lower, upper), "acme")


def test_the_command_shows_what_a_profile_changes() -> None:
    ran = CliRunner().invoke(command_line, ["policy", "diff", "default", "default", "--jurisdiction", "de"])
    assert ran.exit_code == 0, ran.output
    assert "extremism" in ran.stdout
    assert "0 of them softer" in ran.stdout
