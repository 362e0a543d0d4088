"""Reads C2PA manifests out of files (c2pa's Reader) into a frozen report. Never fetches, whatever a file asks for."""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

import c2pa

from provenance.embedded import manifest_store
from provenance.errors import UnreadableImage
from provenance.manifest_store import unsigned_bytes_intact


class CredentialState(StrEnum):
    """C2PA's states, as one reader sees them: trust depends on the anchors the reader was given."""

    TRUSTED = "trusted"
    VALID = "valid"
    INVALID = "invalid"
    NOT_PRESENT = "not_present"


@dataclass(frozen=True, slots=True)
class Credential:
    """What a file's C2PA manifest says and whether it holds.

    `codes`: the validation codes that are not successes, sorted. `issuer`: organisation in the signing certificate;
    `certificate_serial`: its serial number in decimal. `generator`: name and version of the claim generator.
    `signer_trusted`: the signing certificate leads to an anchor, even if the file was changed since.
    `soft_binding`: (algorithm, value as written) of the first soft binding, if any.
    """

    state: CredentialState
    issuer: str | None = None
    certificate_serial: str | None = None
    generator: str | None = None
    manifest_id: str | None = None
    codes: tuple[str, ...] = ()
    signed_at: str | None = None
    signer_trusted: bool = False
    soft_binding: tuple[str, str] | None = None
    digital_source_types: tuple[str, ...] = ()
    manifest_json: str | None = None

    @property
    def timestamped(self) -> bool:
        """An RFC 3161 time-stamp is in the signature (c2pa takes the signing time from nowhere else)."""
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

    `anchors_pem`: root certificates whose signatures count as trusted; empty for none.
    """

    def __init__(self, anchors_pem: str) -> None:
        settings: dict[str, Any] = {
            "core": {"allowed_network_hosts": []},
            "verify": {"verify_trust": True, "remote_manifest_fetch": False, "ocsp_fetch": False},
        }
        if anchors_pem:
            settings["trust"] = {"user_anchors": anchors_pem}
        self._context = c2pa.Context.from_dict(settings)

    def read(self, data: bytes, media_type: str) -> Credential:
        """The credential of a file; state `not_present` if there is none. Never raises for what is in the file."""
        embedded = _STORE_LABEL in data
        if not embedded and _REFERENCE not in data:
            return NOT_PRESENT
        try:
            with c2pa.Reader(media_type, io.BytesIO(data), context=self._context) as reader:
                store = json.loads(reader.json())
                credential = _report(store)
        except (c2pa.C2paError, ValueError, KeyError, TypeError, AttributeError) as error:
            return _unread(error, embedded)
        if credential.state is CredentialState.TRUSTED and not (
            _all_referenced(store) and _as_written(data, media_type, credential)
        ):
            return replace(credential, state=CredentialState.INVALID, codes=(*credential.codes, UNSIGNED_CHANGED))
        return credential

    def close(self) -> None:
        """Releases the native context."""
        self._context.close()


def _unread(error: Exception, embedded: bool) -> Credential:
    """What an error of c2pa's reader means. `embedded`: there may be a manifest in the file."""
    if str(error).startswith("Remote"):
        return INACCESSIBLE
    if isinstance(error, c2pa.C2paError.ManifestNotFound) or not embedded:
        return NOT_PRESENT
    return Credential(CredentialState.INVALID, codes=(f"unreadable.{type(error).__name__.strip('_')}",))


def _report(store: dict[str, Any]) -> Credential:
    manifest = store.get("manifests", {}).get(str(store.get("active_manifest")), {})
    signature = manifest.get("signature_info") or {}
    generator = (manifest.get("claim_generator_info") or [{}])[0]
    assertions = [a for a in manifest.get("assertions", ()) if isinstance(a.get("data"), dict)]
    return Credential(
        state=_STATES.get(str(store.get("validation_state")), CredentialState.INVALID),
        issuer=signature.get("issuer"),
        certificate_serial=signature.get("cert_serial_number"),
        generator=" ".join(str(generator[key]) for key in ("name", "version") if generator.get(key)) or None,
        manifest_id=store.get("active_manifest"),
        codes=tuple(sorted(set(_codes(store)))),
        signed_at=signature.get("time"),
        signer_trusted=_signer_trusted(store),
        soft_binding=_soft_binding(assertions),
        digital_source_types=tuple(_source_types(assertions)),
        manifest_json=json.dumps(store, indent=1, sort_keys=True),
    )


def _all_referenced(store: dict[str, Any]) -> bool:
    """Every manifest is the active one or that of an ingredient, whose hash covers it: others could be put in."""
    unseen = dict(store["manifests"])
    following = [store["active_manifest"]]
    while following:
        manifest = unseen.pop(following.pop(), {})
        following += [part["active_manifest"] for part in manifest.get("ingredients", ()) if "active_manifest" in part]
    return not unseen


def _as_written(data: bytes, media_type: str, credential: Credential) -> bool:
    try:
        return unsigned_bytes_intact(manifest_store(data, media_type), timestamped=credential.timestamped)
    except UnreadableImage:
        return False


def _codes(store: dict[str, Any]) -> Iterator[str]:
    """Failures of the active manifest and of what is new in its ingredients' ones."""
    results = store.get("validation_results") or {}
    active = results.get("activeManifest") or {}
    yield from (entry["code"] for entry in active.get("failure", ()))
    for ingredient in results.get("ingredientDeltas") or ():
        yield from (entry["code"] for entry in ingredient.get("validationDeltas", {}).get("failure", ()))


def _signer_trusted(store: dict[str, Any]) -> bool:
    """The certificate leads to an anchor *and* has signed this claim: a certificate alone can be pasted in."""
    active = (store.get("validation_results") or {}).get("activeManifest") or {}
    return {"signingCredential.trusted", "claimSignature.validated"} <= {e["code"] for e in active.get("success", ())}


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
