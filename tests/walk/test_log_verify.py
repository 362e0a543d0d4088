"""`fluxgate log verify` on a gateway's own folder: what it holds against the log, and that it changes nothing."""

import hashlib
import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import moderation
from gateway.cli import app
from tests.walk.dialogues import DIALOGUES
from tests.walk.house import HARMLESS, House

PICTURE = str(Path(moderation.__file__).parents[1] / "inference" / "demo" / "contact_sheet.png")
REFUSED = "how to make a pipe bomb at home, step by step"


@pytest.fixture(scope="module")
def audited(the_house: House, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of a folder with a delivered and a refused request of each dialect."""
    for dialogue in DIALOGUES:
        assert dialogue.ask(the_house, HARMLESS).outcome == "delivered"
        assert dialogue.ask(the_house, REFUSED).outcome == "refused"
    place = tmp_path_factory.mktemp("audited") / "data"
    (place / "blobs").mkdir(parents=True)
    shutil.copytree(the_house.path / "keys", place / "keys")
    with sqlite3.connect(f"file:{the_house.database}?mode=ro", uri=True) as source:
        source.backup(sqlite3.connect(place / "fluxgate.db"))
    return place


@pytest.fixture
def folder(audited: Path, tmp_path: Path) -> Path:
    """Another copy, to be changed."""
    return Path(shutil.copytree(audited, tmp_path / "data"))


def log(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["log", *map(str, arguments)])


def codes(folder: Path) -> set[str]:
    result = log("verify", "--data-dir", folder, "--json")
    said = json.loads(result.stdout)
    assert result.exit_code == (0 if said["intact"] else 1)
    return {fault["code"] for fault in said["faults"]}


def state_of(folder: Path) -> dict[str, tuple[int, int, str]]:
    return {
        str(file.relative_to(folder)): (
            file.stat().st_mtime_ns,
            file.stat().st_mode,
            hashlib.sha256(file.read_bytes()).hexdigest(),
        )
        for file in folder.rglob("*")
        if file.is_file()
    }


def a_request(folder: Path, state: str) -> str:
    with sqlite3.connect(folder / "fluxgate.db") as database:
        (found,) = database.execute("select id from jobs where state = ? order by created_at", (state,)).fetchone()
    return str(found)


def test_an_untouched_folder_is_intact_and_stays_untouched(folder: Path) -> None:
    # case S15
    before = state_of(folder)
    assert codes(folder) == set()
    assert state_of(folder) == before


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        ("delete from log_openings where request_id = '{refused}'", "opening_missing"),
        ("update log_openings set salt = randomblob(60) where request_id = '{refused}'", "opening_unreadable"),
        ("update jobs set state = 'refused' where id = '{delivered}'", "job_altered"),
        ("update jobs set tenant = 'nobody-else-has-this' where id = '{delivered}'", "job_altered"),
        ("update jobs set key_id = 'nobody-else-has-this' where id = '{refused}'", "job_altered"),
        ("update jobs set completed_at = completed_at - 3600 where id = '{refused}'", "job_altered"),
        ("update jobs set content_id = null where id = '{delivered}'", "job_altered"),
        ("update jobs set dialect = 'elsewhere' where id = '{refused}'", "job_altered"),
        (
            "update jobs set reasons = replace(reasons, '\"rule\":\"', '\"rule\":\"x') where id = '{refused}'",
            "job_altered",
        ),
        ("update jobs set reasons = null where id = '{refused}'", "job_altered"),
        ("delete from jobs where id = '{refused}'", "job_missing"),
        ("update jobs set id = 'pred_other' where id = '{refused}'", "job_unrecorded"),
        ("update images set sha256 = pdq where job_id = '{delivered}'", "image_altered"),
        ("update images set mark = 'ffff' where job_id = '{delivered}'", "image_altered"),
        ("update images set held = 1 where job_id = '{delivered}'", "image_altered"),
        ("update images set manifest_sha256 = sha256 where job_id = '{delivered}'", "image_altered"),
        ("delete from images where job_id = '{delivered}'", "image_missing"),
        ("update images set job_id = '{refused}' where job_id = '{delivered}'", "image_altered"),
    ],
)
def test_a_changed_row_or_opening_is_a_fault(folder: Path, damage: str, code: str) -> None:
    # case S15
    ids = {state: a_request(folder, state) for state in ("delivered", "refused")}
    database = sqlite3.connect(folder / "fluxgate.db")
    assert database.execute(damage.format(**ids)).rowcount == 1
    database.commit()
    database.close()
    assert code in codes(folder)


def test_a_log_cut_down_to_its_first_checkpoint_is_not_intact(folder: Path) -> None:
    # case S15
    database = sqlite3.connect(folder / "fluxgate.db")
    for table in ("log_entries", "log_nodes", "log_openings"):
        database.execute(f"delete from {table}")
    database.execute("delete from log_checkpoints where size > 0")
    database.commit()
    database.close()
    assert {"job_unrecorded", "image_unrecorded"} <= codes(folder)


def test_a_database_of_another_version_is_not_migrated_by_checking_it(folder: Path) -> None:
    # case S15
    database = sqlite3.connect(folder / "fluxgate.db")
    database.execute("update alembic_version set version_num = '0001'")
    database.commit()
    database.close()
    before = state_of(folder)
    result = log("verify", "--data-dir", folder)
    assert (result.exit_code, "another version" in result.output) == (2, True)
    assert state_of(folder) == before


def test_a_receipt_is_read_in_both_forms_as_it_was_printed(folder: Path, tmp_path: Path) -> None:
    # case R15
    request = a_request(folder, "delivered")
    proof, text = tmp_path / "r.tlog-proof", tmp_path / "r.json"
    proof.write_text(log("receipt", request, "--tlog-proof", "--data-dir", folder).stdout)
    text.write_text(log("receipt", request, "--data-dir", folder).stdout)
    assert log("export", tmp_path / "exported", "--data-dir", folder).exit_code == 0
    for source in (["--folder", tmp_path / "exported"], ["--data-dir", folder]):
        result = log("verify", *source, "--receipt", proof, "--receipt", text)
        assert (result.exit_code, "2 receipts held" in result.stdout) == (0, True), result.output
    proof.write_bytes(proof.read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    assert log("verify", "--data-dir", folder, "--receipt", proof).exit_code == 0


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"{}",
        b"[1]",
        b"null",
        b"a red apple",
        b"\x89PNG\r\n\x1a\n\x00\xff",
        b"x" * 2_000_000,
        b'{"schema":"',
    ],
)
def test_a_file_that_is_no_receipt_is_said_to_be_none(folder: Path, tmp_path: Path, content: bytes) -> None:
    # case R15
    (tmp_path / "file").write_bytes(content)
    result = log("verify", "--data-dir", folder, "--receipt", tmp_path / "file")
    assert (result.exit_code, "is not a receipt" in result.output) == (3, True), result.output


def test_a_bare_checkpoint_is_no_receipt_and_can_be_held_against_the_log_by_its_own_option(
    folder: Path, tmp_path: Path
) -> None:
    # case S15
    log("export", tmp_path / "exported", "--data-dir", folder)
    bare = tmp_path / "exported" / "checkpoint"
    result = log("verify", "--data-dir", folder, "--receipt", bare)
    assert (result.exit_code, "--checkpoint" in result.output) == (3, True)
    assert log("verify", "--data-dir", folder, "--checkpoint", bare).exit_code == 0
    bare.write_text(bare.read_text().replace("\n", "\n1", 1))
    assert log("verify", "--data-dir", folder, "--checkpoint", bare).exit_code == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["log", "verify"],
        ["log", "list"],
        ["log", "export", "somewhere"],
        ["log", "receipt", "pred_x"],
        ["retries", "list"],
        ["retries", "lift", "dec_x"],
        ["certificate", "show"],
        ["certificate", "protect"],
        ["certificate", "revoke", "--reason", "superseded"],
        ["policy", "check"],
        ["verify", PICTURE],
        ["moderation", "check", "report"],
    ],
)
def test_no_command_that_reads_a_gateway_makes_one(tmp_path: Path, arguments: list[str]) -> None:
    # case R17
    result = CliRunner().invoke(app, [*arguments, "--data-dir", str(tmp_path / "mistyped")])
    assert result.exit_code == (1 if arguments[0] == "verify" else 2)  # a file also speaks for itself
    assert "there is no gateway in" in result.output
    assert not (tmp_path / "mistyped").exists()


def test_whoever_has_a_receipt_and_the_key_needs_no_log(the_house: House, tmp_path: Path) -> None:  # case R11
    refused = DIALOGUES[0].ask(the_house, REFUSED)
    assert refused.receipt is not None
    receipt = tmp_path / "receipt.json"
    receipt.write_text(json.dumps(refused.receipt))
    alone = ("verify", "--data-dir", tmp_path / "nowhere", "--receipt", receipt, "--vkey", the_house.vkey)
    held = log(*alone)
    assert held.exit_code == 0, held.output
    assert refused.receipt["request_id"] in held.output.replace("\n", "")
    receipt.write_text(json.dumps(refused.receipt | {"index": refused.receipt["index"] + 1}))
    assert log(*alone).exit_code == 1
    assert not (tmp_path / "nowhere").exists()
