"""Cuts and checks manifest stores: a JUMBF box (ISO 19566-5) of manifests, the last one active (C2PA 2.4, 11.1.4.2)."""

from collections.abc import Iterator
from typing import Final

import cbor2

from provenance.errors import ProvenanceError

_HEADER_BYTES = 8
_TYPE_BYTES = 16

_CLAIMS: Final = frozenset(("c2pa.claim", "c2pa.claim.v2"))
_UNPROTECTED: Final = frozenset(("pad", "pad2", "x5chain"))
"""What may stand in the unprotected header of a claim signature (C2PA 2.4, 13.2; the chain, before version 2), besides
a time-stamp that holds. Stapled OCSP answers (`rVals`) are not admitted: our signers write none, and readers that
do not fetch do not look at them."""

_STAMPS: Final = frozenset(("sigTst", "sigTst2"))

_LABELLED, _SALTED = 0x03, 0x13
"""Toggles of a description box (ISO 19566-5, B.3): it can be asked for and has a label; and has a private box."""


class StoreBroken(ProvenanceError):
    """The bytes are not a manifest store."""


def active_manifest(store: bytes) -> bytes:
    """A store that holds only the active manifest of `store`. Raises `StoreBroken`."""
    description, *manifests = _inside(store)
    if not manifests:
        raise StoreBroken("the manifest store holds no manifest")
    content = description + manifests[-1]
    return (len(content) + _HEADER_BYTES).to_bytes(4, "big") + b"jumb" + content


def assertion_of(store: bytes, label: str) -> bytes:
    """The content of an assertion of the active manifest, without box header. Raises `StoreBroken` without it."""
    _, *manifests = _inside(store)
    for part in _inside(manifests[-1])[1:] if manifests else ():
        if _label(part) == "c2pa.assertions":
            for assertion in _inside(part)[1:]:
                if _label(assertion) == label:
                    return b"".join(content[_HEADER_BYTES:] for content in _inside(assertion)[1:2])
    raise StoreBroken("the manifest has no such assertion")


def unsigned_bytes_intact(store: bytes, *, timestamped: bool) -> bool:
    """Whether what no signature covers still is as the standard writes it.

    These are the lengths, labels and toggles of the boxes around claim and assertions (which are covered whole), other
    boxes among them, and in the signature box its padding (zeros), what else stands in its unprotected header, and its
    absent payload. C2PA readers pass over them; what nobody checks is a place to hide bits in.

    `timestamped`: the signature's time-stamp was found to hold.
    """
    try:
        label, manifests = _described(store)
        _, contents = _described(manifests[-1])
        (first, assertions), (second, claim), (third, signature) = (_described(part) for part in contents)
        for assertion in assertions:
            _described(assertion, salted=True)
    except (StoreBroken, IndexError, ValueError):
        return False
    labelled = label == "c2pa" and first == "c2pa.assertions" and second in _CLAIMS and third == "c2pa.signature"
    return labelled and len(claim) == len(signature) == 1 and _signature_intact(signature[0], timestamped)


def _described(box: bytes, *, salted: bool = False) -> tuple[str, list[bytes]]:
    """Label and contents of a superbox. `salted`: its description may hold a salt. Raises `StoreBroken`."""
    description, *contents = _inside(box)
    label, _, salt = description[_HEADER_BYTES + _TYPE_BYTES + 1 :].partition(b"\x00")
    if description[_HEADER_BYTES + _TYPE_BYTES] != (_SALTED if salt else _LABELLED) or (salt and not salted):
        raise StoreBroken("a box is not described as C2PA describes it")
    return label.decode("latin-1"), contents


def _label(box: bytes) -> str:
    """Of a superbox. Raises `StoreBroken`."""
    label, _, _ = _inside(box)[0][_HEADER_BYTES + _TYPE_BYTES + 1 :].partition(b"\x00")
    return label.decode("latin-1")


def _signature_intact(box: bytes, timestamped: bool) -> bool:
    """COSE_Sign1 (RFC 9052, 4.2) as C2PA fills it in."""
    try:
        sign1 = cbor2.loads(box[_HEADER_BYTES:])
        _, unprotected, payload, _ = sign1.value
        once = cbor2.dumps(sign1) == box[_HEADER_BYTES:]
        padded = any(unprotected.get(name, b"").strip(b"\x00") for name in ("pad", "pad2"))
        stamps = [
            {key: [list(token) for token in tokens] for key, tokens in unprotected[name].items()}
            for name in _STAMPS & set(unprotected)
        ]
    except (cbor2.CBORDecodeError, cbor2.CBOREncodeError, AttributeError, TypeError, ValueError):
        return False
    known = set(unprotected) <= _UNPROTECTED | _STAMPS
    stamped = stamps == ([{"tstTokens": [["val"]]}] if timestamped else [])
    return once and known and stamped and not padded and payload is None


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
