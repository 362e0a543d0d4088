"""A gateway that cannot say whom to turn to says so when it starts."""

import logging
from pathlib import Path

import pytest

from gateway.settings import Settings
from gateway.wiring import policy_of

WARNING = "names no contact for appeals"


@pytest.fixture(autouse=True)
def heard(caplog: pytest.LogCaptureFixture) -> None:
    """Commands that another test ran in this process may have turned the logger down."""
    caplog.set_level(logging.WARNING, logger="fluxgate.boot")


@pytest.mark.parametrize("contact", ["", "  "])
@pytest.mark.parametrize("policy", ["demo", "default", "strict"])
def test_the_start_warns_of_an_empty_contact_for_appeals(
    policy: str, contact: str, caplog: pytest.LogCaptureFixture
) -> None:
    # case R11
    assert policy_of(policy, Settings(appeal_contact=contact)).appeal.contact == ""
    (record,) = [each for each in caplog.records if WARNING in each.message]
    assert (record.name, record.levelno) == ("fluxgate.boot", logging.WARNING)
    assert "appeal_contact is empty" in record.message


def test_the_operators_contact_stands_in_where_the_policy_names_none(caplog: pytest.LogCaptureFixture) -> None:
    # case R11
    policy = policy_of("default", Settings(appeal_contact="appeals@gate.test"))
    assert policy.appeal.contact == "appeals@gate.test"
    assert WARNING not in caplog.text


def test_the_policys_own_contact_counts_first(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    # case R11
    text = (Path(__file__).parents[1] / "walk" / "policy.toml").read_text("utf-8")
    file = tmp_path / "own.toml"
    file.write_text(text.replace('contact = ""', 'contact = "the desk of the policy"'), "utf-8")
    policy = policy_of(str(file), Settings(appeal_contact="appeals@gate.test"))
    assert policy.appeal.contact == "the desk of the policy"
    assert WARNING not in caplog.text
