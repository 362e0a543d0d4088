"""The log's key: its file, its name, and checkpoints that only it can sign."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from provenance.log.checkpoints import (
    CheckpointInvalid,
    CheckpointSigner,
    LogKeyInvalid,
    encode,
    parse_vkey,
    verify_checkpoint,
)

ROOT = b"r" * 32


def test_a_created_key_file_is_private_and_loads_as_the_same_key(tmp_path):
    path = tmp_path / "log.key"
    made = CheckpointSigner.create(path, "gateway.example/log")
    assert path.stat().st_mode & 0o777 == 0o600
    assert CheckpointSigner.load(path).sign(3, ROOT) == made.sign(3, ROOT)
    with pytest.raises(FileExistsError):
        CheckpointSigner.create(path, "gateway.example/log")


def test_a_key_file_that_others_can_read_is_refused(tmp_path):
    path = tmp_path / "log.key"
    CheckpointSigner.create(path, "gateway.example/log")
    path.chmod(0o644)
    with pytest.raises(LogKeyInvalid, match="chmod 600"):
        CheckpointSigner.load(path)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PRIVATE+KEY+a+00000000+AAAA", b"\xff\xfe"])
def test_a_broken_key_file_is_refused_without_being_quoted(tmp_path, content):
    path = tmp_path / "log.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(LogKeyInvalid) as refusal:
        CheckpointSigner.load(path)
    assert "AAAA" not in str(refusal.value)
    with pytest.raises(LogKeyInvalid):
        CheckpointSigner.load(tmp_path / "absent")


def test_a_key_whose_id_was_changed_is_refused(tmp_path):
    path = tmp_path / "log.key"
    made = CheckpointSigner.create(path, "gateway.example/log")
    text = path.read_text()
    with pytest.raises(LogKeyInvalid, match="id"):
        CheckpointSigner.parse(text.strip().replace(made.key.key_id.hex(), "00000000"))


@pytest.mark.parametrize("name", ["", "with space", "with+plus", "line\nbreak"])
def test_a_name_that_a_note_cannot_carry_is_refused(name):
    with pytest.raises(LogKeyInvalid, match="name"):
        CheckpointSigner(name, Ed25519PrivateKey.generate())


def test_a_checkpoint_signed_by_another_key_of_the_same_name_is_refused(signer):
    other = CheckpointSigner(signer.key.name, Ed25519PrivateKey.generate())
    with pytest.raises(CheckpointInvalid, match="not signed"):
        verify_checkpoint(other.sign(1, ROOT), signer.key)


def test_a_good_signature_under_another_logs_origin_is_refused(signer):
    body = f"other.example/log\n1\n{encode(ROOT)}\n"
    signature = encode(signer.key.key_id + signer._private.sign(body.encode()))
    with pytest.raises(CheckpointInvalid, match="another log"):
        verify_checkpoint(f"{body}\n— {signer.key.name} {signature}\n", signer.key)


@pytest.mark.parametrize(
    "text", ["o\n01\n{root}\n", "o\n-1\n{root}\n", "o\n1\n", "o\n1\n{root}\nextension\n", "o\n1\n!\n"]
)
def test_a_signed_text_that_is_no_plain_checkpoint_is_refused(signer, text):
    body = text.replace("o", signer.key.name, 1).format(root=encode(ROOT))
    signature = encode(signer.key.key_id + signer._private.sign(body.encode()))
    with pytest.raises(CheckpointInvalid):
        verify_checkpoint(f"{body}\n— {signer.key.name} {signature}\n", signer.key)


@pytest.mark.parametrize(
    "note", ["", "\n\n", "a\n\n", "a\n\nb", "a\n\n— b\n", "a\n\n— b !\n", "a\n1\n\n" + "— b AAAA\n" * 65]
)
def test_what_is_no_signed_note_is_refused(signer, note):
    with pytest.raises(CheckpointInvalid):
        verify_checkpoint(note, signer.key)


def test_the_public_key_survives_being_written_down(signer):
    assert parse_vkey(signer.key.vkey) == signer.key
