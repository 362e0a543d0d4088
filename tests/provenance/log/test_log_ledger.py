"""The ledger: durable, ordered, one entry for a request, proofs for all, and no more trust once it was changed."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import create_engine, select, text, update

from provenance.errors import AlreadyRecorded, LedgerUnavailable
from provenance.log.checkpoints import CheckpointSigner, verify_checkpoint
from provenance.log.entries import EntryInvalid, EntryKind
from provenance.log.fsck import fsck
from provenance.log.ledger import Ledger, erase_opening
from provenance.log.merkle import verify_consistency
from provenance.log.openings import Openings, OpeningUnreadable
from provenance.log.receipts import ReceiptInvalid, verify_receipt
from provenance.log.tables import LogDamaged, log_openings
from tests.provenance.log.entries_made import OPENINGS, SALT, a_committed_entry, an_entry


def run(engine, statement):
    with engine.begin() as connection:
        return connection.execute(text(statement))


def test_a_recorded_entry_has_a_receipt_that_verifies_offline(ledger):
    receipts = [ledger.record(an_entry(number)) for number in range(20)]
    for index, receipt in enumerate(receipts):
        assert receipt.index == index
        assert receipt.leaf == an_entry(index).leaf()
        verify_receipt(receipt, ledger.vkey)
    assert ledger.size == 20


def test_a_new_log_begins_with_a_signed_empty_tree(ledger, signer):
    assert verify_checkpoint(ledger.latest_checkpoint(), signer.key).size == 0
    assert ledger.entries() == ()
    assert ledger.entry_by_index(0) is None
    assert ledger.receipt_for("req_0") is None


def test_a_request_is_recorded_once_and_its_second_entry_writes_nothing(ledger, engine):
    written = []
    ledger.record(an_entry(1))
    with pytest.raises(AlreadyRecorded):
        ledger.record(an_entry(1, outcome=EntryKind.FAILED), lambda _: written.append("alongside"))
    assert (ledger.size, written) == (1, [])
    assert fsck(engine, ledger.vkey).intact


def test_many_threads_share_one_order_and_few_checkpoints(ledger, engine):
    with ThreadPoolExecutor(32) as pool:
        receipts = list(pool.map(lambda number: ledger.record(an_entry(number)), range(700)))
    assert sorted(receipt.index for receipt in receipts) == list(range(700))
    for receipt in receipts:
        verify_receipt(receipt, ledger.vkey)
    report = fsck(engine, ledger.vkey, [receipt.checkpoint for receipt in receipts])
    assert report.intact, report.faults
    assert report.checkpoints < 700


def test_of_threads_racing_with_one_request_exactly_one_wins(ledger):
    start = threading.Barrier(16)

    def race(_):
        start.wait()
        try:
            return ledger.record(an_entry(7))
        except AlreadyRecorded:
            return None

    with ThreadPoolExecutor(16) as pool:
        outcomes = list(pool.map(race, range(16)))
    assert sum(outcome is not None for outcome in outcomes) == 1
    assert ledger.size == 1


def test_every_entry_is_found_again_and_proved_into_the_newest_tree(ledger):
    for number in range(300):
        ledger.record(an_entry(number))
    for number in (0, 1, 127, 254, 255, 256, 257, 298, 299):
        receipt = ledger.receipt_for(f"req_{number}")
        verify_receipt(receipt, ledger.vkey)
        assert receipt.checkpoint == ledger.latest_checkpoint()
        assert ledger.entry_by_index(number).leaf == receipt.leaf
    assert [each.index for each in ledger.entries(since=250, limit=10)] == list(range(250, 260))


def test_every_earlier_checkpoint_proves_into_every_later_one(ledger, signer):
    notes = [ledger.record(an_entry(number)).checkpoint for number in range(270)]
    heads = [verify_checkpoint(note, signer.key) for note in notes]
    for old in (1, 2, 3, 64, 200, 255, 256, 257, 270):
        for new in (old, 256, 257, 269, 270):
            if old <= new:
                proof = ledger.consistency_proof(old, new)
                verify_consistency(old, new, heads[old - 1].root, heads[new - 1].root, proof)
    with pytest.raises(ValueError, match="271"):
        ledger.consistency_proof(1, 271)


def test_a_callers_own_writes_are_committed_with_the_entry(ledger, engine):
    run(engine, "CREATE TABLE pictures (request_id TEXT)")
    ledger.record(an_entry(1), lambda connection: connection.execute(text("INSERT INTO pictures VALUES ('req_1')")))
    assert run(engine, "SELECT count(*) FROM pictures").scalar() == 1


def test_a_caller_whose_own_writes_fail_drops_out_of_the_group_alone(ledger, engine):
    run(engine, "CREATE TABLE pictures (request_id TEXT PRIMARY KEY)")

    def write(number):
        def alongside(connection):
            connection.execute(text(f"INSERT INTO pictures VALUES ('req_{number}')"))
            if number % 3 == 0:
                raise RuntimeError("the caller's own trouble")

        try:
            return ledger.record(an_entry(number), alongside)
        except RuntimeError:
            return None

    with ThreadPoolExecutor(16) as pool:
        receipts = list(pool.map(write, range(90)))
    assert [receipt is None for receipt in receipts] == [number % 3 == 0 for number in range(90)]
    assert ledger.size == run(engine, "SELECT count(*) FROM pictures").scalar() == 60
    assert fsck(engine, ledger.vkey).intact
    ledger.record(an_entry(0))  # the failed one may come again


def test_a_broken_statement_of_one_caller_harms_no_other(ledger):
    with ThreadPoolExecutor(8) as pool:
        broken = pool.submit(ledger.record, an_entry(99), lambda c: c.execute(text("INSERT INTO nowhere VALUES (1)")))
        good = [pool.submit(ledger.record, an_entry(number)) for number in range(20)]
        for each in good:
            verify_receipt(each.result(), ledger.vkey)
        with pytest.raises(Exception, match=r"nowhere|own writes"):
            broken.result()
    assert ledger.receipt_for("req_99") is None


def test_erasing_the_salt_keeps_every_proof_and_closes_the_commitment(ledger, engine):
    before = ledger.record(a_committed_entry(1), salt=SALT)
    assert ledger.opening("req_1") == SALT
    erased = []
    ledger.record(
        an_entry(2, outcome=EntryKind.ERASED, about="req_1"),
        lambda connection: erased.append(erase_opening(connection, "req_1")),
    )
    assert erased == [True]
    assert ledger.opening("req_1") is None
    verify_receipt(before, ledger.vkey)
    verify_receipt(ledger.receipt_for("req_1"), ledger.vkey)
    assert fsck(engine, ledger.vkey, [before.checkpoint]).intact


def test_commitments_without_the_salt_that_opens_them_are_refused(ledger):
    for entry, salt in ((a_committed_entry(), None), (a_committed_entry(), b"short"), (an_entry(), SALT)):
        with pytest.raises(EntryInvalid, match="salt"):
            ledger.record(entry, salt=salt)
    assert ledger.size == 0


def stored_salts(engine) -> list[bytes]:
    with engine.connect() as connection:
        return [bytes(row.salt) for row in connection.execute(select(log_openings))]


def test_the_database_holds_no_salt_in_the_clear(ledger, engine):
    # case S11
    ledger.record(a_committed_entry(1), salt=SALT)
    (stored,) = stored_salts(engine)
    assert SALT not in stored
    with pytest.raises(OpeningUnreadable):
        Openings(bytes([1]) * 32).open("req_1", stored)
    with pytest.raises(OpeningUnreadable):
        OPENINGS.open("req_2", stored)  # nor can two entries' openings be swapped


def test_salts_that_an_earlier_version_stored_in_the_clear_are_sealed_when_the_log_is_opened(ledger, engine, signer):
    # case S11
    ledger.record(a_committed_entry(1), salt=SALT)
    with engine.begin() as connection:
        connection.execute(update(log_openings).values(salt=SALT))
    reopened = Ledger(engine, signer, OPENINGS)
    assert SALT not in stored_salts(engine)[0]
    assert reopened.opening("req_1") == SALT
    assert fsck(engine, signer.key.vkey, (), OPENINGS).intact


def test_a_log_opened_without_the_openings_key_takes_no_commitments(engine, signer):
    with pytest.raises(EntryInvalid, match="key"):
        Ledger(engine, signer).record(a_committed_entry(1), salt=SALT)


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        ("DELETE FROM log_openings WHERE request_id = 'req_1'", "opening_missing"),
        ("UPDATE log_openings SET request_id = 'req_9' WHERE request_id = 'req_1'", "opening_unknown"),
        (
            "UPDATE log_openings SET salt = (SELECT salt FROM log_openings WHERE request_id = 'req_2') "
            "WHERE request_id = 'req_1'",
            "opening_unreadable",
        ),
    ],
)
def test_an_opening_that_is_gone_or_changed_is_a_fault(ledger, engine, damage, code):
    # case S15
    for number in (1, 2):
        ledger.record(a_committed_entry(number), salt=SALT)
    assert fsck(engine, ledger.vkey, (), OPENINGS).intact
    with engine.begin() as connection:
        connection.exec_driver_sql(damage)
    assert code in {fault.code for fault in fsck(engine, ledger.vkey, (), OPENINGS).faults}


def test_an_opening_that_an_entry_calls_erased_must_be_gone(ledger, engine):
    # case S15
    ledger.record(a_committed_entry(1), salt=SALT)
    ledger.record(an_entry(2, outcome=EntryKind.ERASED, about="req_1"))
    assert {fault.code for fault in fsck(engine, ledger.vkey, (), OPENINGS).faults} == {"opening_kept"}


def test_a_log_reopened_goes_on_where_it_stood(engine, signer):
    first = Ledger(engine, signer).record(an_entry(1))
    second = Ledger(engine, signer)
    assert second.record(an_entry(2)).index == 1
    assert fsck(engine, second.vkey, [first.checkpoint]).intact


def test_two_ledgers_on_one_database_take_turns(engine, signer):
    ledgers = [Ledger(engine, signer), Ledger(engine, signer)]
    with ThreadPoolExecutor(8) as pool:
        receipts = list(pool.map(lambda number: ledgers[number % 2].record(an_entry(number)), range(300)))
    assert sorted(receipt.index for receipt in receipts) == list(range(300))
    report = fsck(engine, signer.key.vkey, [receipt.checkpoint for receipt in receipts])
    assert report.intact, report.faults


def test_a_log_is_not_opened_with_another_key_or_under_another_name(engine, signer):
    Ledger(engine, signer).record(an_entry())
    for other in (
        CheckpointSigner(signer.key.name, Ed25519PrivateKey.generate()),
        CheckpointSigner("other.example/log", Ed25519PrivateKey.generate()),
    ):
        with pytest.raises(LogDamaged, match="does not verify"):
            Ledger(engine, other)


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM log_entries WHERE idx = 9",
        "DELETE FROM log_checkpoints WHERE size = 10",
        "DELETE FROM log_entries WHERE idx = 3",
        "UPDATE log_entries SET leaf_hash = (SELECT leaf_hash FROM log_entries WHERE idx = 0) WHERE idx = 8",
        "UPDATE log_checkpoints SET note = (SELECT note FROM log_checkpoints WHERE size = 9) WHERE size = 10",
        "DELETE FROM log_checkpoints",
    ],
)
def test_a_log_whose_head_does_not_verify_is_not_opened(engine, signer, damage):
    ledger = Ledger(engine, signer)
    for number in range(10):
        ledger.record(an_entry(number))
    run(engine, damage)
    with pytest.raises(LedgerUnavailable):
        Ledger(engine, signer)


def test_a_log_set_back_under_a_running_ledger_is_not_written_on(engine, signer):
    ledger = Ledger(engine, signer)
    for number in range(10):
        ledger.record(an_entry(number))
    run(engine, "DELETE FROM log_entries WHERE idx >= 5")
    run(engine, "DELETE FROM log_checkpoints WHERE size > 5")
    with pytest.raises(LogDamaged, match="lost or changed"):
        ledger.record(an_entry(11))
    # Even if a second writer has made it longer again, with the right key.
    usurper = Ledger(engine, signer)
    for number in range(20, 30):
        usurper.record(an_entry(number))
    with pytest.raises(LogDamaged, match="no longer begins"):
        ledger.record(an_entry(12))


def test_a_caller_learns_that_the_database_is_gone(engine, ledger):
    ledger.record(an_entry(1))
    run(engine, "ALTER TABLE log_entries RENAME TO elsewhere")
    for call in (lambda: ledger.record(an_entry(2)), lambda: ledger.receipt_for("req_1"), ledger.entries):
        with pytest.raises(LedgerUnavailable) as refusal:
            call()
        assert "req_" not in str(refusal.value)
    run(engine, "ALTER TABLE elsewhere RENAME TO log_entries")
    verify_receipt(ledger.record(an_entry(2)), ledger.vkey)


def test_a_writer_that_never_gets_its_turn_gives_up_by_name(tmp_path, signer):
    engine = create_engine(f"sqlite:///{tmp_path / 'busy.db'}")
    ledger = Ledger(engine, signer, wait_seconds=0.2)
    with engine.connect() as other:
        other.exec_driver_sql("BEGIN IMMEDIATE")
        with pytest.raises(LedgerUnavailable):
            ledger.record(an_entry(1))
        other.exec_driver_sql("ROLLBACK")
    assert ledger.record(an_entry(1)).index == 0


def test_sqlite_commits_of_the_ledger_are_synchronous_and_overwrite_what_is_deleted(tmp_path, signer):
    engine = create_engine(f"sqlite:///{tmp_path / 'log.db'}")
    seen = []

    def look(connection):
        pragmas = ("journal_mode", "synchronous", "secure_delete")
        seen.extend(connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() for pragma in pragmas)

    Ledger(engine, signer).record(an_entry(1), look)
    assert seen == ["wal", 2, 1]


def test_a_receipt_of_one_log_is_not_accepted_for_another(ledger):
    receipt = ledger.record(an_entry(1))
    other = CheckpointSigner("other.example/log", Ed25519PrivateKey.generate())
    with pytest.raises(ReceiptInvalid):
        verify_receipt(receipt, other.key.vkey)
