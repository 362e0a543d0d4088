"""Time-stamps: real tokens from a real authority, what they prove, and what happens when there is no answer."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.posting import post
from provenance.credentials.manifest import definition
from provenance.credentials.reading import CredentialState, ManifestReader
from provenance.errors import ReadBackFailed, SigningFailed, TimestampFailed
from provenance.files.encoding import encode
from provenance.sealing import seal
from provenance.signing.local import LocalSigner, ManifestSigner
from provenance.signing.timestamps import TimestampAuthority
from provenance.verification import VerifierSetup, verify
from tests.provenance.authority import Authority, serving
from tests.provenance.issuing import written
from tests.provenance.operators import Gateway, make_claim
from tests.provenance.pictures import make_picture

PICTURE = encode(make_picture(32, 32), "image/png", 95)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def url(authority: Authority) -> Iterator[str]:
    authority.mood = "stamps"
    with serving(authority) as address:
        yield address


def asking(url: str, **options: object) -> TimestampAuthority:
    return TimestampAuthority(url, post, clock=lambda: datetime.now(UTC), **options)  # type: ignore[arg-type]


def own_signer(folder: Path, authority: TimestampAuthority | None) -> ManifestSigner:
    return ManifestSigner(
        LocalSigner(LocalSigner.Options(chain_path=folder / "chain.pem", key_path=folder / "leaf.key")), authority
    )


def signed_by(signer: ManifestSigner) -> bytes:
    return signer.sign(definition(make_claim(), None), "image/png", PICTURE)[0]


def test_a_sealed_picture_carries_one_token_in_sig_tst_2_and_says_when_it_was_signed(
    gateway: Gateway, authority: Authority, url: str
) -> None:
    asked = asking(url)
    reader = ManifestReader(gateway.anchors_pem, authority.anchor_pem)
    parts = replace(gateway.sealing, signer=own_signer(gateway.folder, asked), reader=reader)

    sealed = seal(parts, make_picture(), make_claim())
    credential = reader.read(sealed.data, "image/png")

    assert sealed.timestamped
    assert sealed.data.count(b"sigTst2") == 1
    assert sealed.data.count(b"sigTst") == 1, "no deprecated sigTst beside it"
    assert credential.time_trusted
    assert abs(datetime.now(UTC) - datetime.fromisoformat(credential.signed_at or "")) < timedelta(seconds=30)
    report = verify(VerifierSetup(reader, (), gateway.sealing.fingerprint), sealed.data)
    assert "outlives its certificate" in dict(report.statements)["metadata"]
    assert (asked.health.made, asked.health.failed) == (1, 0)


def test_a_signature_outlives_its_certificate_because_of_its_time_stamp_and_not_without(
    gateway: Gateway, authority: Authority, url: str, tmp_path: Path
) -> None:
    written(tmp_path, gateway, ec.generate_private_key(ec.SECP256R1()), lasts=timedelta(seconds=2))
    stamped, bare = signed_by(own_signer(tmp_path, asking(url))), signed_by(own_signer(tmp_path, None))
    time.sleep(3)
    knowing, ignorant = ManifestReader(gateway.anchors_pem, authority.anchor_pem), ManifestReader(gateway.anchors_pem)

    assert knowing.read(stamped, "image/png").state is CredentialState.TRUSTED
    for reader, data in ((knowing, bare), (ignorant, bare), (ignorant, stamped)):
        credential = reader.read(data, "image/png")
        assert credential.state is CredentialState.INVALID
        assert "signingCredential.expired" in credential.codes


def test_a_time_stamp_of_an_unknown_authority_counts_for_nothing_and_is_said_to(gateway: Gateway, url: str) -> None:
    data = signed_by(own_signer(gateway.folder, asking(url)))

    report = verify(gateway.without_records(), data)

    assert report.credential.timestamped
    assert not report.credential.time_trusted
    assert "does not know" in dict(report.statements)["metadata"]


def test_a_picture_is_not_sealed_with_a_time_stamp_of_the_wrong_authority(gateway: Gateway, url: str) -> None:
    reader = ManifestReader(gateway.anchors_pem, Authority().anchor_pem)
    parts = replace(gateway.sealing, signer=own_signer(gateway.folder, asking(url)), reader=reader)

    with pytest.raises(ReadBackFailed, match="time-stamp"):
        seal(parts, make_picture(), make_claim())


def test_who_may_stamp_may_not_sign(gateway: Gateway, authority: Authority, tmp_path: Path) -> None:
    """c2pa itself would call a signature under a time-stamp anchor trusted, and so ours."""
    (tmp_path / "ca.pem").write_text(authority.anchor_pem)
    (tmp_path / "ca.key").write_bytes(
        authority.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    impostor = Gateway(tmp_path, gateway.sealing, authority.anchor_pem)
    written(tmp_path, impostor, ec.generate_private_key(ec.SECP256R1()), lasts=timedelta(days=1))
    data = signed_by(own_signer(tmp_path, None))

    credential = ManifestReader(gateway.anchors_pem, authority.anchor_pem).read(data, "image/png")

    assert credential.state is CredentialState.VALID
    assert not credential.signer_trusted
    assert credential.codes == ("signingCredential.untrusted",)


@pytest.mark.parametrize("mood", ["refuses", "hangs", "drips", "babbles", "copies"])
def test_nothing_is_signed_without_a_time_stamp_that_is_required(
    gateway: Gateway, authority: Authority, url: str, mood: str
) -> None:
    authority.mood = mood
    asked = asking(url, timeout_seconds=0.5)
    signer, ended = own_signer(gateway.folder, asked), threading.Event()

    def sign() -> None:
        with pytest.raises(TimestampFailed):
            signed_by(signer)
        ended.set()

    threading.Thread(target=sign, daemon=True).start()
    assert ended.wait(20), "c2pa by itself would wait 30 seconds"
    assert (asked.health.made, asked.health.failed) == (0, 1)
    assert asked.health.last_failed is not None


def test_an_authority_that_is_not_required_may_be_away_and_is_left_alone_for_a_while(
    gateway: Gateway, authority: Authority, url: str
) -> None:
    authority.mood, now = "refuses", [datetime.now(UTC)]
    asked = TimestampAuthority(url, post, required=False, clock=lambda: now[0])
    signer, reader = own_signer(gateway.folder, asked), ManifestReader(gateway.anchors_pem, authority.anchor_pem)
    before = authority.asked

    first, second = signed_by(signer), signed_by(signer)
    assert authority.asked == before + 1
    for data in (first, second):
        credential = reader.read(data, "image/png")
        assert credential.state is CredentialState.TRUSTED
        assert not credential.timestamped

    authority.mood = "stamps"
    now[0] += timedelta(seconds=31)
    assert reader.read(signed_by(signer), "image/png").time_trusted


def test_a_time_stamp_authority_must_be_a_web_address() -> None:
    for address in ("file:///etc/passwd", "ftp://example.org", "example.org", "http://"):
        with pytest.raises(SigningFailed, match="http or https"):
            asking(address)


def test_an_authority_that_is_not_there_stops_signing(gateway: Gateway) -> None:
    with pytest.raises(TimestampFailed):
        signed_by(own_signer(gateway.folder, asking("http://127.0.0.1:9/stamp")))
