"""What a thief learns from a copy of the database, with or without the images: no guessed prompt is confirmed."""

import hashlib
import hmac
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from tests.walk.dialogues import DIALOGUES
from tests.walk.house import HARMLESS, House

REFUSED = "how to make a pipe bomb at home, step by step"
GUESSES = (HARMLESS, REFUSED)


def copied(house: House, place: Path) -> sqlite3.Connection:
    """The database as a backup has it."""
    copy = sqlite3.connect(place)
    with sqlite3.connect(f"file:{house.database}?mode=ro", uri=True) as source:
        source.backup(copy)
    return copy


def values(copy: sqlite3.Connection) -> Iterator[bytes]:
    """Everything in every table that could serve as a key."""
    for (table,) in copy.execute("select name from sqlite_master where type = 'table'").fetchall():
        for row in copy.execute(f"select * from {table}"):
            for value in row:
                if isinstance(value, bytes) and len(value) <= 4096:
                    yield value
                elif isinstance(value, str) and len(value) <= 256:
                    yield value.encode()


def test_no_guess_is_confirmed_from_a_copy_of_the_database_and_the_images(house: House, tmp_path: Path) -> None:
    # case S11
    before = house.rows("select count(*) as n from log_entries")[0]["n"]
    for dialogue in DIALOGUES:
        for guess in GUESSES:
            dialogue.ask(house, guess)
    copy = copied(house, tmp_path / "copy.db")
    leaves = [json.loads(leaf) for (leaf,) in copy.execute("select leaf from log_entries where idx >= ?", (before,))]
    commitments = {leaf["commitments"]["prompt"] for leaf in leaves if "prompt" in leaf.get("commitments", {})}
    assert len(commitments) == len(DIALOGUES) * len(GUESSES)

    keys = set()
    for value in values(copy):
        keys |= {value, hashlib.sha256(value).digest()}
        keys |= {value[at : at + 32] for at in range(len(value) - 31)}
    confirmed = {
        guess
        for key in keys
        for guess in GUESSES
        if hmac.digest(key, b"prompt\x00" + guess.encode(), "sha256").hex() in commitments
    }
    assert not confirmed

    files = [tmp_path / "copy.db", *(file for file in (house.path / "blobs").rglob("*") if file.is_file())]
    for file in files:
        data = file.read_bytes()
        for guess in GUESSES:
            said = guess.encode()
            assert said not in data, f"{file.name} holds a prompt"
            for digest in (hashlib.sha256(said), hashlib.sha1(said), hashlib.md5(said)):
                assert digest.digest() not in data
                assert digest.hexdigest().encode() not in data
