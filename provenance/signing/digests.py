"""What the signers have in common whose key is elsewhere: that key sees a hash, and its signature is checked here."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from provenance.errors import CertificateProblem, SigningFailed
from provenance.signing.certificates import chain_pem, check_chain, load_chain
from provenance.signing.key_files import HASHES, algorithm_of


@dataclass(frozen=True, slots=True)
class RemoteKey:
    """A chain, and what its key signs with: one of `HASHES`."""

    chain_pem: str
    algorithm: str
    public: PublicKeyTypes

    @property
    def hash_name(self) -> str:
        """As `hashlib` calls it."""
        return HASHES[self.algorithm].name

    def digest(self, message: bytes) -> bytes:
        """All that the key is shown of `message`."""
        return hashlib.new(self.hash_name, message).digest()

    def checked(self, digest: bytes, signature: bytes) -> bytes:
        """`signature` (ECDSA as DER or as r‖s) as DER or PSS. Raises `SigningFailed` if it is none of this key."""
        prehashed = utils.Prehashed(HASHES[self.algorithm])
        try:
            if isinstance(self.public, ec.EllipticCurvePublicKey):
                signature = _der(signature, (self.public.curve.key_size + 7) // 8)
                self.public.verify(signature, digest, ec.ECDSA(prehashed))
            elif isinstance(self.public, rsa.RSAPublicKey):
                salt = hashes.SHA256.digest_size
                self.public.verify(signature, digest, padding.PSS(padding.MGF1(hashes.SHA256()), salt), prehashed)
        except InvalidSignature as cause:
            raise SigningFailed("The signature is not of the key that the certificate names.") from cause
        return signature


def remote_key(chain_path: Path) -> RemoteKey:
    """The key that a chain certifies. Raises `CertificateProblem` if the chain cannot sign, or not a hash."""
    chain = load_chain(chain_path)
    check_chain(chain, None, datetime.now(UTC))
    algorithm = algorithm_of(chain[0].public_key())
    if algorithm not in HASHES:
        raise CertificateProblem("Ed25519 signs whole messages, and this key is to see hashes only. Use P-256 or RSA.")
    return RemoteKey(chain_pem(chain), algorithm, chain[0].public_key())


def _der(signature: bytes, size: int) -> bytes:
    """r‖s (RFC 8152, 8.1) as DER; anything of another length is DER already, or fails to verify."""
    if len(signature) != 2 * size:
        return signature
    return utils.encode_dss_signature(int.from_bytes(signature[:size]), int.from_bytes(signature[size:]))
