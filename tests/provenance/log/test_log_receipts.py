"""Receipts: they say the same in every form, and no changed one proves anything."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine

from provenance.log.checkpoints import CheckpointSigner, LogKeyInvalid
from provenance.log.ledger import Ledger
from provenance.log.receipts import Receipt, ReceiptInvalid, verify_receipt
from tests.provenance.log.entries_made import an_entry

SIGNER = CheckpointSigner("gateway.example/log", Ed25519PrivateKey.from_private_bytes(bytes(32)))
VKEY = SIGNER.key.vkey


@pytest.fixture(scope="module")
def receipts(tmp_path_factory):
    ledger = Ledger(create_engine(f"sqlite:///{tmp_path_factory.mktemp('log') / 'log.db'}"), SIGNER)
    return [ledger.record(an_entry(number)) for number in range(7)]


def test_a_receipt_reads_back_from_json_and_from_its_tlog_proof(receipts):
    for receipt in receipts:
        assert Receipt.from_json(receipt.to_json()) == receipt
        assert Receipt.from_tlog_proof(receipt.tlog_proof()) == receipt
        verify_receipt(receipt.to_json(), VKEY)


def test_a_tlog_proof_has_the_lines_of_the_specification(receipts):
    lines = receipts[6].tlog_proof().split("\n")
    assert lines[0] == "c2sp.org/tlog-proof@v1"
    assert lines[1].startswith("extra ")
    assert lines[2] == "index 6"
    assert [len(line) for line in lines[3:5]] == [44, 44]
    assert lines[5] == ""
    assert receipts[6].tlog_proof().endswith("\n\n" + receipts[6].checkpoint)


@given(st.data())
def test_no_receipt_with_a_flipped_bit_proves_anything(receipts, data):
    whole = data.draw(st.sampled_from(receipts)).to_json().encode()
    position = data.draw(st.integers(0, len(whole) * 8 - 1))
    changed = bytearray(whole)
    changed[position // 8] ^= 1 << position % 8
    with pytest.raises(ReceiptInvalid):
        verify_receipt(bytes(changed), VKEY)


@given(st.data())
def test_no_tlog_proof_with_a_flipped_bit_proves_anything(receipts, data):
    whole = data.draw(st.sampled_from(receipts)).tlog_proof().encode()
    position = data.draw(st.integers(0, len(whole) * 8 - 1))
    changed = bytearray(whole)
    changed[position // 8] ^= 1 << position % 8
    with pytest.raises(ReceiptInvalid):
        verify_receipt(Receipt.from_tlog_proof(changed.decode(errors="replace")), VKEY)


def test_a_receipt_with_another_requests_entry_is_refused(receipts):
    mine, other = receipts[5], receipts[6]
    forged = Receipt(mine.request_id, other.index, other.leaf, other.proof, other.checkpoint)
    with pytest.raises(ReceiptInvalid, match="another request"):
        verify_receipt(forged, VKEY)


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"schema":"fluxgate-receipt/1"}'])
def test_what_is_no_receipt_is_refused(text):
    with pytest.raises(ReceiptInvalid):
        verify_receipt(text, VKEY)
    with pytest.raises(ReceiptInvalid):
        Receipt.from_tlog_proof(text)


def test_a_receipt_with_an_unknown_field_or_a_wrong_type_is_refused(receipts):
    good = receipts[0].to_json()
    for bad in (
        good[:-1] + ',"more":1}',
        good.replace('"index":0', '"index":false'),
        good.replace('"index":0', '"index":-1'),
        good.replace('"proof":[', '"proof":[1'),
        good.replace('"proof":[', '"proof":["AAAA"'),
    ):
        with pytest.raises(ReceiptInvalid):
            verify_receipt(bad, VKEY)


def test_a_receipt_is_not_checked_with_something_that_is_no_key(receipts):
    with pytest.raises(LogKeyInvalid):
        verify_receipt(receipts[0], "no key")
