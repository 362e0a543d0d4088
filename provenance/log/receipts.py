"""Receipts: proof that an entry is in the log, to be checked offline with nothing but the log's public key. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from provenance.errors import ProvenanceError
from provenance.log.checkpoints import CheckpointInvalid, decode, encode, parse_vkey, verify_checkpoint
from provenance.log.entries import EntryInvalid, read_leaf
from provenance.log.merkle import HASH_BYTES, ProofInvalid, leaf_hash, verify_inclusion

SCHEMA = "fluxgate-receipt/1"
TLOG_PROOF = "c2sp.org/tlog-proof@v1"
_INDEX = re.compile(r"0|[1-9][0-9]{0,18}")


class ReceiptInvalid(ProvenanceError):
    """A receipt is malformed, or does not prove what it claims."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """Entry `index` of the log is `leaf`. `proof`: inclusion proof, 32 bytes each. `checkpoint`: the signed note."""

    request_id: str
    index: int
    leaf: bytes
    proof: tuple[bytes, ...]
    checkpoint: str

    def to_json(self) -> str:
        """One JSON object; the leaf stands in it as the text that it is."""
        said = {
            "schema": SCHEMA,
            "request_id": self.request_id,
            "index": self.index,
            "leaf": self.leaf.decode(),
            "proof": [encode(each) for each in self.proof],
            "checkpoint": self.checkpoint,
        }
        return orjson.dumps(said).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> "Receipt":
        """Reads `to_json` back; proves nothing yet. Raises `ReceiptInvalid`."""
        try:
            match orjson.loads(text):
                case {
                    "schema": "fluxgate-receipt/1",
                    "request_id": str(request_id),
                    "index": int(index),
                    "leaf": str(leaf),
                    "proof": list(proof),
                    "checkpoint": str(checkpoint),
                    **rest,
                } if not rest and type(index) is int:
                    return cls(request_id, index, leaf.encode(), _hashes(proof), checkpoint)
        except orjson.JSONDecodeError:
            pass
        raise ReceiptInvalid(f"this is not a receipt of the form {SCHEMA}")

    def tlog_proof(self) -> str:
        """The receipt as c2sp.org/tlog-proof@v1 (file extension `.tlog-proof`).

        The extra line, which the format leaves unauthenticated, carries the leaf; checking the proof checks it.
        """
        lines = [TLOG_PROOF, f"extra {encode(self.leaf)}", f"index {self.index}", *map(encode, self.proof)]
        return "\n".join(lines) + "\n\n" + self.checkpoint

    @classmethod
    def from_tlog_proof(cls, text: str) -> "Receipt":
        """Reads `tlog_proof` back; proves nothing yet. Raises `ReceiptInvalid`."""
        head, gap, checkpoint = text.partition("\n\n")
        match head.split("\n"):
            case [header, extra, index, *proof] if header == TLOG_PROOF and gap:
                leaf = decode(extra.removeprefix("extra "), ReceiptInvalid)
                number = index.removeprefix("index ")
                if extra.startswith("extra ") and index.startswith("index ") and _INDEX.fullmatch(number):
                    return cls(_request_id(leaf), int(number), leaf, _hashes(proof), checkpoint)
        raise ReceiptInvalid(f"this is not a receipt of the form {TLOG_PROOF} with the entry as its extra data")


def verify_receipt(receipt: Receipt | str | bytes, vkey: str) -> None:
    """Returns if the receipt (or its JSON) proves that the log of `vkey` holds the entry; raises `ReceiptInvalid` else.

    Pure and offline. Raises `LogKeyInvalid` if `vkey` is no key.
    """
    key = parse_vkey(vkey)
    # 1. Read the receipt.
    if not isinstance(receipt, Receipt):
        receipt = Receipt.from_json(receipt)
    try:
        # 2. The checkpoint is the log's own.
        checkpoint = verify_checkpoint(receipt.checkpoint, key)
        # 3. The entry stands in the tree of that checkpoint.
        verify_inclusion(leaf_hash(receipt.leaf), receipt.index, checkpoint.size, receipt.proof, checkpoint.root)
    except (CheckpointInvalid, ProofInvalid) as error:
        raise ReceiptInvalid(f"the receipt does not hold: {error}") from error
    # 4. The entry is about this request.
    if _request_id(receipt.leaf) != receipt.request_id:
        raise ReceiptInvalid("the receipt's entry belongs to another request")


def _request_id(leaf: bytes) -> str:
    try:
        return str(read_leaf(leaf)["request_id"])
    except EntryInvalid as error:
        raise ReceiptInvalid("the receipt's entry is not in canonical form") from error


def _hashes(texts: Sequence[object]) -> tuple[bytes, ...]:
    hashes = tuple(decode(text, ReceiptInvalid) for text in texts if isinstance(text, str))
    if len(hashes) != len(texts) or any(len(each) != HASH_BYTES for each in hashes):
        raise ReceiptInvalid("a receipt's proof is a list of SHA-256 hashes in base64")
    return hashes
