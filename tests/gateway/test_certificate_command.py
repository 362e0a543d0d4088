"""`fluxgate certificate revoke` and `protect`: what they leave on disk and in the log, and that signing goes on."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from gateway.parts import BootError
from gateway.signing.provisioning import log_signer
from gateway.signing.revocations import Revocations
from gateway.signing.signers import CurrentSigner
from gateway.store.data_folder import DataFolder, open_data_folder
from provenance.errors import CertificateProblem, SigningFailed
from provenance.log.ledger import Ledger
from provenance.signing.certificates import load_chain
from tests.gateway.signing import Clock, OtherCA, run, running, serial_of, signed_by

PASSPHRASE = b"correct horse battery staple"


def test_revoking_puts_a_new_certificate_in_place_at_once(opened: DataFolder, signer: CurrentSigner) -> None:
    stolen = serial_of(signed_by(signer))

    told = run(opened, "revoke", "--reason", "key_compromise", "--since", "2026-01-01T00:00Z")

    assert told.exit_code == 0, told.output
    assert "new key and certificate" in told.output
    found = Revocations(opened.database).of(stolen or "")
    assert found is not None
    assert (found.reason.value, found.since) == ("key_compromise", datetime(2026, 1, 1, tzinfo=UTC))
    used_now = serial_of(signed_by(signer))
    assert used_now != stolen
    assert Revocations(opened.database).of(used_now or "") is None
    assert json.loads(run(opened, "show", "--json").stdout)["problem"] is None


def test_nothing_is_revoked_where_there_is_no_log_yet(tmp_path: Path) -> None:
    assert Revocations(open_data_folder(tmp_path / "fresh").database).of("12345") is None


def test_a_revocation_cannot_be_changed_afterwards(opened: DataFolder, signer: CurrentSigner) -> None:
    run(opened, "revoke", "--reason", "key_compromise", "--since", "2026-01-01T00:00Z")
    (retired,) = (opened.keys / "retired").glob("*signing-chain.pem")
    serial = str(load_chain(retired)[0].serial_number)
    before, used = Revocations(opened.database).of(serial), serial_of(signed_by(signer))

    told = run(opened, "revoke", "--reason", "superseded", "--certificate", retired)

    assert "revoked before" in told.output
    assert Revocations(opened.database).of(serial) == before
    assert serial_of(signed_by(signer)) == used, "what is in use was not meant"


def test_under_another_ca_nothing_is_signed_until_its_new_chain_is_installed(opened: DataFolder, clock: Clock) -> None:
    running(opened, clock).close()
    other = OtherCA(opened.path / "other", clock.now)
    chain, key = other.leaf()
    other.installed(opened, chain, key)
    signer = running(opened, clock)
    signed_by(signer)

    told = run(opened, "revoke", "--reason", "key_compromise")

    assert "take it to your CA" in told.output
    request = x509.load_pem_x509_csr((opened.keys / "requested.csr").read_bytes())
    assert request.subject.rfc4514_string() == "CN=Example GmbH Signing,O=Example GmbH"
    assert request.public_key() != load_chain(chain)[0].public_key()
    with pytest.raises(SigningFailed):
        signed_by(signer)
    with pytest.raises(BootError, match="fluxgate certificate install"):
        running(opened, clock)
    again = other.installed(opened, chain, key)
    assert (again.exit_code, "was revoked" in again.output) == (2, True)
    other.installed(opened, *other.leaf("next"))
    assert signed_by(signer), "without a restart"
    signer.close()


@pytest.mark.parametrize("since", ["yesterday", "2999-01-01"])
def test_a_time_that_cannot_be_is_refused_with_a_remedy(opened: DataFolder, signer: CurrentSigner, since: str) -> None:
    told = run(opened, "revoke", "--reason", "key_compromise", "--since", since)

    assert told.exit_code == 2
    assert "--since is" in told.output
    assert serial_of(signed_by(signer)) is not None


def test_keys_are_encrypted_in_place_and_everything_goes_on_with_the_passphrase(
    opened: DataFolder, signer: CurrentSigner, clock: Clock, tmp_path: Path
) -> None:
    vkey = (opened.keys / "log.vkey").read_text()
    assert run(opened, "protect").exit_code == 2, "without a passphrase there is nothing to encrypt with"
    passphrase = tmp_path / "passphrase"
    passphrase.write_bytes(PASSPHRASE)
    (opened.path / "fluxgate.toml").write_text(f'key_passphrase_file = "{passphrase}"')

    told = run(opened, "protect")

    assert told.exit_code == 0, told.output
    assert [line for line in told.output.splitlines() if line.endswith(": encrypted")] == [
        f"{name}: encrypted" for name in ("ca.key", "log.key", "signing.key")
    ]
    for name in ("ca.key", "log.key", "signing.key"):
        assert b"ENCRYPTED PRIVATE KEY" in (opened.keys / name).read_bytes()
        assert (opened.keys / name).stat().st_mode & 0o077 == 0
    assert "encrypted" not in run(opened, "protect").output, "a second time changes nothing"
    reopened = open_data_folder(opened.path)
    Ledger(reopened.engine_for_log, log_signer(reopened.keys, reopened.key_passphrase))
    assert (opened.keys / "log.vkey").read_text() == vkey
    run(opened, "revoke", "--reason", "superseded")
    protected = running(reopened, clock)  # under a new leaf, issued with the encrypted CA key
    signed_by(protected)
    assert b"ENCRYPTED PRIVATE KEY" in (opened.keys / "signing.key").read_bytes()
    protected.close()

    passphrase.write_bytes(b"another passphrase")
    with pytest.raises(BootError, match=r"signing\.key is not opened by the passphrase"):
        running(reopened, clock)
    with pytest.raises(CertificateProblem, match=r"log\.key is not opened by the passphrase"):
        log_signer(reopened.keys, reopened.key_passphrase)
