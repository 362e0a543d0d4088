"""Private keys on disk: PKCS#8 PEM, readable by their owner only, encrypted where the operator has a passphrase."""

import os
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes

from provenance.errors import CertificateProblem

LEAST_PASSPHRASE_BYTES: Final = 16
"""The PEM encryption (PBES2, PBKDF2 with 2,048 rounds, AES-256) slows guessing too little for a short passphrase."""

_ENCRYPTED: Final = b"BEGIN ENCRYPTED PRIVATE KEY"


def read_passphrase(path: Path) -> bytes:
    """The passphrase in a file, without a line end after it. Raises `CertificateProblem` if it is missing or short."""
    try:
        passphrase = path.read_bytes().rstrip(b"\r\n")
    except OSError as cause:
        raise CertificateProblem(
            f"The key passphrase file {path} cannot be read ({cause.strerror}). Mend key_passphrase_file."
        ) from cause
    if len(passphrase) < LEAST_PASSPHRASE_BYTES:
        raise CertificateProblem(
            f"The passphrase in {path} has fewer than {LEAST_PASSPHRASE_BYTES} bytes. Make one: openssl rand -base64 32"
        )
    return passphrase


def load_key(path: Path, passphrase: bytes | None = None) -> PrivateKeyTypes:
    """The PEM key in a file, encrypted or not.

    Raises `CertificateProblem` if others can read the file, it holds no key, or the passphrase is missing or wrong.
    """
    try:
        if path.stat().st_mode & 0o077:
            raise CertificateProblem(f"{path.name} can be read by others. Run chmod 600 on it.")
        pem = path.read_bytes()
    except OSError as cause:
        raise CertificateProblem(f"{path.name} cannot be read ({cause.strerror}).") from cause
    return parse_key(pem, path.name, passphrase)


def parse_key(pem: bytes, name: str, passphrase: bytes | None) -> PrivateKeyTypes:
    """As `load_key`, of bytes; `name`: what messages call the file."""
    encrypted = is_encrypted(pem)
    if encrypted and passphrase is None:
        raise CertificateProblem(f"{name} is encrypted. Name the file with its passphrase in key_passphrase_file.")
    try:
        return serialization.load_pem_private_key(pem, passphrase if encrypted else None)
    except (ValueError, TypeError) as cause:
        said = "is not opened by the passphrase in key_passphrase_file" if encrypted else "cannot be read as a PEM key"
        raise CertificateProblem(f"{name} {said}.") from cause


def is_encrypted(pem: bytes) -> bool:
    """True for PKCS#8 under a passphrase."""
    return _ENCRYPTED in pem


def protected(content: bytes, name: str, passphrase: bytes) -> bytes | None:
    """The PEM key in `content` under a passphrase; None if it is encrypted already, or no PEM key at all."""
    if is_encrypted(content) or b"PRIVATE KEY-----" not in content:
        return None
    return key_pem(parse_key(content, name, None), passphrase)


def key_pem(key: PrivateKeyTypes, passphrase: bytes | None) -> bytes:
    """PKCS#8 PEM, encrypted if there is a passphrase."""
    sealed = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, sealed)


def write_secret(path: Path, content: bytes) -> None:
    """A new file of mode 0600, on disk when this returns: there is no moment at which others could read it.

    Raises `FileExistsError` rather than replace a key.
    """
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())


def write_private(path: Path, content: bytes) -> None:
    """A file of mode 0600 whatever the umask, in place of what is there: for what is no secret in a private folder."""
    with open(path, "wb", opener=private) as out:
        out.write(content)


def private(path: str, flags: int) -> int:
    """An `opener` for `open`: a file that it makes is its owner's alone."""
    return os.open(path, flags, 0o600)


def replace_secret(path: Path, content: bytes) -> None:
    """`write_secret` in place of what is there: whoever opens `path` finds the old file or the new one, whole."""
    beside = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    write_secret(beside, content)
    try:
        beside.replace(path)
    except OSError:
        beside.unlink()
        raise


def algorithm_of(key: PublicKeyTypes) -> str:
    """C2PA 2.4, 13.2.1: the signature algorithm that belongs to a key. Raises `CertificateProblem` if there is none."""
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _ECDSA:
        return _ECDSA[key.curve.name]
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= 2048:
        return "ps256"
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "ed25519"
    raise CertificateProblem("C2PA is signed with a P-256, P-384, P-521, RSA (2048 bits or more) or Ed25519 key.")


HASHES: Final[dict[str, hashes.HashAlgorithm]] = {
    "es256": hashes.SHA256(),
    "es384": hashes.SHA384(),
    "es512": hashes.SHA512(),
    "ps256": hashes.SHA256(),
}
"""The hash of each algorithm that signs one (C2PA 2.4, 13.2.1); Ed25519 signs the message itself."""

_ECDSA: Final = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
