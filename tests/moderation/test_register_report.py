"""What `fluxgate registers check` says: entries, days, likely slips by id and place, and never a name."""

import json
import tomllib
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli import app as command_line
from moderation.errors import PartUnusable
from moderation.registers import named_people, rights_holders
from moderation.registers.report import ReportedEntry, report
from policies.errors import PolicyError
from policies.reading import SHIPPED
from tests.moderation.test_registers import EXAMPLES

DAY = date(2026, 8, 1)


def entries(text: str, day: date = DAY) -> dict[str, ReportedEntry]:
    (register,) = report([tomllib.loads(text)], day)
    return {entry.id: entry for entry in register.entries}


def example(documented: str) -> str:
    """The register in a module's docstring."""
    return documented[documented.index("    id = ") :].split("\n\nA purpose holds")[0].split("\n\nBoth parts")[0]


def people(*tables: str) -> str:
    return 'id = "r"\nversion = "1"\n' + "".join(
        f'[[person]]\nrecord = "x"\nbasis = "own_request"\n{t}\n' for t in tables
    )


def rights(*tables: str) -> str:
    shared = 'kind = "brand"\nholder = "h"\nproof = "p"\nfrom = 2026-01-01\n'
    return 'id = "r"\nversion = "1"\n' + "".join(f"[[right]]\n{shared}{table}\n" for table in tables)


def test_states_and_days_are_those_of_the_day_asked_about() -> None:
    text = (EXAMPLES / "rights.toml").read_text()
    assert {key: each.state for key, each in entries(text).items()} == {
        "r-1": "holds",
        "r-2": "expired",
        "r-3": "holds",
    }
    assert entries(text, date(2025, 1, 1))["r-1"].state == "later"
    found = entries((EXAMPLES / "people.toml").read_text(), date(2027, 1, 1))
    assert found["p-1"].notes == ("consent c-3 has expired",)
    assert (found["elections"].kind, found["elections"].state) == ("purpose", "expired")


def test_likely_slips_are_noted_by_id_and_place() -> None:
    found = entries(
        people(
            'id = "p-1"\nnames = ["Dorn Plainwater", "Marble"]',
            'id = "p-2"\nnames = ["dorn plainwater", "Marbl\u00e8"]',
        )
    )
    assert found["p-1"].notes == (
        "names.0 also stands under p-2",
        "names.1 also stands under p-2",
        "names.1 is also a word of the English list: give `beside`, or a longer name",
    )
    beside = entries(people('id = "p-1"\nnames = ["Marble"]\nbeside = ["singer"]'))
    assert beside["p-1"].notes == ()
    shown = entries(rights('id = "r-pebblix"\nappeal = "a@b.example"\nnames = ["Pebblix", "Pebblix"]'))
    assert shown["r-pebblix"].notes == (
        "names.0 stands here twice",
        "names.0 stands in the id or the appeal, which callers are shown",
        "names.1 stands in the id or the appeal, which callers are shown",
    )
    flat = entries(rights(f'id = "r-1"\nappeal = "a@b.example"\npictures = ["{"0" * 64}"]'))
    assert flat["r-1"].notes == ("pictures.0 is not like a PDQ hash: about half of its 256 bits would be set",)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('id = "r"\nversion = "1"', "no `person`, `purpose` or `right`"),
        (people('id = "p"\nnames = ["Al"]'), "fewer than 3 letters"),
        (people('id = "p"\nnames = ["Alba"]', 'id = "p"\nnames = ["Dorn"]'), "two entries have the id 'p'"),
        (people('id = "p"\nname = ["Alba"]'), "person.0.name"),
        (rights('id = "r-1"\nappeal = "x"\npictures = ["00"]'), "right.0.pictures.0"),
    ],
)
def test_what_a_part_would_not_take_is_refused_by_its_place(text: str, problem: str) -> None:
    with pytest.raises(PartUnusable) as raised:
        report([tomllib.loads(text)], DAY)
    assert problem in str(raised.value)
    assert "Alba" not in str(raised.value)


@pytest.mark.parametrize("module", [named_people, rights_holders])
def test_the_register_in_the_documentation_is_one(module: object) -> None:
    assert entries(example(module.__doc__ or ""))


def test_the_shipped_registers_have_nothing_to_mend() -> None:
    for file in sorted((SHIPPED / "registers").glob("*.toml")):
        assert not [entry.notes for entry in entries(file.read_text()).values() if entry.notes], file.name


def test_the_command_lists_entries_and_prints_no_name(tmp_path: Path) -> None:
    asked = ["registers", "check", str(EXAMPLES / "people.toml"), str(EXAMPLES / "rights.toml")]
    as_json = CliRunner().invoke(command_line, [*asked, "--json"])
    said = json.loads(as_json.stdout)["registers"]
    assert [(each["id"], each["part"], len(each["entries"])) for each in said] == [
        ("invented-people", "named_people", 5),
        ("invented-rights", "rights_holders", 3),
    ]
    as_table = CliRunner().invoke(command_line, asked)
    assert (as_json.exit_code, as_table.exit_code) == (0, 0)
    for name in ("Quenzel", "Plainwater", "Glowmoth"):
        assert name not in as_json.stdout + as_table.stdout

    broken = tmp_path / "broken.toml"
    broken.write_text(people('id = "p"\nnames = []'))
    failed = CliRunner().invoke(command_line, ["registers", "check", str(broken)])
    assert (failed.exit_code, "person.0.names" in failed.stderr) == (2, True)
    assert isinstance(CliRunner().invoke(command_line, ["registers", "check", "gone.toml"]).exception, PolicyError)
