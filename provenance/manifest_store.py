"""Cuts and checks manifest stores: a JUMBF box (ISO 19566-5) of manifests, the last one active (C2PA 2.4, 11.1.4.2)."""

from collections.abc import Iterator
from typing import Final

import cbor2

from provenance.errors import ProvenanceError

_HEADER_BYTES = 8
_TYPE_BYTES = 16

_LABELS: Final = frozenset(
    ("c2pa.assertions", "c2pa.claim", "c2pa.claim.v2", "c2pa.signature", "c2pa.credentials", "c2pa.databoxes")
)
"""What a manifest is made of (C2PA 2.4, 11.1.4)."""

_UNPROTECTED: Final = frozenset(("pad", "pad2", "sigTst", "sigTst2", "rVals", "x5chain"))
"""What may stand in the unprotected header of a claim signature (C2PA 2.4, 13.2); the chain, before version 2."""

_LABELLED, _SALTED = 0x03, 0x13
"""Toggles of a description box (ISO 19566-5, B.3): requestable, with a label; and with a private box after it."""


class StoreBroken(ProvenanceError):
    """The bytes are not a manifest store."""


def active_manifest(store: bytes) -> bytes:
    """A store that holds only the active manifest of `store`. Raises `StoreBroken`."""
    description, *manifests = _inside(store)
    if not manifests:
        raise StoreBroken("the manifest store holds no manifest")
    content = description + manifests[-1]
    return (len(content) + _HEADER_BYTES).to_bytes(4, "big") + b"jumb" + content


def unsigned_bytes_intact(store: bytes) -> bool:
    """Whether what no signature covers still is as the standard writes it.

    These are the lengths, labels and toggles of the boxes around the claim, and in the signature box its padding
    (zeros), the names in its unprotected header and its absent payload. C2PA readers pass over all of them; what
    they do not say is a place to hide bits in.
    """
    try:
        _, *manifests = _described(store, ("c2pa",))
        _, *children = _described(manifests[-1], None)
        for child in children:
            name = _label(_inside(child)[0])
            _, *contents = _described(child, _LABELS)
            if name == "c2pa.assertions":
                for assertion in contents:
                    _described(assertion, None)
            elif name == "c2pa.signature":
                _check_signature(contents)
    except (StoreBroken, IndexError, UnicodeDecodeError):
        return False
    return True


def _described(box: bytes, labels: tuple[str, ...] | frozenset[str] | None) -> list[bytes]:
    """What a superbox holds, its description first. `labels`: those it may have, None for any."""
    description, *contents = _inside(box)
    label = _label(description)
    toggles = description[_HEADER_BYTES + _TYPE_BYTES]
    salt = description[_HEADER_BYTES + _TYPE_BYTES + 1 + len(label.encode()) + 1 :]
    if toggles != (_SALTED if list(_boxes(salt)) else _LABELLED) or (labels is not None and label not in labels):
        raise StoreBroken("a box is not described as C2PA describes it")
    return [description, *contents]


def _label(description: bytes) -> str:
    text, _, _ = description[_HEADER_BYTES + _TYPE_BYTES + 1 :].partition(b"\x00")
    return text.decode()


def _check_signature(contents: list[bytes]) -> None:
    """COSE_Sign1 (RFC 9052, 4.2) as C2PA fills it in. Raises `StoreBroken`."""
    (content,) = contents if len(contents) == 1 else (b"",)
    try:
        sign1 = cbor2.loads(content[_HEADER_BYTES:])
        _, unprotected, payload, _ = sign1.value
        plain = cbor2.dumps(sign1) == content[_HEADER_BYTES:]
        padded = any(any(unprotected.get(name, b"")) for name in ("pad", "pad2"))
        named = set(unprotected) <= _UNPROTECTED
    except (cbor2.CBORDecodeError, cbor2.CBOREncodeError, AttributeError, TypeError, ValueError) as cause:
        raise StoreBroken("the signature is no COSE_Sign1") from cause
    if not plain or padded or not named or payload is not None:
        raise StoreBroken("the signature holds what no signature covers")


def _inside(box: bytes) -> list[bytes]:
    """The boxes in one superbox. Raises `StoreBroken` if `box` is not exactly one, or is empty."""
    if len(list(_boxes(box))) != 1 or box[4:8] != b"jumb":
        raise StoreBroken("a manifest store is made of JUMBF boxes")
    inside = list(_boxes(box[_HEADER_BYTES:]))
    if not inside:
        raise StoreBroken("a JUMBF box has no description")
    return inside


def _boxes(data: bytes) -> Iterator[bytes]:
    """The boxes that stand one after another in `data`, with their headers."""
    start = 0
    while start < len(data):
        length = int.from_bytes(data[start : start + 4], "big")
        if length < _HEADER_BYTES or start + length > len(data):
            raise StoreBroken("a box is longer than what holds it")
        yield data[start : start + length]
        start += length
