"""`fluxgate certificate`: install, revoke, protect; and what a running signer makes of each, without a restart."""

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from typer.testing import CliRunner, Result

from gateway.commands.certificate import certificate_app
from gateway.data_folder import DataFolder, open_data_folder
from gateway.parts import BootError
from gateway.provisioning import RENEW_BEFORE, log_signer
from gateway.signers import CurrentSigner, describe_certificate, organisations
from gateway.verifying import Revocations
from moderation.pdq import pdq
from provenance.certificates import LEAF_DAYS, load_chain, make_development_ca, make_leaf
from provenance.encoding import encode
from provenance.errors import CertificateProblem, SigningFailed
from provenance.log.ledger import Ledger
from provenance.manifest import definition
from provenance.reading import CredentialState, ManifestReader
from provenance.reports import Verdict
from provenance.signing import LocalSigner, ManifestSigner
from provenance.verification import VerifyingParts, verify
from tests.provenance.operators import make_claim
from tests.provenance.pictures import make_picture

PICTURE = encode(make_picture(32, 32), "image/png", 95)
PASSPHRASE = b"correct horse battery staple"


class Clock:
    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folder(tmp_path: Path, clock: Clock) -> DataFolder:
    opened = open_data_folder(tmp_path / "data")
    Ledger(opened.engine_for_log, log_signer(opened.keys))
    return opened


@pytest.fixture
def signer(folder: DataFolder, clock: Clock) -> Iterator[CurrentSigner]:
    current = CurrentSigner(folder, None, clock)
    yield current
    current.close()


def run(folder: DataFolder, *arguments: object, **environment: str) -> Result:
    command = [str(argument) for argument in (*arguments, "--data-dir", folder.path)]
    return CliRunner().invoke(certificate_app, command, env={"COLUMNS": "200", **environment})


def signed_by(signer: CurrentSigner) -> bytes:
    return signer.sign(definition(make_claim(), None), "image/png", PICTURE)[0]


def serial_of(data: bytes) -> str | None:
    return ManifestReader("").read(data, "image/png").certificate_serial


def another_ca(folder: Path, now: datetime, *, days_left: float = 90) -> Path:
    """A CA of somebody else, with a chain and key to install."""
    folder.mkdir()
    make_development_ca(folder / "root.pem", folder / "root.key", organisation="Other CA", now=now)
    make_leaf(
        folder / "chain.pem",
        folder / "leaf.key",
        ca_certificate_path=folder / "root.pem",
        ca_key_path=folder / "root.key",
        organisation="Example GmbH",
        now=now - timedelta(days=90 - days_left),
    )
    return folder


def test_a_running_gateway_renews_its_own_leaf_before_it_ends(folder: DataFolder, clock: Clock) -> None:
    clock.now -= timedelta(days=LEAF_DAYS) - RENEW_BEFORE + timedelta(seconds=1)
    signer = CurrentSigner(folder, None, clock)
    before = serial_of(signed_by(signer))
    clock.now = datetime.now(UTC)

    after = serial_of(signed_by(signer))

    assert after not in (None, before)
    assert signer.leaf.not_valid_after_utc > clock.now + timedelta(days=80)
    assert serial_of(signed_by(signer)) == after
    signer.close()
    keys = folder.keys
    assert len(list((keys / "retired").glob("*signing-chain.pem"))) == 1
    assert not [path for path in keys.iterdir() if path.name.startswith("tmp")]


def test_a_chain_of_the_same_root_is_taken_up_between_two_signatures(
    folder: DataFolder, signer: CurrentSigner, clock: Clock
) -> None:
    other = another_ca(folder.path / "other", clock.now)
    assert run(folder, "install", other / "chain.pem", "--anchor", other / "root.pem", "--key", other / "leaf.key")
    first = CurrentSigner(folder, None, clock)
    make_leaf(
        other / "next.pem",
        other / "next.key",
        ca_certificate_path=other / "root.pem",
        ca_key_path=other / "root.key",
        organisation="Example GmbH",
        now=clock.now,
    )
    before = serial_of(signed_by(first))

    told = run(folder, "install", other / "next.pem", "--anchor", other / "root.pem", "--key", other / "next.key")

    assert "from now on" in told.output
    assert serial_of(signed_by(first)) == str(load_chain(other / "next.pem")[0].serial_number) != before
    first.close()
    assert signer.anchors_pem != first.anchors_pem, "the signer started under the former root waits for a restart"
    assert serial_of(signed_by(signer)) == str(signer.leaf.serial_number)


