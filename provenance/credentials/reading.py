"""Reads C2PA manifests out of files (c2pa's Reader) into a frozen report. Never fetches, whatever a file asks for."""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

import c2pa

from provenance.credentials.store import unsigned_bytes_intact
from provenance.credentials.validation import Identity, altered, failures, holds, identity, successes
from provenance.errors import UnreadableImage
from provenance.files.embedded import manifest_store


class CredentialState(StrEnum):
    """C2PA's states, as one reader sees them: trust depends on the anchors the reader was given.

    `UNREADABLE` is ours: something is there that may be a credential, and no reader can take it apart.
    """

    TRUSTED = "trusted"
    VALID = "valid"
    INVALID = "invalid"
    UNREADABLE = "unreadable"
    NOT_PRESENT = "not_present"


@dataclass(frozen=True, slots=True)
class Credential:
    """What a file's C2PA manifest says and whether it holds.

    `codes`: the validation codes that are not successes, sorted. `issuer`: organisation in the signing certificate;
    `certificate_serial`: its serial number in decimal. `generator`: name and version of the claim generator.
    `signer_trusted`: the signing certificate leads to an anchor, even if the file was changed since. `signed_at`:
    RFC 3339, as the time-stamp says; `time_trusted`: the time-stamp is of an authority under the reader's anchors.
    `altered`: a hash or a signature does not fit, so that something was changed after signing; of all that makes a
    credential invalid, only this. `identity`: of whom a CAWG assertion names.
    `detached`: the manifest was not in the file but beside it. `soft_binding`: (algorithm, value as written) of the
    first soft binding, if any.
    """

    state: CredentialState
    issuer: str | None = None
    certificate_serial: str | None = None
    generator: str | None = None
    manifest_id: str | None = None
    codes: tuple[str, ...] = ()
    signed_at: str | None = None
    time_trusted: bool = False
    signer_trusted: bool = False
    soft_binding: tuple[str, str] | None = None
    digital_source_types: tuple[str, ...] = ()
    manifest_json: str | None = None
    detached: bool = False
    altered: bool = False
    identity: Identity = Identity.NONE

    @property
    def timestamped(self) -> bool:
        """An RFC 3161 time-stamp is in the signature (c2pa takes the signing time from nowhere else), anybody's."""
        return self.signed_at is not None


NOT_PRESENT: Final = Credential(CredentialState.NOT_PRESENT)

INACCESSIBLE: Final = Credential(CredentialState.NOT_PRESENT, codes=("manifest.inaccessible",))
"""The file names a manifest kept elsewhere, which is not fetched (the code is C2PA 2.4's)."""

_STORE_LABEL: Final = b"c2pa"
"""In the label of every manifest store (C2PA 2.4, 11.1.4.2): what lacks it has none, however broken it is otherwise."""

_REFERENCE: Final = b"dcterms:provenance"
"""In the XMP of files whose manifest is kept elsewhere (C2PA 2.4, 11.4)."""

UNSIGNED_CHANGED: Final = "dev.fluxgate.unsignedBytes.changed"
"""Our code for what other readers pass over: padding, labels or lengths that no signature covers are not as written."""

_STATES: Final = {
    "Trusted": CredentialState.TRUSTED,
    "Valid": CredentialState.VALID,
    "Invalid": CredentialState.INVALID,
}


class ManifestReader:
    """Reads with one set of trust anchors. One per process; safe to use from many threads.

    `anchors_pem`: root certificates whose signatures count as trusted; empty for none. `timestamp_anchors_pem`: those
    whose time-stamps do, besides.
    """

    def __init__(self, anchors_pem: str, timestamp_anchors_pem: str = "") -> None:
        self._context = _context(anchors_pem, timestamp_anchors_pem)
        # c2pa takes a signature under a time-stamp anchor for trusted, too (0.38). So what seems trusted is read once
        # more with our own anchors alone: there the chain must hold at the time that was trusted before.
        self._own = _context(anchors_pem, "", verify_timestamp_trust=False) if timestamp_anchors_pem else None

    @property
    def knows_authorities(self) -> bool:
        """There are time-stamp anchors: time-stamps that do not lead to them are not what was asked for."""
        return self._own is not None

    def read(self, data: bytes, media_type: str, beside: bytes | None = None) -> Credential:
        """The credential of a file; state `not_present` if there is none. Never raises for what is in the file.

        `beside`: a manifest store that was kept apart from the file, for files that hold none.
        """
        embedded = _STORE_LABEL in data
        if not embedded and beside is None and _REFERENCE not in data:
            return NOT_PRESENT
        if beside is not None and _embedded_store(data, media_type):
            beside = None
        try:
            store = _store(self._context, data, media_type, beside)
            found = _report(store)
            if self._own is not None and found.signer_trusted:
                own = _report(_store(self._own, data, media_type, beside))
                if not own.signer_trusted:
                    found = replace(own, time_trusted=found.time_trusted)
        except (c2pa.C2paError, ValueError, KeyError, TypeError, AttributeError) as error:
            return _unread(error, embedded or beside is not None)
        if found.state is CredentialState.TRUSTED and not (
            _all_referenced(store) and _as_written(data, media_type, found, beside)
        ):
            return replace(
                found,
                state=CredentialState.INVALID,
                codes=(*found.codes, UNSIGNED_CHANGED),
                altered=True,
                detached=beside is not None,
            )
        changed = altered(store, data, beside or _embedded_store(data, media_type))
        return replace(found, altered=changed, detached=beside is not None)

    def close(self) -> None:
        """Releases the native context."""
        self._context.close()
        if self._own is not None:
            self._own.close()


