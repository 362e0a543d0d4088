"""Certificates for signing: a development CA, leaves, requests to a real CA, and words for what is wrong with a chain.

The profile is C2PA 2.4's claim-signing leaf: X.509 v3, `digitalSignature` alone and critical, `c2pa-kp-claimSigning`
and `emailProtection` as extended key usages, subject and authority key identifiers, never self-signed. Times come
from the caller's clock, serial numbers from the system's generator; key files are readable by their owner only.
"""

import itertools
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from provenance.errors import CertificateProblem
from provenance.signing.key_files import key_pem, load_key, write_private, write_secret

CLAIM_SIGNING: Final = x509.ObjectIdentifier("1.3.6.1.4.1.62558.2.1")
"""c2pa-kp-claimSigning."""

DOCUMENT_SIGNING: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.36")

CA_DAYS: Final = 3650
LEAF_DAYS: Final = 90  # the stricter of the programme's two limits (assurance level 2)

WARN_BEFORE: Final = timedelta(days=30)
WARN_OWN_BEFORE: Final = timedelta(days=7)

_SKEW: Final = timedelta(minutes=5)  # a verifier's clock may be behind ours


def make_development_ca(
    certificate_path: Path, key_path: Path, *, organisation: str, now: datetime, passphrase: bytes | None = None
) -> None:
    """Writes a root certificate and its key (P-256), valid ten years.

    It is trusted by whoever is given it, and by nobody else.

    `now`: timezone-aware. Raises `FileExistsError` rather than replace a key.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _root(organisation, key, now)
    write_secret(key_path, key_pem(key, passphrase))
    write_private(certificate_path, _pem(certificate))


def make_leaf(
    chain_path: Path,
    key_path: Path,
    *,
    ca_certificate_path: Path,
    ca_key_path: Path,
    organisation: str,
    now: datetime,
    passphrase: bytes | None = None,
) -> None:
    """Writes a signing key (P-256) and its chain, leaf first, valid 90 days, issued by the given CA.

    `now`: timezone-aware. Raises `FileExistsError` rather than replace a key.
    """
    issuer = x509.load_pem_x509_certificate(ca_certificate_path.read_bytes())
    issuer_key = load_key(ca_key_path, passphrase)
    if not isinstance(issuer_key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise CertificateProblem(f"{ca_key_path.name} is not a key that can issue certificates.")
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _leaf(organisation, key, issuer, issuer_key, now, LEAF_DAYS)
    write_secret(key_path, key_pem(key, passphrase))
    write_private(chain_path, _pem(certificate) + _pem(issuer))


def throwaway_chain(now: datetime) -> tuple[ec.EllipticCurvePrivateKey, str, str]:
    """A signing key, its chain and its root as PEM, kept nowhere and known to nobody else: for trying things out."""
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = _root("Trial", root_key, now)
    return key, chain_pem((_leaf("Trial", key, root, root_key, now, CA_DAYS), root)), chain_pem((root,))


def make_csr(
    csr_path: Path, key_path: Path, *, organisation: str, country: str | None, passphrase: bytes | None = None
) -> None:
    """Writes a new signing key (P-256) and a request to take to a CA of the C2PA trust list, or to one's own.

    `country`: two letters (the programme asks for C, O and CN). Raises `FileExistsError` rather than replace a key.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(_name(organisation, f"{organisation} Signing", country))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(_usages(), critical=False)
        .sign(key, hashes.SHA256())
    )
    write_secret(key_path, key_pem(key, passphrase))
    csr_path.write_bytes(request.public_bytes(serialization.Encoding.PEM))


def end_of(chain: Sequence[x509.Certificate]) -> datetime:
    """When the first certificate of a chain ends, and with it what the chain signs without a time-stamp."""
    return min(certificate.not_valid_after_utc for certificate in chain)


def expiry_warning(end: datetime, now: datetime, *, renewed_here: bool) -> str | None:
    """What an operator must hear about the chain's end, None while it is far off.

    `renewed_here`: it is our own CA's, and renewed by itself; then only if that has not happened when it should have.
    """
    left = end - now
    if left > (WARN_OWN_BEFORE if renewed_here else WARN_BEFORE):
        return None
    until = f"{end:%Y-%m-%d %H:%M} UTC"
    ends = "ended on" if left < timedelta() else "ends on"
    remedy = "it was to be renewed by itself" if renewed_here else "ask for another: fluxgate certificate request"
    return f"the signing certificate {ends} {until}, and nothing is signed after that; {remedy}"


