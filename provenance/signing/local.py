"""Signs manifests into files (c2pa's Builder). Keys are parts: a local PEM file, or anything that signs elsewhere."""

import io
import json
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol

import c2pa
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from pydantic import BaseModel, ConfigDict

from provenance.claims import Detached, Source
from provenance.errors import CertificateProblem, SigningFailed, TimestampFailed
from provenance.signing.certificates import chain_pem, check_chain, load_chain
from provenance.signing.key_files import HASHES, algorithm_of, load_key, read_passphrase
from provenance.signing.timestamps import TimestampAuthority

_ALGORITHMS: Final = {
    name: c2pa.C2paSigningAlg[name.upper()] for name in ("es256", "es384", "es512", "ps256", "ed25519")
}


_TOKEN: Final = b"sigTst2"  # the header of a time-stamp of version 2 (C2PA 2.4, 10.3.2.5)


class Signer(Protocol):
    """Holds, or reaches, a signing key. Used by several threads at once.

    `algorithm`: es256, es384, es512, ps256 or ed25519. `chain_pem`: leaf first, the root may be left out.
    """

    name: str
    version: str

    @property
    def algorithm(self) -> str: ...

    @property
    def chain_pem(self) -> str: ...

    def sign(self, message: bytes) -> bytes:
        """The signature of `message`; ECDSA as DER or as r‖s. What it raises is the cause of a `SigningFailed`."""
        ...


class LocalSigner:
    """Part `local`: a PEM key on disk, mode 0600. Raises `CertificateProblem` if key and chain do not fit."""

    name = "local"
    version = "2"

    class Options(BaseModel):
        """`chain_path`: PEM certificates, leaf first. `key_path`: PEM key; `passphrase_path`: of an encrypted one."""

        model_config = ConfigDict(frozen=True, extra="forbid")

        chain_path: Path
        key_path: Path
        passphrase_path: Path | None = None

    def __init__(self, options: Options) -> None:
        chain = load_chain(options.chain_path)
        self._key = load_key(
            options.key_path, None if options.passphrase_path is None else read_passphrase(options.passphrase_path)
        )
        check_chain(chain, self._key.public_key(), datetime.now(UTC))
        self.algorithm = algorithm_of(self._key.public_key())
        self.chain_pem = chain_pem(chain)

    def sign(self, message: bytes) -> bytes:
        """See `Signer.sign`."""
        key = self._key
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return key.sign(message, ec.ECDSA(HASHES[self.algorithm]))
        if isinstance(key, rsa.RSAPrivateKey):
            return key.sign(
                message, padding.PSS(padding.MGF1(hashes.SHA256()), hashes.SHA256.digest_size), hashes.SHA256()
            )
        if isinstance(key, ed25519.Ed25519PrivateKey):
            return key.sign(message)
        raise CertificateProblem("C2PA cannot be signed with this kind of key.")


Ingredients = Sequence[tuple[Mapping[str, Any], Source]]
"""What went into a picture: see `manifest.ingredients`."""


class SignsManifests(Protocol):
    """What sealing asks of a signer of manifests; see `ManifestSigner`."""

    def sign(
        self,
        definition: Mapping[str, Any],
        media_type: str,
        data: bytes,
        ingredients: Ingredients = (),
        detached: Detached | None = None,
    ) -> tuple[bytes, bytes]:
        """See `ManifestSigner.sign`."""
        ...

    def close(self) -> None:
        """Releases what it holds."""
        ...