def _context(anchors_pem: str, timestamp_anchors_pem: str, *, verify_timestamp_trust: bool = True) -> c2pa.Context:
    lists = (("manifest", anchors_pem), ("tsa", timestamp_anchors_pem))
    return c2pa.Context.from_dict(
        {
            "core": {"allowed_network_hosts": []},
            "verify": {
                "verify_trust": True,
                "verify_timestamp_trust": verify_timestamp_trust,
                "remote_manifest_fetch": False,
                "ocsp_fetch": False,
            },
            "trust": {"anchors": [{"trust_kind": kind, "trust_anchors": pem} for kind, pem in lists if pem]},
        }
    )


def _store(context: c2pa.Context, data: bytes, media_type: str, beside: bytes | None) -> dict[str, Any]:
    with c2pa.Reader(media_type, io.BytesIO(data), manifest_data=beside, context=context) as reader:
        store: dict[str, Any] = json.loads(reader.json())
    return store


def _unread(error: Exception, embedded: bool) -> Credential:
    """What an error of c2pa's reader means. `embedded`: there may be a manifest in the file."""
    if str(error).startswith("Remote"):
        return INACCESSIBLE
    if isinstance(error, c2pa.C2paError.ManifestNotFound) or not embedded:
        return NOT_PRESENT
    return Credential(CredentialState.UNREADABLE, codes=(f"unreadable.{type(error).__name__.strip('_')}",))


def _report(store: dict[str, Any]) -> Credential:
    manifest = store.get("manifests", {}).get(str(store.get("active_manifest")), {})
    signature = manifest.get("signature_info") or {}
    generator = (manifest.get("claim_generator_info") or [{}])[0]
    assertions = [a for a in manifest.get("assertions", ()) if isinstance(a.get("data"), dict)]
    return Credential(
        state=_state(store),
        issuer=signature.get("issuer"),
        certificate_serial=signature.get("cert_serial_number"),
        generator=" ".join(str(generator[key]) for key in ("name", "version") if generator.get(key)) or None,
        manifest_id=store.get("active_manifest"),
        codes=failures(store),
        signed_at=signature.get("time"),
        time_trusted="timeStamp.trusted" in successes(store),
        signer_trusted=_signer_trusted(store),
        soft_binding=_soft_binding(assertions),
        digital_source_types=tuple(_source_types(assertions)),
        manifest_json=json.dumps(store, indent=1, sort_keys=True),
        identity=identity(store),
    )


def _state(store: dict[str, Any]) -> CredentialState:
    said = _STATES.get(str(store.get("validation_state")), CredentialState.INVALID)
    if said is CredentialState.TRUSTED or not holds(store):
        return said
    return CredentialState.TRUSTED if _signer_trusted(store) else CredentialState.VALID


def _all_referenced(store: dict[str, Any]) -> bool:
    """Every manifest is the active one or that of an ingredient, whose hash covers it: others could be put in."""
    unseen = dict(store["manifests"])
    following = [store["active_manifest"]]
    while following:
        manifest = unseen.pop(following.pop(), {})
        following += [part["active_manifest"] for part in manifest.get("ingredients", ()) if "active_manifest" in part]
    return not unseen


def _embedded_store(data: bytes, media_type: str) -> bytes | None:
    """None unless there is exactly one. The label alone does not tell: an address that ends in .c2pa has it, too."""
    try:
        return manifest_store(data, media_type) or None
    except UnreadableImage:
        return None


def _as_written(data: bytes, media_type: str, credential: Credential, beside: bytes | None) -> bool:
    store = beside or _embedded_store(data, media_type)
    return store is not None and unsigned_bytes_intact(store, timestamped=credential.timestamped)


def _signer_trusted(store: dict[str, Any]) -> bool:
    """The certificate leads to an anchor *and* has signed this claim: a certificate alone can be pasted in."""
    return {"signingCredential.trusted", "claimSignature.validated"} <= successes(store)


def _soft_binding(assertions: list[dict[str, Any]]) -> tuple[str, str] | None:
    for assertion in assertions:
        if assertion.get("label", "").startswith("c2pa.soft-binding"):
            blocks = assertion["data"].get("blocks") or [{}]
            return str(assertion["data"].get("alg", "")), str(blocks[0].get("value", ""))
    return None


def _source_types(assertions: list[dict[str, Any]]) -> Iterator[str]:
    for assertion in assertions:
        if assertion.get("label", "").startswith("c2pa.actions"):
            for action in assertion["data"].get("actions", ()):
                if "digitalSourceType" in action:
                    yield str(action["digitalSourceType"])
