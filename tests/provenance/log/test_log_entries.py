"""Log entries: one canonical form, nothing personal in it, and commitments that only their salt opens."""

import json
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.verdicts import Verdict
from provenance.log.entries import EntryInvalid, EntryKind, commit, opens, read_leaf
from tests.provenance.log.entries_made import REASON, SALT, an_entry

texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)


def test_a_leaf_is_canonical_json_with_sorted_keys_and_no_floats():
    leaf = an_entry(outcome=EntryKind.REFUSED, verdict=Verdict.REFUSE, reasons=(REASON,)).leaf()
    said = json.loads(leaf, parse_float=lambda _: pytest.fail("a float in a leaf"))
    assert json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() == leaf
    assert said["schema"] == "fluxgate-entry/1"
    assert said["time"] == "2026-11-21T12:00:00.123Z"
    assert said["reasons"][0]["score"] == "0.9124"
    assert said["reasons"][0]["floor"] is True
    assert "pdq" not in said


def test_time_is_logged_in_utc_whatever_zone_it_came_in():
    there = timezone(timedelta(hours=5, minutes=30))
    assert (
        read_leaf(an_entry(time=datetime(2026, 1, 1, 5, 30, tzinfo=there)).leaf())["time"] == "2026-01-01T00:00:00.000Z"
    )
    with pytest.raises(EntryInvalid, match="zone"):
        an_entry(time=datetime(2026, 1, 1))  # noqa: DTZ001


@given(dialect=texts, model=texts, failure=texts)
def test_every_leaf_reads_back_as_what_was_said(dialect, model, failure):
    said = read_leaf(an_entry(dialect=dialect, model_id=model, failure=failure).leaf())
    assert (said["dialect"], said["model_id"], said["failure"]) == (dialect, model, failure)


@given(st.data())
def test_no_second_form_of_a_leaf_is_accepted(data):
    leaf = an_entry().leaf()
    for other in (
        leaf + b" ",
        leaf.replace(b":", b": ", 1),
        leaf.replace(b"native", b"n\\u0061tive"),
        b"[]",
        b"",
        b"\xff",
    ):
        with pytest.raises(EntryInvalid):
            read_leaf(other)
    reordered = dict(data.draw(st.permutations(list(json.loads(leaf).items()))))
    compact = json.dumps(reordered, separators=(",", ":")).encode()
    if compact != leaf:
        with pytest.raises(EntryInvalid):
            read_leaf(compact)


def test_a_leaf_of_an_unknown_schema_is_refused():
    with pytest.raises(EntryInvalid):
        read_leaf(an_entry().leaf().replace(b"fluxgate-entry/1", b"fluxgate-entry/2"))


def test_an_entry_too_long_for_the_log_is_refused():
    with pytest.raises(EntryInvalid, match="65535"):
        an_entry(model_id="x" * 65535).leaf()
    room = 65535 - len(an_entry(model_id="").leaf())
    assert len(an_entry(model_id="x" * room).leaf()) == 65535


def test_text_that_is_not_unicode_is_refused():
    with pytest.raises(EntryInvalid, match="Unicode"):
        an_entry(model_id="\ud800").leaf()


@pytest.mark.parametrize("request_id", ["", "with space", "é", "x" * 129, "line\n"])
def test_a_request_id_that_is_no_plain_token_is_refused(request_id):
    with pytest.raises(EntryInvalid, match="request_id"):
        an_entry(request_id=request_id)


@pytest.mark.parametrize("commitments", [{"prompt": "a cat"}, {"Prompt!": "0" * 64}, {"prompt": "A" * 64}])
def test_plain_text_cannot_stand_in_place_of_a_commitment(commitments):
    with pytest.raises(EntryInvalid, match="commitment"):
        an_entry(commitments=commitments)


@given(st.binary(), st.binary(), st.binary(min_size=32, max_size=32))
def test_a_commitment_opens_with_its_own_salt_name_and_value_only(value, other, salt):
    commitment = commit(SALT, "prompt", value)
    assert opens(commitment, SALT, "prompt", value)
    assert opens(commitment, SALT, "prompt", other) is (value == other)
    assert opens(commitment, salt, "prompt", value) is (salt == SALT)
    assert not opens(commitment, SALT, "end_user", value)


def test_a_short_salt_is_refused():
    with pytest.raises(EntryInvalid, match="salt"):
        commit(b"short", "prompt", b"")
