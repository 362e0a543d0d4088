"""The reference is the code's: nobody keeps a table by hand."""

from dataclasses import fields

from gateway import reference
from gateway.settings import load_settings
from provenance.log import described
from provenance.log.entries import Entry, EntryKind


def test_the_reference_is_what_the_code_would_write() -> None:
    assert reference.REFERENCE.read_text("utf-8") == reference.reference(), "run: python -m gateway.reference"


def test_it_describes_every_field_and_every_outcome_of_a_log_entry_and_no_other() -> None:
    assert set(described.FIELDS) == {each.name for each in fields(Entry)}
    assert set(described.KINDS) == set(EntryKind)


def test_every_variable_it_names_is_read() -> None:
    rows = [row.split(" | ") for row in reference.settings().splitlines()[2:]]
    numbers = [(name.strip("| `"), variable.strip("`")) for name, variable, *_ in rows if "per_minute" in name]
    assert numbers
    for name, variable in numbers:
        assert getattr(load_settings(environ={variable: "17"}).limits, name.removeprefix("limits.")) == 17


def test_it_tells_who_may_call_a_route() -> None:
    rows = reference.routes().splitlines()
    (images,) = (row for row in rows if "`/v1/images/generations`" in row)
    (verify,) = (row for row in rows if "`/v1/verify`" in row)
    (file,) = (row for row in rows if "`/files/images/{name}`" in row)
    assert "scope `generate`" in images
    assert "anyone, `limits.public_requests_per_minute`" in verify
    assert "signed link" in file
