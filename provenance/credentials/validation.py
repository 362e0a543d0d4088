"""What c2pa's validation results say of a file: does its credential hold, was it changed, is an identity open? Pure.

A reader's word "invalid" covers unlike things. A hash or signature that does not fit is one; a certificate that has
ended, an identity (CAWG) that nobody here can look up, or an ingredient whose own failures were recorded when it went
in, are others, and accuse nobody. They are told apart by code and by whose manifest a code is about.
"""

import hashlib
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, Final

import cbor2

from provenance.credentials.store import StoreBroken, assertion_of

_UNTRUSTED: Final = "signingCredential.untrusted"
_ALTERED: Final = (".mismatch", ".changed")

_IDENTITY: Final = "cawg."
_STANDING: Final = (_IDENTITY, "signingCredential.", "timeStamp.")
"""Failures of ingredients that say nothing about the bytes: who signed, when, and what this reader knows of them."""

_BOUND: Final = frozenset(f"assertion.{kind}Hash.match" for kind in ("data", "bmff", "boxes", "multiAsset"))
_RANGES: Final = "assertion.dataHash.mismatch"
_DATA_HASH: Final = "c2pa.hash.data"
_MOST_RANGES: Final = 1000


class Identity(StrEnum):
    """The person or organisation that a CAWG identity assertion names, beside the signer."""

    NONE = "none"
    CONFIRMED = "confirmed"
    UNCONFIRMED = "unconfirmed"


def failures(store: dict[str, Any]) -> tuple[str, ...]:
    """Codes of all failures, of the active manifest and of what is new in its ingredients' ones; sorted."""
    return tuple(sorted({str(each["code"]) for each, _ in _failures(store)}))


def successes(store: dict[str, Any]) -> frozenset[str]:
    """Codes of what holds in the active manifest."""
    active = (store.get("validation_results") or {}).get("activeManifest") or {}
    return frozenset(str(entry["code"]) for entry in active.get("success", ()))


def holds(store: dict[str, Any]) -> bool:
    """Whether nothing but identities, and who signed its ingredients, speaks against the active manifest.

    Its own signer may be unknown here. c2pa's overall state (0.38) is lower where an ingredient is of somebody unknown.
    """
    against = [
        entry["code"]
        for entry, own in _failures(store)
        if not entry["code"].startswith(_IDENTITY if own else _STANDING) and not (own and entry["code"] == _UNTRUSTED)
    ]
    good = successes(store)
    return not against and "claimSignature.validated" in good and bool(good & _BOUND)


def altered(store: dict[str, Any], data: bytes, manifests: bytes | None) -> bool:
    """Whether a hash or a signature does not fit: something was changed after it was signed. What was known of an
    ingredient when it went in is no failure of the file, and readers do not report it.

    `manifests`: the manifest store's bytes, if they are at hand. A hash that was made over other ranges than readers
    allow now, and still fits those, is no change.
    """
    codes = {entry["code"] for entry, _ in _failures(store) if not entry["code"].startswith(_STANDING)}
    found = {code for code in codes if code.endswith(_ALTERED)}
    if found == {_RANGES} and manifests is not None:
        return not _fits_its_own_ranges(data, manifests)
    return bool(found)


def identity(store: dict[str, Any]) -> Identity:
    """Of the active manifest."""
    label = store.get("active_manifest")
    assertions = store.get("manifests", {}).get(str(label), {}).get("assertions", ())
    if not any(str(assertion.get("label", "")).startswith("cawg.identity") for assertion in assertions):
        return Identity.NONE
    if any(own and entry["code"].startswith(_IDENTITY) for entry, own in _failures(store)):
        return Identity.UNCONFIRMED
    good = successes(store)
    known = any(code.startswith(_IDENTITY) and code.endswith((".trusted", ".credential_valid")) for code in good)
    return Identity.CONFIRMED if known else Identity.UNCONFIRMED


def _failures(store: dict[str, Any]) -> Iterator[tuple[dict[str, Any], bool]]:
    """Each failure, and whether it is about the active manifest itself."""
    results = store.get("validation_results") or {}
    others = [f"/c2pa/{label}/" for label in store.get("manifests", {}) if label != store.get("active_manifest")]
    for entry in (results.get("activeManifest") or {}).get("failure", ()):
        place = str(entry.get("url", ""))
        about_another = entry["code"].startswith("ingredient.") or any(other in place for other in others)
        yield entry, not about_another
    for ingredient in results.get("ingredientDeltas") or ():
        for entry in ingredient.get("validationDeltas", {}).get("failure", ()):
            yield entry, False


def _fits_its_own_ranges(data: bytes, manifests: bytes) -> bool:
    """The data hash as its claim generator made it (C2PA 2.4, 18.5), wherever the ranges that it leaves out lie."""
    try:
        said = cbor2.loads(assertion_of(manifests, _DATA_HASH))
        left_out = sorted((int(each["start"]), int(each["length"])) for each in said["exclusions"])
        digest = hashlib.new({"sha256": "sha256", "sha384": "sha384", "sha512": "sha512"}[said["alg"]])
        if len(left_out) > _MOST_RANGES:
            return False
        at = 0
        for start, length in left_out:
            if start < at or length < 0:
                return False
            digest.update(memoryview(data)[at:start])
            at = start + length
        digest.update(memoryview(data)[at:])
        return bool(digest.digest() == said["hash"])
    except (StoreBroken, cbor2.CBORDecodeError, KeyError, TypeError, ValueError):
        return False
