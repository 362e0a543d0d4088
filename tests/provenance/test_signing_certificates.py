"""Chains of the right profile are accepted by c2pa; wrong ones are refused in words before anything is signed."""

import stat
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from provenance.credentials.manifest import definition
from provenance.credentials.reading import CredentialState, ManifestReader
from provenance.errors import CertificateProblem, SigningFailed
from provenance.files.encoding import encode
from provenance.signing.certificates import CLAIM_SIGNING, check_chain, load_chain, make_csr, make_development_ca
from provenance.signing.key_files import load_key
from provenance.signing.local import LocalSigner, ManifestSigner
from tests.provenance.issuing import GOOD, issue, written
from tests.provenance.operators import NOW, Gateway, make_claim
from tests.provenance.pictures import make_picture


def test_key_files_are_readable_by_their_owner_only(gateway: Gateway) -> None:
    for name in ("ca.key", "leaf.key"):
        assert stat.S_IMODE((gateway.folder / name).stat().st_mode) == 0o600


def test_a_key_is_never_overwritten(gateway: Gateway) -> None:
    with pytest.raises(FileExistsError):
        make_development_ca(gateway.folder / "new.pem", gateway.folder / "ca.key", organisation="Example", now=NOW)


def test_a_key_that_others_can_read_is_refused(gateway: Gateway, tmp_path: Path) -> None:
    loose = tmp_path / "loose.key"
    loose.write_bytes((gateway.folder / "leaf.key").read_bytes())
    loose.chmod(0o644)

    with pytest.raises(CertificateProblem, match="chmod 600"):
        load_key(loose)


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (ec.generate_private_key(ec.SECP256R1()), "es256"),
        (ec.generate_private_key(ec.SECP384R1()), "es384"),
        (ec.generate_private_key(ec.SECP521R1()), "es512"),
        (rsa.generate_private_key(65537, 2048), "ps256"),
        (ed25519.Ed25519PrivateKey.generate(), "ed25519"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_permitted_kind_of_key_signs_a_trusted_file(
    gateway: Gateway, tmp_path: Path, key: object, algorithm: str
) -> None:
    written(tmp_path, gateway, key)
    local = LocalSigner(LocalSigner.Options(chain_path=tmp_path / "chain.pem", key_path=tmp_path / "leaf.key"))
    signer = ManifestSigner(local)

    data, _ = signer.sign(definition(make_claim(), None), "image/png", encode(make_picture(32, 32), "image/png", 95))

    assert local.algorithm == algorithm
    assert ManifestReader(gateway.anchors_pem).read(data, "image/png").state is CredentialState.TRUSTED


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"usages": None}, "lacks extendedKeyUsage"),
        ({"usages": [CLAIM_SIGNING]}, "emailProtection or documentSigning"),
        ({"usages": [ExtendedKeyUsageOID.SERVER_AUTH]}, "emailProtection or documentSigning"),
        ({"usages": [*GOOD, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]}, "any extended key usage"),
        ({"lasts": timedelta(hours=-1)}, "expired on"),
        ({"certsign": True}, "digitalSignature"),
    ],
)
def test_a_wrong_profile_is_explained(gateway: Gateway, wrong: dict[str, object], words: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())

    with pytest.raises(CertificateProblem, match=words):
        check_chain(issue(gateway, key.public_key(), **wrong), key.public_key(), NOW)  # type: ignore[arg-type]


def test_other_mistakes_with_chains_are_explained(gateway: Gateway, stranger: Gateway) -> None:
    chain, key = load_chain(gateway.folder / "chain.pem"), load_key(gateway.folder / "leaf.key").public_key()
    others = load_chain(stranger.folder / "chain.pem")

    check_chain(chain, key, NOW)
    with pytest.raises(CertificateProblem, match="self-signed"):
        check_chain(chain[1:], None, NOW)
    with pytest.raises(CertificateProblem, match="not issued by the one after it"):
        check_chain((chain[0], others[1]), key, NOW)
    with pytest.raises(CertificateProblem, match="does not belong"):
        check_chain(others, key, NOW)
    with pytest.raises(CertificateProblem, match="valid only from"):
        check_chain(chain, key, NOW - timedelta(days=1))
    with pytest.raises(CertificateProblem, match="cannot be read"):
        load_chain(gateway.folder / "leaf.key")
    with pytest.raises(CertificateProblem, match="cannot be read"):
        load_key(gateway.folder / "missing.key")


def test_a_signing_request_asks_for_the_right_profile(tmp_path: Path) -> None:
    make_csr(tmp_path / "leaf.csr", tmp_path / "leaf.key", organisation="Example", country="DE")

    request = x509.load_pem_x509_csr((tmp_path / "leaf.csr").read_bytes())
    assert request.is_signature_valid
    assert request.subject.rfc4514_string() == "CN=Example Signing,O=Example,C=DE"
    assert list(request.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == GOOD


class ForgetfulSigner:
    """A remote key that has gone away."""

    name, version, algorithm = "forgetful", "1", "es256"

    def __init__(self, chain_pem: str) -> None:
        self.chain_pem = chain_pem

    def sign(self, message: bytes) -> bytes:
        raise ConnectionError("key store is down")


def test_a_failing_signer_is_the_cause_that_is_raised(gateway: Gateway) -> None:
    signer = ManifestSigner(ForgetfulSigner((gateway.folder / "chain.pem").read_text()))

    with pytest.raises(SigningFailed, match="ConnectionError") as caught:
        signer.sign(definition(make_claim(), None), "image/png", encode(make_picture(32, 32), "image/png", 95))

    assert isinstance(caught.value.__cause__, ConnectionError)
