"""A revoked certificate: its signatures count only where something its thief cannot make is older."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway.posting import post
from provenance.claims import SealedImage
from provenance.credentials.reading import ManifestReader
from provenance.credentials.revocations import Reason, Revocation, read_revocation, revocation_entry
from provenance.log.entries import Entry, EntryInvalid, EntryKind
from provenance.sealing import seal
from provenance.signing.local import LocalSigner, ManifestSigner
from provenance.signing.timestamps import TimestampAuthority
from provenance.standings import Standing
from provenance.verification import VerifierSetup, verify
from tests.provenance.authority import Authority, serving
from tests.provenance.operators import NOW, Gateway, make_claim, record_of
from tests.provenance.pictures import make_photo_like, make_picture

LATER, EARLIER = datetime.now(UTC) + timedelta(hours=1), datetime.now(UTC) - timedelta(hours=1)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def bare(gateway: Gateway) -> SealedImage:
    """Signed without a time-stamp, by the operator or by whoever has his key: nobody can tell."""
    return seal(gateway.sealing, make_picture(), make_claim())


@pytest.fixture(scope="module")
def stamped(gateway: Gateway, authority: Authority) -> Iterator[SealedImage]:
    with serving(authority) as url:
        signer = LocalSigner(
            LocalSigner.Options(chain_path=gateway.folder / "chain.pem", key_path=gateway.folder / "leaf.key")
        )
        asked = TimestampAuthority(url, post, clock=lambda: datetime.now(UTC))
        yield seal(replace(gateway.sealing, signer=ManifestSigner(signer, asked)), make_picture(), make_claim())


def revoked(parts: VerifierSetup, *, since: datetime = EARLIER, at: datetime | None = None) -> VerifierSetup:
    def revocation_of(serial: str) -> Revocation:
        return Revocation(serial, Reason.KEY_COMPROMISE, since, at or since)

    return replace(parts, revocation_of=revocation_of)


def test_an_unrecorded_file_of_a_revoked_certificate_is_not_called_ours(gateway: Gateway, bare: SealedImage) -> None:
    parts = gateway.without_records()
    assert verify(parts, bare.data).standing is Standing.OURS_INTACT

    for asked in (revoked(parts), revoked(gateway.verifying())):
        report = verify(asked, bare.data)
        assert (report.standing, report.exit_code) == (Standing.REVOKED, 1)
        assert "not to be relied on" in dict(report.statements)["metadata"]
        assert "not shown to be from here" in dict(report.statements)["verdict"]


@pytest.mark.parametrize(("since", "verdict"), [(LATER, Standing.OURS_INTACT), (EARLIER, Standing.REVOKED)])
def test_a_trusted_time_stamp_counts_if_it_is_older(
    gateway: Gateway, authority: Authority, stamped: SealedImage, since: datetime, verdict: Standing
) -> None:
    knowing = replace(gateway.without_records(), reader=ManifestReader(gateway.anchors_pem, authority.anchor_pem))

    assert verify(revoked(knowing, since=since), stamped.data).standing is verdict


def test_a_time_stamp_of_an_unknown_authority_saves_nothing(gateway: Gateway, stamped: SealedImage) -> None:
    """Whoever has the key can also have an authority of his own."""
    assert verify(revoked(gateway.without_records(), since=LATER), stamped.data).standing is Standing.REVOKED


@pytest.mark.parametrize(("at", "verdict"), [(LATER, Standing.OURS_INTACT), (EARLIER, Standing.REVOKED)])
def test_a_record_of_exactly_this_file_counts_if_it_is_older(
    gateway: Gateway, bare: SealedImage, at: datetime, verdict: Standing
) -> None:
    recorded = replace(record_of(bare), recorded_at=NOW)

    report = verify(revoked(gateway.verifying(recorded), at=at), bare.data)

    assert report.standing is verdict
    assert report.revocation is not None


def test_a_copied_mark_under_a_stolen_key_is_still_a_copied_mark(gateway: Gateway) -> None:
    forged = seal(gateway.sealing, make_photo_like(2), make_claim())
    original = replace(record_of(seal(gateway.sealing, make_photo_like(1), make_claim())), recorded_at=NOW)

    assert verify(gateway.verifying(original), forged.data).standing is Standing.OURS_ALTERED
    assert verify(revoked(gateway.verifying(original)), forged.data).standing is Standing.COPIED_MARK


def test_a_stranger_s_certificate_is_not_looked_up(gateway: Gateway, stranger: Gateway) -> None:
    theirs = seal(stranger.sealing, make_picture(), make_claim())

    report = verify(revoked(gateway.verifying()), theirs.data)

    assert report.standing is Standing.FOREIGN
    assert report.revocation is None


def test_a_revocation_survives_its_log_entry() -> None:
    revocation = Revocation("12345", Reason.SUPERSEDED, EARLIER.replace(microsecond=0), NOW)

    assert read_revocation(revocation_entry(revocation, "0.1").leaf()) == revocation
    with pytest.raises(EntryInvalid, match="not a revocation"):
        read_revocation(Entry("pred_1", EntryKind.FAILED, NOW, "cli", "prompt").leaf())
