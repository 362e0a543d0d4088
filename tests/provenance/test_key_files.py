"""Keys at rest: encrypted under a passphrase, opened by that one alone, and never half-written."""

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from provenance.errors import CertificateProblem
from provenance.log.checkpoints import CheckpointSigner, LogKeyInvalid, verify_checkpoint
from provenance.signing.key_files import (
    is_encrypted,
    key_pem,
    load_key,
    protected,
    read_passphrase,
    replace_secret,
    write_secret,
)
from provenance.signing.local import LocalSigner
from tests.provenance.operators import Gateway

PASSPHRASE = b"correct horse battery staple"
KEY = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def encrypted(tmp_path: Path) -> Path:
    path = tmp_path / "signing.key"
    write_secret(path, key_pem(KEY, PASSPHRASE))
    return path


def test_an_encrypted_key_opens_with_its_passphrase_and_shows_nothing_without(encrypted: Path) -> None:
    assert is_encrypted(encrypted.read_bytes())
    assert load_key(encrypted, PASSPHRASE).public_key() == KEY.public_key()
    with pytest.raises(CertificateProblem, match=r"signing.key is encrypted. Name the file .* key_passphrase_file"):
        load_key(encrypted)
    with pytest.raises(CertificateProblem, match="not opened by the passphrase") as caught:
        load_key(encrypted, b"another passphrase")
    assert "another" not in str(caught.value)


def test_a_key_that_lies_open_is_read_whether_or_not_there_is_a_passphrase(tmp_path: Path) -> None:
    write_secret(tmp_path / "open.key", key_pem(KEY, None))
    for passphrase in (None, PASSPHRASE):
        assert load_key(tmp_path / "open.key", passphrase).public_key() == KEY.public_key()


def test_protecting_changes_only_keys_that_lie_open() -> None:
    sealed = protected(key_pem(KEY, None), "signing.key", PASSPHRASE)
    assert sealed is not None
    assert is_encrypted(sealed)
    assert protected(sealed, "signing.key", PASSPHRASE) is None
    assert protected(bytes(32), "pepper.key", PASSPHRASE) is None


def test_a_replaced_key_is_whole_and_its_owner_s_alone(encrypted: Path) -> None:
    replace_secret(encrypted, b"new")

    assert encrypted.read_bytes() == b"new"
    assert stat.S_IMODE(encrypted.stat().st_mode) == 0o600
    assert [path.name for path in encrypted.parent.iterdir()] == ["signing.key"]


def test_a_passphrase_is_the_file_without_its_line_end_and_not_short(tmp_path: Path) -> None:
    file = tmp_path / "passphrase"
    file.write_bytes(PASSPHRASE + b"\n")
    assert read_passphrase(file) == PASSPHRASE
    file.write_bytes(b"short")
    with pytest.raises(CertificateProblem, match="openssl rand"):
        read_passphrase(file)
    with pytest.raises(CertificateProblem, match="cannot be read"):
        read_passphrase(tmp_path / "missing")


def test_a_local_signer_signs_with_an_encrypted_key(gateway: Gateway, tmp_path: Path) -> None:
    write_secret(tmp_path / "leaf.key", key_pem(load_key(gateway.folder / "leaf.key"), PASSPHRASE))
    (tmp_path / "passphrase").write_bytes(PASSPHRASE)
    options = {"chain_path": gateway.folder / "chain.pem", "key_path": tmp_path / "leaf.key"}

    assert LocalSigner(LocalSigner.Options(**options, passphrase_path=tmp_path / "passphrase")).sign(b"message")
    with pytest.raises(CertificateProblem, match="is encrypted"):
        LocalSigner(LocalSigner.Options(**options))


def test_a_log_key_keeps_its_name_and_id_under_a_passphrase(tmp_path: Path) -> None:
    made = CheckpointSigner.create(tmp_path / "log.key", "fluxgate-log-1", PASSPHRASE)

    read = CheckpointSigner.load(tmp_path / "log.key", PASSPHRASE)

    assert b"PRIVATE+KEY" not in (tmp_path / "log.key").read_bytes()
    assert read.key == made.key
    assert verify_checkpoint(read.sign(1, bytes(32)), made.key).size == 1
    with pytest.raises(CertificateProblem, match="is encrypted"):
        CheckpointSigner.load(tmp_path / "log.key")
    text = (tmp_path / "log.key").read_text()
    replace_secret(tmp_path / "log.key", text.replace("log-1", "log-2").encode())
    with pytest.raises(LogKeyInvalid):
        CheckpointSigner.load(tmp_path / "log.key", PASSPHRASE)
