"""Leaves of any profile, issued by an operator's CA."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from provenance.signing.certificates import CLAIM_SIGNING, chain_pem
from provenance.signing.key_files import key_pem, write_secret
from tests.provenance.operators import Gateway

GOOD = [CLAIM_SIGNING, ExtendedKeyUsageOID.EMAIL_PROTECTION]


def issue(
    gateway: Gateway,
    public: object,
    *,
    usages: list[x509.ObjectIdentifier] | None = GOOD,
    lasts: timedelta = timedelta(days=1),
    certsign: bool = False,
) -> list[x509.Certificate]:
    """A chain, leaf first. `public`: the key to certify. `lasts`: from now on."""
    now = datetime.now(UTC)
    issuer = x509.load_pem_x509_certificate((gateway.folder / "ca.pem").read_bytes())
    issuer_key = serialization.load_pem_private_key((gateway.folder / "ca.key").read_bytes(), None)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name.from_rfc4514_string("CN=Leaf,O=Example Operator"))
        .issuer_name(issuer.subject)
        .public_key(public)  # type: ignore[arg-type]
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now + lasts)
        .add_extension(x509.BasicConstraints(False, None), True)
        .add_extension(x509.KeyUsage(not certsign, False, False, False, False, certsign, False, False, False), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False)  # type: ignore[arg-type]
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), False)  # type: ignore[arg-type]
    )
    if usages is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), False)
    return [builder.sign(issuer_key, hashes.SHA256()), issuer]  # type: ignore[arg-type]


def written(folder: Path, gateway: Gateway, key: object, *, lasts: timedelta = timedelta(days=1)) -> None:
    """`key` and its chain as `leaf.key` and `chain.pem` of a folder."""
    (folder / "chain.pem").write_text(chain_pem(issue(gateway, key.public_key(), lasts=lasts)))  # type: ignore[attr-defined]
    write_secret(folder / "leaf.key", key_pem(key, None))  # type: ignore[arg-type]