def test_pictures_signed_under_a_former_root_stay_ours(folder: DataFolder, signer: CurrentSigner, clock: Clock) -> None:
    old = signed_by(signer)
    other = another_ca(folder.path / "other", clock.now)

    told = run(folder, "install", other / "chain.pem", "--anchor", other / "root.pem", "--key", other / "leaf.key")
    restarted = CurrentSigner(folder, None, clock)

    assert "Restart" in told.output
    reader = ManifestReader(restarted.anchors_pem)
    for data in (old, signed_by(restarted)):
        assert reader.read(data, "image/png").state is CredentialState.TRUSTED
    assert ManifestReader((folder.keys / "ca.pem").read_text()).read(old, "image/png").state is CredentialState.VALID
    restarted.close()

    parts = VerifyingParts(reader, (), pdq, organisations=organisations(folder))
    assert verify(parts, old).verdict is Verdict.OURS_INTACT
    make_leaf(
        other / "neighbour.pem",
        other / "neighbour.key",
        ca_certificate_path=other / "root.pem",
        ca_key_path=other / "root.key",
        organisation="Another Customer",
        now=clock.now,
    )
    neighbour = LocalSigner(LocalSigner.Options(chain_path=other / "neighbour.pem", key_path=other / "neighbour.key"))
    theirs, _ = ManifestSigner(neighbour).sign(definition(make_claim(), None), "image/png", PICTURE)
    assert verify(parts, theirs).verdict is Verdict.FOREIGN, "the CA's other customers are not us"


def test_what_cannot_be_used_is_not_signed_with(folder: DataFolder, signer: CurrentSigner) -> None:
    whole = (folder.keys / "signing-chain.pem").read_bytes()
    (folder.keys / "signing-chain.pem").write_bytes(b"half of a")
    with pytest.raises(SigningFailed, match="cannot be used"):
        signed_by(signer)

    (folder.keys / "signing-chain.pem").write_bytes(whole)
    assert serial_of(signed_by(signer)) == str(load_chain(folder.keys / "signing-chain.pem")[0].serial_number)


def test_revoking_puts_a_new_certificate_in_place_at_once(folder: DataFolder, signer: CurrentSigner) -> None:
    stolen = serial_of(signed_by(signer))

    told = run(folder, "revoke", "--reason", "key_compromise", "--since", "2026-01-01T00:00Z")

    assert told.exit_code == 0, told.output
    assert "new key and certificate" in told.output
    found = Revocations(folder.engine).of(stolen or "")
    assert found is not None
    assert (found.reason.value, found.since) == ("key_compromise", datetime(2026, 1, 1, tzinfo=UTC))
    now_used = serial_of(signed_by(signer))
    assert now_used != stolen
    assert Revocations(folder.engine).of(now_used or "") is None
    assert json.loads(run(folder, "show", "--json").stdout)["problem"] is None


def test_a_revocation_cannot_be_changed_afterwards(folder: DataFolder, signer: CurrentSigner) -> None:
    signed_by(signer)
    run(folder, "revoke", "--reason", "key_compromise", "--since", "2026-01-01T00:00Z")
    (retired,) = (folder.keys / "retired").glob("*signing-chain.pem")
    before = Revocations(folder.engine).of(str(load_chain(retired)[0].serial_number))

    told = run(folder, "revoke", "--reason", "superseded", "--certificate", retired)

    assert "revoked before" in told.output
    assert Revocations(folder.engine).of(str(load_chain(retired)[0].serial_number)) == before


def test_under_another_ca_nothing_is_signed_until_its_new_chain_is_installed(
    folder: DataFolder, signer: CurrentSigner, clock: Clock
) -> None:
    other = another_ca(folder.path / "other", clock.now)
    run(folder, "install", other / "chain.pem", "--anchor", other / "root.pem", "--key", other / "leaf.key")
    running = CurrentSigner(folder, None, clock)
    signed_by(running)

    told = run(folder, "revoke", "--reason", "key_compromise")

    assert "take it to your CA" in told.output
    request = x509.load_pem_x509_csr((folder.keys / "requested.csr").read_bytes())
    assert request.subject.rfc4514_string() == "CN=Example GmbH Signing,O=Example GmbH"
    with pytest.raises(SigningFailed):
        signed_by(running)
    with pytest.raises(BootError, match=r"signing-chain\.pem"):
        CurrentSigner(folder, None, clock)
    again = run(folder, "install", other / "chain.pem", "--anchor", other / "root.pem", "--key", other / "leaf.key")
    assert again.exit_code == 2
    assert "was revoked" in again.output
    running.close()


