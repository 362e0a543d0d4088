"""`fluxgate keys`: what it prints, that the key works, and that bad input names its option and a remedy."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.auth.api_keys import ApiKeys
from gateway.auth.identity import Assurance, NotAuthenticated, Scope
from gateway.auth.key_store import KeyStore
from gateway.commands.keys import keys_app
from gateway.store.data_folder import open_data_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(keys_app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})


def made(folder: Path, *options: object) -> dict[str, object]:
    result = run("create", "--init", "--data-dir", folder, "--tenant", "acme", "--json", *options)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def identified(folder: Path, key: str):
    opened = open_data_folder(folder)
    provider = ApiKeys(ApiKeys.Options(store=KeyStore(opened.database, opened.pepper)))
    try:
        return provider.identify({"x-api-key": key}, datetime.now(UTC))
    finally:
        provider.close()


def test_create_prints_one_object_with_a_key_that_works(folder):
    told = made(folder, "--level", 2, "--label", "ci", "--expires-in", "90d")
    who = identified(folder, told["key"])
    assert (who.key_id, who.tenant, who.assurance) == (told["id"], "acme", Assurance.IDENTITY)
    assert who.scopes == {Scope.GENERATE, Scope.MODERATE}
    assert (told["level"], told["scopes"]) == (2, ["generate", "moderate"])
    days = (datetime.fromisoformat(told["expires_at"]) - datetime.now(UTC)).total_seconds() / 86_400
    assert 89.99 < days <= 90


def test_scopes_are_exactly_those_named(folder):
    told = made(folder, "--scope", "audit", "--scope", "moderate")
    assert identified(folder, told["key"]).scopes == {Scope.AUDIT, Scope.MODERATE}


def test_the_key_is_shown_whole_and_once_for_people_too(folder):
    shown = run("create", "--init", "--data-dir", folder, "--tenant", "acme", "--label", "[bold]x[/]").output
    (key,) = (line for line in shown.splitlines() if line.startswith("fg_"))
    assert identified(folder, key).tenant == "acme"
    assert "cannot be shown again" in shown
    listed = run("list", "--data-dir", folder).output
    assert key.split("_")[1] in listed
    assert key.split("_")[2] not in listed
    assert "[bold]x[/]" in listed


def test_the_data_folder_may_come_from_the_environment(folder):
    made(folder)
    result = CliRunner().invoke(keys_app, ["list", "--json"], env={"FLUXGATE_DATA_DIR": str(folder)})
    assert [record["tenant"] for record in json.loads(result.stdout)] == ["acme"]


def test_list_shows_one_tenant_or_all(folder):
    made(folder)
    assert len(json.loads(run("list", "--data-dir", folder, "--json").stdout)) == 1
    assert json.loads(run("list", "--data-dir", folder, "--tenant", "other", "--json").stdout) == []
    assert "keys create" in run("list", "--data-dir", folder, "--tenant", "other").output


def test_a_rotated_key_and_its_successor_both_work_during_the_grace(folder):
    old = made(folder, "--level", 3)
    new = json.loads(run("rotate", old["id"], "--data-dir", folder, "--grace", "1h", "--json").stdout)
    assert identified(folder, old["key"]).key_id == old["id"]
    assert identified(folder, new["key"]).assurance == Assurance.ADULT
    states = {record["id"]: record for record in json.loads(run("list", "--data-dir", folder, "--json").stdout)}
    assert states[old["id"]]["replaced_by"] == new["id"]


def test_without_grace_the_old_key_ends_at_once(folder):
    old = made(folder)
    assert run("rotate", old["id"], "--data-dir", folder, "--grace", "0s").exit_code == 0
    with pytest.raises(NotAuthenticated, match="expired_key"):
        identified(folder, old["key"])


def test_a_revoked_key_does_not_work_and_the_answer_is_readable(folder):
    told = made(folder)
    result = run("revoke", told["id"], "--data-dir", folder)
    assert (result.exit_code, str(told["id"]) in result.output) == (0, True)
    with pytest.raises(NotAuthenticated, match="revoked_key"):
        identified(folder, told["key"])
    assert json.loads(run("revoke", told["id"], "--data-dir", folder, "--json").stdout)["state"] == "revoked"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["create", "--tenant", "a b"], ["--tenant", "letters, digits"]),
        (["create", "--tenant", "acme", "--level", "4"], ["--level", "3"]),
        (["create", "--tenant", "acme", "--level", "-1"], ["--level"]),
        (["create", "--tenant", "acme", "--scope", "root"], ["--scope", "generate"]),
        (["create", "--tenant", "acme", "--expires-in", "soon"], ["--expires-in", "90d"]),
        (["create", "--tenant", "acme", "--expires-in", "0d"], ["--expires-in", "90d"]),
        (["create", "--tenant", "acme", "--expires-in", "999999999w"], ["--expires-in", "ten years"]),
        (["create", "--tenant", "acme", "--label", "x" * 129], ["--label", "128"]),
        (["create"], ["--tenant"]),
        (["rotate", "nobody"], ["KEY_ID", "fluxgate keys list"]),
        (["rotate", "nobody", "--grace", "1x"], ["--grace", "12h"]),
        (["revoke", "nobody"], ["KEY_ID", "fluxgate keys list"]),
    ],
)
def test_bad_input_exits_with_2_and_names_option_and_remedy(folder, arguments, said):
    made(folder)
    result = run(*arguments, "--data-dir", folder)
    assert result.exit_code == 2
    for words in said:
        assert words in result.output
    assert len(json.loads(run("list", "--data-dir", folder, "--json").stdout)) == 1


@pytest.mark.parametrize("command", [["create", "--tenant", "acme"], ["list"], ["revoke", "x"], ["rotate", "x"]])
def test_a_mistyped_folder_is_not_made_into_a_gateway(tmp_path, command):
    # case R17
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "mistyped", tmp_path / "empty"):
        result = run(*command, "--data-dir", folder)
        assert result.exit_code == 2
        assert "there is no gateway in" in result.output
        assert "--data-dir" in result.output
    assert not (tmp_path / "mistyped").exists()
    assert not list((tmp_path / "empty").iterdir())


def test_with_init_a_first_key_makes_the_gateway_and_later_ones_need_no_init(folder):
    # case R17
    made(folder)
    again = run("create", "--data-dir", folder, "--tenant", "acme", "--json")
    assert identified(folder, json.loads(again.stdout)["key"]).tenant == "acme"


def test_help_teaches_by_example():
    for command in ("create", "list", "rotate", "revoke"):
        assert f"fluxgate keys {command}" in run(command, "--help").output
