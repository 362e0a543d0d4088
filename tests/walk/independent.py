"""A second implementation of what a stranger checks: signed note, RFC 6962 inclusion, commitments. Nothing from ours.

Written from the texts alone: c2sp.org/signed-note, c2sp.org/tlog-checkpoint, c2sp.org/tlog-proof, RFC 6962 clause 2.1.
"""

import base64
import hashlib
import hmac
import json
import sqlite3
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


def open_note(note: str, vkey: str) -> tuple[str, int, bytes]:
    """(origin, size, root) of a checkpoint, after its signature by the key; raises whatever does not hold."""
    name, key_id, encoded = vkey.strip().split("+", 2)
    key = base64.b64decode(encoded)
    assert key[0] == 1, "Ed25519 is type 1"
    expected_id = hashlib.sha256(name.encode() + b"\n" + key).digest()[:4]
    assert expected_id.hex() == key_id
    text, signatures = note.split("\n\n", 1)
    text += "\n"
    for line in signatures.splitlines():
        dash, signer, signed = line.split(" ")
        raw = base64.b64decode(signed)
        if dash == "\u2014" and signer == name and raw[:4] == expected_id:
            Ed25519PublicKey.from_public_bytes(key[1:]).verify(raw[4:], text.encode())
            break
    else:
        raise AssertionError("no signature of the log's key")
    origin, size, root = text.splitlines()[:3]
    assert origin == name
    return origin, int(size), base64.b64decode(root)


def root_from_proof(leaf: bytes, index: int, size: int, proof: list[bytes]) -> bytes:
    """RFC 9162 clause 2.1.3.2 (the algorithm RFC 6962 left to the reader): the root this proof leads to."""
    assert 0 <= index < size
    fn, sn = index, size - 1
    root = hashlib.sha256(b"\x00" + leaf).digest()
    for step in proof:
        assert sn != 0
        if fn & 1 or fn == sn:
            root = hashlib.sha256(b"\x01" + step + root).digest()
            while not fn & 1 and fn:
                fn >>= 1
                sn >>= 1
        else:
            root = hashlib.sha256(b"\x01" + root + step).digest()
        fn >>= 1
        sn >>= 1
    assert sn == 0
    return root


def tree_root(leaves: list[bytes]) -> bytes:
    """RFC 6962 clause 2.1, recursively as it is written there."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\x01" + tree_root(leaves[:split]) + tree_root(leaves[split:])).digest()


def check_receipt(receipt: dict[str, Any], vkey: str) -> dict[str, Any]:
    """The log entry the receipt proves; raises if it proves nothing."""
    _, size, root = open_note(receipt["checkpoint"], vkey)
    leaf = receipt["leaf"].encode()
    proof = [base64.b64decode(step) for step in receipt["proof"]]
    assert root_from_proof(leaf, receipt["index"], size, proof) == root
    entry: dict[str, Any] = json.loads(leaf)
    assert entry["request_id"] == receipt["request_id"]
    return entry


def check_tlog_proof(proof_text: str, vkey: str) -> dict[str, Any]:
    """The same for a c2sp.org/tlog-proof@v1."""
    head, note = proof_text.split("\n\n", 1)
    first, extra, index, *proof = head.split("\n")
    assert first == "c2sp.org/tlog-proof@v1"
    leaf = base64.b64decode(extra.removeprefix("extra "))
    _, size, root = open_note(note, vkey)
    steps = [base64.b64decode(step) for step in proof]
    assert root_from_proof(leaf, int(index.removeprefix("index ")), size, steps) == root
    entry: dict[str, Any] = json.loads(leaf)
    return entry


def read_salt(stored: bytes, key: bytes, request_id: str) -> bytes:
    """The salt of an entry's commitments, from its row and the key in `keys/openings.key`."""
    return AESGCM(key).decrypt(stored[:12], stored[12:], request_id.encode())


def opens(commitment: str, salt: bytes, name: str, value: bytes) -> bool:
    """True if the commitment was made from this salt, name and value."""
    return hmac.new(salt, name.encode() + b"\0" + value, hashlib.sha256).hexdigest() == commitment


def check_whole_log(database: Path, vkey: str) -> list[dict[str, Any]]:
    """Every entry of the log in an SQLite file, in order, after its newest checkpoint was derived from them."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        leaves = [bytes(leaf) for (leaf,) in connection.execute("select leaf from log_entries order by idx")]
        size, note = connection.execute("select size, note from log_checkpoints order by size desc limit 1").fetchone()
    assert open_note(note, vkey)[1:] == (len(leaves), tree_root(leaves))
    assert size == len(leaves)
    return [json.loads(leaf) for leaf in leaves]
