"""Signs manifests into files (c2pa's Builder). Keys are parts: a local PEM file, or anything that signs elsewhere."""

import io
import json
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol

import c2pa
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from pydantic import BaseModel, ConfigDict

from provenance.certificates import check_chain, load_chain, load_key
from provenance.claims import Source
from provenance.errors import CertificateProblem, SigningFailed
from provenance.timestamps import authority_host

_ALGORITHMS: Final = {
    name: c2pa.C2paSigningAlg[name.upper()] for name in ("es256", "es384", "es512", "ps256", "ed25519")
}


class Signer(Protocol):
    """Holds, or reaches, a signing key. Used by several threads at once.

    `algorithm`: es256, es384, es512, ps256 or ed25519. `chain_pem`: leaf first, the root may be left out. `tsa_url`:
    RFC 3161 authority to be asked at each signature, or None.
    """

    name: str
    version: str

    @property
    def algorithm(self) -> str: ...

    @property
    def chain_pem(self) -> str: ...

    @property
    def tsa_url(self) -> str | None: ...

    def sign(self, message: bytes) -> bytes:
        """The signature of `message`; ECDSA as DER or as r‖s. What it raises is the cause of a `SigningFailed`."""
        ...


class LocalSigner:
    """Part `local`: a PEM key on disk, mode 0600. Raises `CertificateProblem` if key and chain do not fit."""

    name = "local"
    version = "1"

    class Options(BaseModel):
        """`chain_path`: PEM certificates, leaf first. `key_path`: PEM key. `tsa_url`: off if None."""

        model_config = ConfigDict(frozen=True, extra="forbid")

        chain_path: Path
        key_path: Path
        tsa_url: str | None = None

    def __init__(self, options: Options) -> None:
        chain = load_chain(options.chain_path)
        self._key = load_key(options.key_path)
        check_chain(chain, self._key, datetime.now(UTC))
        self._algorithm = _algorithm_of(self._key)
        self._chain_pem = "".join(c.public_bytes(serialization.Encoding.PEM).decode("ascii") for c in chain)
        self._tsa_url = options.tsa_url

    @property
    def algorithm(self) -> str:
        """By the type of the key."""
        return self._algorithm

    @property
    def chain_pem(self) -> str:
        """As on disk."""
        return self._chain_pem

    @property
    def tsa_url(self) -> str | None:
        """As in the options."""
        return self._tsa_url

    def sign(self, message: bytes) -> bytes:
        """See `Signer.sign`."""
        key = self._key
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return key.sign(message, ec.ECDSA(_ECDSA_HASH[key.curve.name]))
        if isinstance(key, rsa.RSAPrivateKey):
            return key.sign(
                message, padding.PSS(padding.MGF1(hashes.SHA256()), hashes.SHA256.digest_size), hashes.SHA256()
            )
        if isinstance(key, ed25519.Ed25519PrivateKey):
            return key.sign(message)
        raise CertificateProblem("C2PA cannot be signed with this kind of key.")


_ECDSA_HASH: Final[dict[str, hashes.HashAlgorithm]] = {
    "secp256r1": hashes.SHA256(),
    "secp384r1": hashes.SHA384(),
    "secp521r1": hashes.SHA512(),
}


def _algorithm_of(key: PrivateKeyTypes) -> str:
    """C2PA 2.4, 13.2.1: which signature algorithm belongs to a key."""
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _ECDSA_HASH:
        return {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}[key.curve.name]
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= 2048:
        return "ps256"
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    raise CertificateProblem("C2PA is signed with a P-256, P-384, P-521, RSA (2048 bits or more) or Ed25519 key.")


class ManifestSigner:
    """Signs manifest definitions into files with one `Signer`. One per process; safe to use from many threads.

    c2pa allows a context and a signer to be shared by threads, a builder not: there is one builder per signature.
    Thumbnails are off (they cost ten times the rest and up to 1.4 MB), nothing is fetched, and no action is added
    behind our back. `anchors_pem`: roots under which the credentials of ingredients count as trusted; the outcome is
    recorded beside each. Raises `SigningFailed` if c2pa does not take the chain.
    """

    def __init__(self, signer: Signer, anchors_pem: str = "") -> None:
        self._part = signer
        self._failure = threading.local()
        network = [] if signer.tsa_url is None else [authority_host(signer.tsa_url)]
        try:
            self._context = c2pa.Context.from_dict(_settings(network, anchors_pem))
            self._signer = c2pa.Signer.from_callback(
                self._callback, _ALGORITHMS[signer.algorithm], signer.chain_pem, signer.tsa_url
            )
        except c2pa.C2paError as cause:
            raise SigningFailed(f"C2PA does not accept the certificate chain: {cause}") from cause

    def sign(
        self,
        definition: Mapping[str, Any],
        media_type: str,
        data: bytes,
        ingredients: Sequence[tuple[Mapping[str, Any], Source]] = (),
    ) -> tuple[bytes, bytes]:
        """The signed file and its manifest store.

        `data`: a file of `media_type` without a manifest. `ingredients`: see `manifest.ingredients`.

        Raises `SigningFailed`; its cause is what the signer part raised, where that was the reason.
        """
        signed = io.BytesIO()
        self._failure.cause = None
        try:
            with c2pa.Builder(json.dumps(definition), context=self._context) as builder:
                for description, source in ingredients:
                    builder.add_ingredient(json.dumps(description), source.media_type, io.BytesIO(source.data))
                store = builder.sign(self._signer, media_type, io.BytesIO(data), signed)
        except c2pa.C2paError as error:
            cause = self._failure.cause or error
            raise SigningFailed(f"The manifest was not signed: {type(cause).__name__}.") from cause
        return signed.getvalue(), bytes(store)

    def close(self) -> None:
        """Releases the native objects."""
        self._signer.close()
        self._context.close()

    def _callback(self, message: bytes) -> bytes:
        """c2pa calls an exception here an "internal error", so it is kept for `sign`, which runs on this thread."""
        try:
            return self._part.sign(message)
        except Exception as cause:  # noqa: BLE001 - a stranger's part; `sign` raises it again
            self._failure.cause = cause
            raise RuntimeError("signer part failed") from None  # c2pa logs the text: say nothing of the cause


def _settings(network: list[str], anchors_pem: str) -> dict[str, Any]:
    return {
        **({"trust": {"user_anchors": anchors_pem}} if anchors_pem else {}),
        "core": {"allowed_network_hosts": network},
        "verify": {"verify_after_sign": False, "remote_manifest_fetch": False, "ocsp_fetch": False},
        "builder": {
            "thumbnail": {"enabled": False},
            "actions": {
                "auto_created_action": {"enabled": False},
                "auto_opened_action": {"enabled": False},
                "auto_placed_action": {"enabled": False},
            },
        },
    }
