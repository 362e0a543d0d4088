"""A running signer: renews, takes up what was put in place, and never signs with what it cannot use or is revoked."""

import logging
from datetime import UTC, datetime, timedelta

import pytest

from gateway.parts import BootError
from gateway.signing.provisioning import RENEW_BEFORE
from gateway.signing.signers import CurrentSigner, describe_certificate, organisations
from gateway.store.data_folder import DataFolder
from moderation.known_pictures.pdq import pdq
from provenance.credentials.reading import CredentialState, ManifestReader
from provenance.errors import SigningFailed
from provenance.signing.certificates import LEAF_DAYS, load_chain
from provenance.signing.local import LocalSigner, ManifestSigner
from provenance.standings import Standing
from provenance.verification import VerifierSetup, verify
from tests.gateway.signing import Clock, OtherCA, run, running, serial_of, signed_by


def test_a_running_gateway_renews_its_own_leaf_before_it_ends(opened: DataFolder, clock: Clock) -> None:
    clock.now -= timedelta(days=LEAF_DAYS) - RENEW_BEFORE + timedelta(seconds=1)
    signer = running(opened, clock)
    before = serial_of(signed_by(signer))
    clock.now = datetime.now(UTC)

    after = serial_of(signed_by(signer))

    assert after not in (None, before)
    assert signer.leaf.not_valid_after_utc > clock.now + timedelta(days=80)
    assert serial_of(signed_by(signer)) == after, "once"
    assert len(list((opened.keys / "retired").glob("*signing-chain.pem"))) == 1
    assert {path.name for path in opened.keys.iterdir()} == {
        *(".lock", "ca.key", "ca.pem", "log.key", "log.vkey", "retired", "signing-chain.pem", "signing.key"),
    }
    signer.close()


def test_a_chain_of_the_same_root_is_taken_up_between_two_signatures(opened: DataFolder, clock: Clock) -> None:
    other = OtherCA(opened.path / "other", clock.now)
    other.installed(opened, *other.leaf())
    signer = running(opened, clock)
    before = serial_of(signed_by(signer))
    chain, key = other.leaf("next")

    told = other.installed(opened, chain, key)

    assert "from now on" in told.output
    assert serial_of(signed_by(signer)) == str(load_chain(chain)[0].serial_number) != before
    signer.close()


def test_a_chain_of_another_root_waits_for_a_restart(opened: DataFolder, signer: CurrentSigner, clock: Clock) -> None:
    """The readers of a running gateway do not know that root: what it signed would not be read back."""
    before = serial_of(signed_by(signer))
    other = OtherCA(opened.path / "other", clock.now)

    told = other.installed(opened, *other.leaf())

    assert "Restart" in told.output
    assert serial_of(signed_by(signer)) == before
    restarted = running(opened, clock)
    assert serial_of(signed_by(restarted)) != before
    restarted.close()


def test_pictures_signed_under_a_former_root_stay_ours_and_those_of_a_ca_s_other_customers_are_not(
    opened: DataFolder, signer: CurrentSigner, clock: Clock
) -> None:
    old = signed_by(signer)
    other = OtherCA(opened.path / "other", clock.now)
    other.installed(opened, *other.leaf())
    restarted = running(opened, clock)
    chain, key = other.leaf("neighbour", "Another Customer")
    neighbour = ManifestSigner(LocalSigner(LocalSigner.Options(chain_path=chain, key_path=key)))

    reader = ManifestReader(restarted.anchors_pem)
    parts = VerifierSetup(reader, (), pdq, organisations=organisations(opened))

    for data in (old, signed_by(restarted)):
        assert verify(parts, data).standing is Standing.OURS_INTACT
    assert ManifestReader((opened.keys / "ca.pem").read_text()).read(old, "image/png").state is CredentialState.VALID
    assert reader.read(signed_by(neighbour), "image/png").state is CredentialState.TRUSTED
    assert verify(parts, signed_by(neighbour)).standing is Standing.FOREIGN
    restarted.close()


def test_what_cannot_be_used_is_not_signed_with(opened: DataFolder, signer: CurrentSigner) -> None:
    chain = opened.keys / "signing-chain.pem"
    whole = chain.read_bytes()
    chain.write_bytes(b"half of a")
    with pytest.raises(SigningFailed, match="cannot be used"):
        signed_by(signer)

    chain.write_bytes(whole)
    assert serial_of(signed_by(signer)) == str(load_chain(chain)[0].serial_number)


def test_a_certificate_revoked_elsewhere_is_not_signed_with_though_its_files_are_in_place(
    opened: DataFolder, signer: CurrentSigner, clock: Clock
) -> None:
    """As where two gateways share a database and not their keys."""
    kept = {name: (opened.keys / name).read_bytes() for name in ("signing-chain.pem", "signing.key")}
    run(opened, "revoke", "--reason", "key_compromise")
    for name, content in kept.items():
        (opened.keys / name).write_bytes(content)

    with pytest.raises(SigningFailed, match="revoked"):
        signed_by(signer)
    with pytest.raises(BootError, match="revoked"):
        running(opened, clock)
    assert "It is revoked." in run(opened, "show").output


def test_the_end_of_another_ca_s_certificate_is_announced_from_thirty_days_on(
    opened: DataFolder, signer: CurrentSigner, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    assert describe_certificate(signer)["warning"] is None
    other = OtherCA(opened.path / "other", clock.now)
    other.installed(opened, *other.leaf(days_left=31))
    ending = running(opened, clock)
    assert describe_certificate(ending)["warning"] is None

    clock.now += timedelta(days=2)

    assert "fluxgate certificate request" in describe_certificate(ending)["warning"]
    assert 28 * 86400 < ending.seconds_left < 30 * 86400
    with caplog.at_level(logging.WARNING):
        running(opened, clock).close()
    assert "ends on" in caplog.text
    ending.close()


def test_a_gateway_without_a_certificate_does_not_start_and_says_what_to_do(opened: DataFolder, clock: Clock) -> None:
    elsewhere = DataFolder(opened.path, opened.settings.model_copy(update={"signer": "remote"}), opened.database)
    with pytest.raises(BootError, match="fluxgate certificate install"):
        CurrentSigner(elsewhere, None, clock)