def load_chain(chain_path: Path) -> tuple[x509.Certificate, ...]:
    """The certificates of a PEM file, leaf first. Raises `CertificateProblem` if there are none."""
    try:
        return tuple(x509.load_pem_x509_certificates(chain_path.read_bytes()))
    except (OSError, ValueError) as cause:
        raise CertificateProblem(f"{chain_path.name} cannot be read as a chain of PEM certificates.") from cause


def chain_pem(chain: Sequence[x509.Certificate]) -> str:
    """The certificates as one PEM text, in their order."""
    return b"".join(_pem(certificate) for certificate in chain).decode("ascii")


def check_chain(chain: Sequence[x509.Certificate], key: PublicKeyTypes | None, now: datetime) -> None:
    """Raises `CertificateProblem` with the first reason, in words, why a C2PA reader would reject this chain.

    c2pa-rs says "the certificate is invalid" to most of these, at signing. `key`: the public half
    of the one that signs, None where it is not at hand.
    """
    leaf = chain[0]
    if leaf.issuer == leaf.subject:
        raise CertificateProblem("The signing certificate is self-signed. Have it issued by a CA, your own will do.")
    if now < leaf.not_valid_before_utc:
        raise CertificateProblem(f"The signing certificate is valid only from {leaf.not_valid_before_utc:%Y-%m-%d}.")
    if now > leaf.not_valid_after_utc:
        raise CertificateProblem(
            f"The signing certificate expired on {leaf.not_valid_after_utc:%Y-%m-%d}. Issue a new one."
        )
    _check_usages(leaf)
    for certificate, issuer in itertools.pairwise(chain):
        try:
            certificate.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature) as cause:
            raise CertificateProblem("The chain is broken: a certificate is not issued by the one after it.") from cause
    if key is not None and key != leaf.public_key():
        raise CertificateProblem("The key does not belong to the signing certificate.")


def _check_usages(leaf: x509.Certificate) -> None:
    extensions = leaf.extensions
    try:
        usage = extensions.get_extension_for_class(x509.KeyUsage)
        purposes = set(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
        extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    except x509.ExtensionNotFound as cause:
        raise CertificateProblem(
            f"The signing certificate lacks {cause.oid._name}; C2PA requires key usage, extended key usage and the "
            "authority key identifier."
        ) from cause
    if not usage.value.digital_signature or usage.value.key_cert_sign:
        raise CertificateProblem("The signing certificate's key usage must be digitalSignature and not keyCertSign.")
    if ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in purposes:
        raise CertificateProblem("The signing certificate allows any extended key usage, which C2PA forbids.")
    if not purposes & {ExtendedKeyUsageOID.EMAIL_PROTECTION, DOCUMENT_SIGNING}:
        raise CertificateProblem(
            "The signing certificate needs the extended key usage emailProtection or documentSigning (beside "
            "c2pa-kp-claimSigning); readers reject it otherwise."
        )


def _root(organisation: str, key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    name = _name(organisation, f"{organisation} Development CA")
    return (
        _builder(name, name, key.public_key(), now, CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )


def _leaf(
    organisation: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Certificate,
    issuer_key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey,
    now: datetime,
    days: int,
) -> x509.Certificate:
    authority = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return (
        _builder(_name(organisation, f"{organisation} Signing"), issuer.subject, key.public_key(), now, days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(_usages(), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(authority), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )


def _name(organisation: str, common_name: str, country: str | None = None) -> x509.Name:
    attributes = [
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
        x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64]),  # X.520 upper bound
    ]
    if country is not None:
        attributes.insert(0, x509.NameAttribute(NameOID.COUNTRY_NAME, country))
    return x509.Name(attributes)


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _usages() -> x509.ExtendedKeyUsage:
    return x509.ExtendedKeyUsage([CLAIM_SIGNING, ExtendedKeyUsageOID.EMAIL_PROTECTION])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