def test_a_certificate_revoked_elsewhere_is_not_signed_with_though_its_files_are_in_place(
    folder: DataFolder, signer: CurrentSigner, clock: Clock
) -> None:
    """As where two gateways share a database and not their keys."""
    kept = {name: (folder.keys / name).read_bytes() for name in ("signing-chain.pem", "signing.key")}
    run(folder, "revoke", "--reason", "key_compromise")
    for name, content in kept.items():
        (folder.keys / name).write_bytes(content)

    with pytest.raises(SigningFailed, match="revoked"):
        signed_by(signer)
    with pytest.raises(BootError, match="revoked"):
        CurrentSigner(folder, None, clock)
    assert run(folder, "show").output.count("It is revoked.") == 1


@pytest.mark.parametrize("since", ["yesterday", "2999-01-01"])
def test_a_time_that_cannot_be_is_refused_with_a_remedy(folder: DataFolder, signer: CurrentSigner, since: str) -> None:
    told = run(folder, "revoke", "--reason", "key_compromise", "--since", since)

    assert told.exit_code == 2
    assert "--since is" in told.output
    assert serial_of(signed_by(signer)) is not None


def test_the_end_of_another_ca_s_certificate_is_announced_from_thirty_days_on(
    folder: DataFolder, signer: CurrentSigner, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    assert describe_certificate(signer)["warning"] is None
    other = another_ca(folder.path / "other", clock.now, days_left=31)
    run(folder, "install", other / "chain.pem", "--anchor", other / "root.pem", "--key", other / "leaf.key")
    running = CurrentSigner(folder, None, clock)
    assert describe_certificate(running)["warning"] is None
    clock.now += timedelta(days=2)
    assert "fluxgate certificate request" in describe_certificate(running)["warning"]
    assert 28 * 86400 < running.seconds_left < 30 * 86400
    with caplog.at_level(logging.WARNING):
        CurrentSigner(folder, None, clock).close()
    assert "ends on" in caplog.text
    running.close()


def test_keys_are_encrypted_in_place_and_everything_goes_on_with_the_passphrase(
    folder: DataFolder, signer: CurrentSigner, clock: Clock, tmp_path: Path
) -> None:
    signed_by(signer)
    vkey = (folder.keys / "log.vkey").read_text()
    assert run(folder, "protect").exit_code == 2, "without a passphrase there is nothing to encrypt with"
    passphrase = tmp_path / "passphrase"
    passphrase.write_bytes(PASSPHRASE)
    (folder.path / "fluxgate.toml").write_text(f'key_passphrase_file = "{passphrase}"')

    told = run(folder, "protect")

    assert told.exit_code == 0, told.output
    assert [line for line in told.output.splitlines() if line.endswith(": encrypted")] == [
        f"{name}: encrypted" for name in ("ca.key", "log.key", "signing.key")
    ]
    for name in ("ca.key", "log.key", "signing.key"):
        assert b"ENCRYPTED PRIVATE KEY" in (folder.keys / name).read_bytes()
        assert (folder.keys / name).stat().st_mode & 0o077 == 0
    assert "encrypted" not in run(folder, "protect").output, "a second time changes nothing"
    reopened = open_data_folder(folder.path)
    Ledger(reopened.engine_for_log, log_signer(reopened.keys, reopened.key_passphrase))
    assert (folder.keys / "log.vkey").read_text() == vkey
    run(folder, "revoke", "--reason", "superseded")
    protected = CurrentSigner(reopened, None, clock)  # under a new leaf, issued with the encrypted CA key
    signed_by(protected)
    assert b"ENCRYPTED PRIVATE KEY" in (folder.keys / "signing.key").read_bytes()
    protected.close()

    passphrase.write_bytes(b"another passphrase")
    with pytest.raises(BootError, match=r"signing\.key is not opened by the passphrase"):
        CurrentSigner(reopened, None, clock)
    with pytest.raises(CertificateProblem, match=r"log\.key is not opened by the passphrase"):
        log_signer(reopened.keys, reopened.key_passphrase)