class ManifestSigner:
    """Signs manifest definitions into files with one `Signer`. One per process; safe to use from many threads.

    c2pa allows a context and a signer to be shared by threads, a builder not: there is one builder per signature.
    Thumbnails are off (they cost ten times the rest and up to 1.4 MB), nothing is fetched, and no action is added
    behind our back. `authority`: stamps each signature, if there is one. `anchors_pem`: roots under which the
    credentials of ingredients count as trusted; the outcome is recorded beside each. Raises `SigningFailed` if c2pa
    does not take the chain.
    """

    def __init__(self, signer: Signer, authority: TimestampAuthority | None = None, anchors_pem: str = "") -> None:
        self._part = signer
        self._authority = authority
        self._thread = threading.local()
        try:
            self._context = c2pa.Context.from_dict(_settings(anchors_pem))
            self._plain = self._made(None)
            self._stamping = None if authority is None else self._made(authority.relay_url)
        except c2pa.C2paError as cause:
            raise SigningFailed(f"C2PA does not accept the certificate chain: {cause}") from cause

    def try_key(self) -> None:
        """Signs a few bytes that mean nothing. Raises what the key raises."""
        self._part.sign(b"fluxgate: is the signing key there?")

    def sign(
        self,
        definition: Mapping[str, Any],
        media_type: str,
        data: bytes,
        ingredients: Ingredients = (),
        detached: Detached | None = None,
    ) -> tuple[bytes, bytes]:
        """The signed file and its manifest store, which is in it unless it is `detached`.

        `data`: a file of `media_type` without a manifest. `ingredients`: see `manifest.ingredients`.

        Raises `SigningFailed`; its cause is what the signer part raised, where that was the reason. Without a
        time-stamp that is required, `TimestampFailed`; without one that is not, the file is signed all the same.
        """
        authority, stamping = self._authority, self._stamping
        if authority is not None and stamping is not None and authority.is_asked:
            try:
                signed = self._sign(stamping, definition, media_type, data, ingredients, detached)
            except TimestampFailed:
                authority.count(made=False)
                if authority.required:
                    raise
            else:
                authority.count(made=True)
                return signed
        return self._sign(self._plain, definition, media_type, data, ingredients, detached)

    def _sign(
        self,
        signer: c2pa.Signer,
        definition: Mapping[str, Any],
        media_type: str,
        data: bytes,
        ingredients: Ingredients,
        detached: Detached | None,
    ) -> tuple[bytes, bytes]:
        signed = io.BytesIO()
        self._thread.cause, self._thread.signed = None, False
        try:
            with c2pa.Builder(json.dumps(definition), context=self._context) as builder:
                if detached is not None:
                    builder.set_no_embed()
                    if detached.url is not None:
                        builder.set_remote_url(detached.url)
                for description, source in ingredients:
                    builder.add_ingredient(json.dumps(description), source.media_type, io.BytesIO(source.data))
                store = builder.sign(signer, media_type, io.BytesIO(data), signed)
        except c2pa.C2paError as error:
            cause = self._thread.cause or error
            # After the part has signed, all that is left is the time-stamp.
            if self._thread.signed and signer is self._stamping:
                raise TimestampFailed("The time-stamp authority gave no usable token.") from cause
            raise SigningFailed(f"The manifest was not signed: {type(cause).__name__}.") from cause
        if signer is self._stamping and _TOKEN not in bytes(store):
            raise TimestampFailed("The signature was made without its time-stamp.")
        return signed.getvalue(), bytes(store)

    def _made(self, tsa_url: str | None) -> c2pa.Signer:
        return c2pa.Signer.from_callback(
            self._callback, _ALGORITHMS[self._part.algorithm], self._part.chain_pem, tsa_url
        )

    def close(self) -> None:
        """Releases the native objects."""
        for signer in (self._plain, self._stamping):
            if signer is not None:
                signer.close()
        self._context.close()

    def _callback(self, message: bytes) -> bytes:
        """c2pa calls an exception here an "internal error", so it is kept for `sign`, which runs on this thread."""
        try:
            signature = self._part.sign(message)
        except BaseException as cause:  # noqa: BLE001  a part may also exit; `sign` raises it again
            self._thread.cause = cause
            raise RuntimeError("signer part failed") from None  # c2pa logs the text: say nothing of the cause
        self._thread.signed = True
        return signature


def _settings(anchors_pem: str) -> dict[str, Any]:
    return {
        **({"trust": {"user_anchors": anchors_pem}} if anchors_pem else {}),
        # The relay of a time-stamp authority is asked all the same: c2pa heeds this list for all else it might fetch.
        "core": {"allowed_network_hosts": []},
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
