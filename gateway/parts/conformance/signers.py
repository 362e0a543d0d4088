"""Checks of a signer: what it signs, its own certificate confirms."""

from collections.abc import Iterator
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

from gateway.parts.conformance.samples import Samples, at_once
from provenance.signing.key_files import HASHES, algorithm_of

_ALGORITHMS = frozenset({"es256", "es384", "es512", "ps256", "ed25519"})
_MESSAGE = b"to be signed"


def signer_faults(part: Any, samples: Samples) -> Iterator[str]:
    """Faults of a signer."""
    if part.algorithm not in _ALGORITHMS:
        yield f"`algorithm` must be one of {', '.join(sorted(_ALGORITHMS))}"
        return
    try:
        chain = x509.load_pem_x509_certificates(part.chain_pem.encode())
    except ValueError:
        yield "`chain_pem` must be PEM certificates, leaf first"
        return
    public = chain[0].public_key()
    if algorithm_of(public) != part.algorithm:
        yield f"`algorithm` is {part.algorithm}, and the first certificate's key signs {algorithm_of(public)}"
        return
    if isinstance(public, rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey):
        for signature in (part.sign(_MESSAGE), *at_once(lambda: part.sign(_MESSAGE))):
            if isinstance(signature, BaseException):
                yield f"`sign` raised {type(signature).__name__} when several threads asked: guard it with a lock"
            elif not isinstance(signature, bytes) or not _holds(public, part.algorithm, signature):
                yield "`sign` returned what the first certificate's key does not confirm: let failures raise"
    try:
        part.sign(None)
    except Exception:  # noqa: BLE001  as it must
        return
    yield "`sign` returned something for what is no message: let failures raise, an image is never left half signed"


def _holds(
    key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey, algorithm: str, signature: bytes
) -> bool:
    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, _MESSAGE)
        elif isinstance(key, rsa.RSAPublicKey):
            salt = hashes.SHA256.digest_size
            key.verify(signature, _MESSAGE, padding.PSS(padding.MGF1(hashes.SHA256()), salt), hashes.SHA256())
        else:
            key.verify(_der(signature, (key.curve.key_size + 7) // 8), _MESSAGE, ec.ECDSA(HASHES[algorithm]))
    except InvalidSignature:
        return False
    return True


def _der(signature: bytes, size: int) -> bytes:
    """An ECDSA signature as DER, which it may be already; r‖s has exactly twice the size of the curve."""
    if len(signature) != 2 * size:
        return signature
    return utils.encode_dss_signature(int.from_bytes(signature[:size]), int.from_bytes(signature[size:]))
