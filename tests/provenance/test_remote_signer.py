"""The signing service: whom it is told to, over what, and that no misbehaviour of it brings a picture out."""

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import ValidationError

from provenance.errors import CertificateProblem, ProvenanceError, SigningFailed
from provenance.signing.certificates import chain_pem
from provenance.signing.key_files import key_pem, write_secret
from provenance.signing.remote import RemoteSigner
from tests.provenance.key_services import TOKEN, SigningService, serving
from tests.provenance.operators import Gateway
from tests.provenance.test_signers import remote_options, remote_signer


@pytest.fixture
def service() -> SigningService:
    return SigningService(ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture
def url(service: SigningService) -> Iterator[str]:
    with serving(service) as address:
        yield address


@pytest.mark.parametrize("mood", ["refuses", "hangs", "drips", "babbles", "redirects", "forges"])
def test_a_service_that_misbehaves_signs_nothing_and_holds_nobody_up(
    gateway: Gateway, tmp_path: Path, service: SigningService, url: str, mood: str
) -> None:
    signer = remote_signer(remote_options(tmp_path, gateway, service, url, timeout_seconds=0.5))
    service.mood = mood
    started = datetime.now(UTC)

    with pytest.raises(ProvenanceError) as caught:
        signer.sign(b"the claim")

    assert len(service.asked) == 1, "no redirect is followed and nothing is sent twice"
    assert datetime.now(UTC) - started < timedelta(seconds=20)
    for secret in (TOKEN, "127.0.0.1", "localhost", "k1"):
        assert secret not in str(caught.value)


def test_a_token_is_read_anew_and_a_wrong_one_signs_nothing(
    gateway: Gateway, tmp_path: Path, service: SigningService, url: str
) -> None:
    signer = remote_signer(remote_options(tmp_path, gateway, service, url))
    (tmp_path / "token").write_text("an older token")
    with pytest.raises(ProvenanceError, match="HTTP status 401"):
        signer.sign(b"the claim")

    (tmp_path / "token").write_text(TOKEN)
    assert signer.sign(b"the claim")


@pytest.mark.parametrize("content", ["", "two\nlines", "caf\u00e9"])
def test_a_token_that_is_none_is_said_at_the_start(
    gateway: Gateway, tmp_path: Path, service: SigningService, url: str, content: str
) -> None:
    options = remote_options(tmp_path, gateway, service, url)
    (tmp_path / "token").write_text(content)
    with pytest.raises(CertificateProblem, match="token_path"):
        RemoteSigner(options)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"url": "http://sign.example/k"}, "use https"),
        ({"url": "http://127.0.0.1.sign.example/k"}, "use https"),
        ({"url": "ftp://localhost/k"}, "http or https"),
        ({"client_key_path": "k.pem"}, "together"),
        ({"key_id": ""}, "key_id"),
    ],
)
def test_options_that_are_unsafe_or_half_are_refused(
    gateway: Gateway, tmp_path: Path, service: SigningService, changes: dict[str, str], words: str
) -> None:
    with pytest.raises(ValidationError, match=words):
        remote_options(tmp_path, gateway, service, **{"url": "https://sign.example"} | changes)


def test_a_proxy_is_not_shown_what_is_for_this_machine(
    gateway: Gateway, tmp_path: Path, service: SigningService, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert remote_signer(remote_options(tmp_path, gateway, service, url)).sign(b"the claim")


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A self-signed certificate for localhost, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name.from_rfc4514_string(f"CN={name}")
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.BasicConstraints(True, None), True)
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    (folder / f"{name}.pem").write_text(chain_pem([made]))
    write_secret(folder / f"{name}.tls", key_pem(key, None))
    return folder / f"{name}.pem", folder / f"{name}.tls"


def test_mutual_tls_is_asked_of_both_sides(gateway: Gateway, tmp_path: Path, service: SigningService) -> None:
    server, client, other = (certificate(tmp_path, name) for name in ("server", "client", "other"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*server)
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.load_verify_locations(client[0])
    with serving(service, tls) as url:

        def signer(ca: Path | None, mine: tuple[Path, Path] | None) -> RemoteSigner:
            chain, key = mine or (None, None)
            more = {"ca_path": ca, "client_chain_path": chain, "client_key_path": key, "timeout_seconds": 2}
            return remote_signer(remote_options(tmp_path, gateway, service, url, **more))

        assert signer(server[0], client).sign(b"the claim")
        asked = len(service.asked)
        for ca, mine in ((server[0], None), (server[0], other), (None, client), (other[0], client)):
            with pytest.raises(ProvenanceError):
                signer(ca, mine).sign(b"the claim")
        assert len(service.asked) == asked, "nothing was said to, or by, a stranger"
        with pytest.raises(CertificateProblem, match="client_key_path"):
            signer(server[0], (client[0], tmp_path / "missing"))


def test_a_service_with_another_key_is_found_out(gateway: Gateway, tmp_path: Path, url: str) -> None:
    stranger = SigningService(ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(SigningFailed, match="not of the key"):
        remote_signer(remote_options(tmp_path, gateway, stranger, url)).sign(b"the claim")
