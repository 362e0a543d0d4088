"""Signed checkpoints (c2sp.org/tlog-checkpoint on c2sp.org/signed-note) with Ed25519, and the keys that sign them.

Every text has one form only: base64 with stray bits, leading zeros or foreign line ends are refused, so that a
changed byte is never read as the same checkpoint.
"""

import base64
import binascii
import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from provenance.errors import ProvenanceError
from provenance.signing.key_files import is_encrypted, key_pem, parse_key, write_secret

ED25519 = b"\x01"  # signature type of signed-note
MAX_SIGNATURES = 64  # verifiers must accept at least 16
_NAME = re.compile(r"[^\s+\x00-\x20]+")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")


class CheckpointInvalid(ProvenanceError):
    """A checkpoint is malformed, of another log, or not signed by the log's key."""


class LogKeyInvalid(ProvenanceError):
    """A log key cannot be read. The message names what is wrong and the remedy, never the key."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A tree head. `root`: 32 bytes."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """The note text that is signed."""
        return f"{self.origin}\n{self.size}\n{encode(self.root)}\n"


@dataclass(frozen=True, slots=True)
class LogKey:
    """The public key of a log. `name`: also the log's origin."""

    name: str
    public: bytes

    @property
    def key_id(self) -> bytes:
        """SHA-256(name ‖ LF ‖ type ‖ key), its first four bytes."""
        return hashlib.sha256(self.name.encode() + b"\n" + ED25519 + self.public).digest()[:4]

    @property
    def vkey(self) -> str:
        """The key as text: `name+hex(key id)+base64(type ‖ key)`."""
        return f"{self.name}+{self.key_id.hex()}+{encode(ED25519 + self.public)}"


def parse_vkey(vkey: str) -> LogKey:
    """Reads a verifier key. Raises `LogKeyInvalid`."""
    name, public = _parse_key(vkey, "verifier key")
    key = LogKey(name, public)
    if key.vkey != vkey:
        raise LogKeyInvalid("the verifier key's id does not belong to its name and key; copy it again, whole")
    return key


def verify_checkpoint(note: str, key: LogKey) -> Checkpoint:
    """Reads a checkpoint of the log `key.name`; signatures of other keys are ignored. Raises `CheckpointInvalid`."""
    # 1. Split the note into its text and its signature lines.
    text, gap, signed = note.rpartition("\n\n")
    lines = signed.split("\n")
    if not gap or lines.pop() != "" or not 1 <= len(lines) <= MAX_SIGNATURES:
        raise CheckpointInvalid("the checkpoint is not a signed note")
    text += "\n"
    # 2. The known key's signature must be there, and it must hold.
    verified = False
    for line in lines:
        match line.split(" "):
            case ["—", name, encoded] if _NAME.fullmatch(name):
                signature = decode(encoded, CheckpointInvalid)
            case _:
                raise CheckpointInvalid("the checkpoint has a malformed signature line")
        if name == key.name and signature[:4] == key.key_id:
            try:
                Ed25519PublicKey.from_public_bytes(key.public).verify(signature[4:], text.encode(errors="replace"))
            except InvalidSignature:
                raise CheckpointInvalid("the checkpoint's signature is wrong") from None
            verified = True
    if not verified:
        raise CheckpointInvalid("the checkpoint is not signed by the log's key")
    # 3. Only now is the text worth reading.
    match text.split("\n"):
        case [origin, size, root, ""] if _SIZE.fullmatch(size):
            checkpoint = Checkpoint(origin, int(size), decode(root, CheckpointInvalid))
        case _:
            raise CheckpointInvalid("the checkpoint's text is malformed")
    if checkpoint.origin != key.name or len(checkpoint.root) != 32:
        raise CheckpointInvalid("the checkpoint belongs to another log")
    return checkpoint


class CheckpointSigner:
    """Signs the checkpoints of one log. Owns the private key; hands out only signatures."""

    def __init__(self, name: str, private: Ed25519PrivateKey) -> None:
        """`name`: key name and origin of the log, such as `gateway.example.com/log`; no spaces, no plus."""
        if not _NAME.fullmatch(name):
            raise LogKeyInvalid("a log's name is not empty and has neither spaces nor plus signs")
        self.key = LogKey(name, private.public_key().public_bytes_raw())
        self._private = private

    def sign(self, size: int, root: bytes) -> str:
        """The signed checkpoint of a tree of `size` leaves. The caller vouches that it extends all earlier ones."""
        text = Checkpoint(self.key.name, size, root).text()
        signature = encode(self.key.key_id + self._private.sign(text.encode()))
        return f"{text}\n— {self.key.name} {signature}\n"

    def text(self, passphrase: bytes | None = None) -> str:
        """The private key as it stands in its file: the form of golang.org/x/mod/sumdb/note; with a passphrase, the
        public key (C2SP vkey) on the first line and the encrypted PKCS#8 PEM below it."""
        if passphrase is not None:
            return f"{self.key.vkey}\n{key_pem(self._private, passphrase).decode('ascii')}"
        secret = encode(ED25519 + self._private.private_bytes_raw())
        return f"PRIVATE+KEY+{self.key.name}+{self.key.key_id.hex()}+{secret}\n"

    @classmethod
    def create(cls, path: Path, name: str, passphrase: bytes | None = None) -> "CheckpointSigner":
        """Makes a new key and writes it to `path`, readable by its owner only. Raises `FileExistsError`."""
        signer = cls(name, Ed25519PrivateKey.generate())
        write_secret(path, signer.text(passphrase).encode())
        return signer

    @classmethod
    def load(cls, path: Path, passphrase: bytes | None = None) -> "CheckpointSigner":
        """Reads a key file, encrypted or not. Raises `LogKeyInvalid`, or `CertificateProblem` for its passphrase."""
        try:
            text, mode = path.read_text("utf-8").strip(), path.stat().st_mode
        except (OSError, UnicodeDecodeError) as error:
            raise LogKeyInvalid(f"the log key {path} cannot be read; restore it from your backup") from error
        if os.name == "posix" and mode & 0o077:
            raise LogKeyInvalid(f"the log key {path} can be read by others; chmod 600 it, or replace it")
        if not is_encrypted(text.encode()):
            return cls.parse(text)
        vkey, _, pem = text.partition("\n")
        private = parse_key(pem.encode(), path.name, passphrase)
        if not isinstance(private, Ed25519PrivateKey):
            raise LogKeyInvalid(f"the log key {path} is not an Ed25519 key; restore it from your backup")
        signer = cls(parse_vkey(vkey).name, private)
        if signer.key.vkey != vkey:
            raise LogKeyInvalid(f"the log key {path} does not belong to the name above it; restore it from your backup")
        return signer

    @classmethod
    def parse(cls, text: str) -> "CheckpointSigner":
        """Reads the private key's text form. Raises `LogKeyInvalid`."""
        name, seed = _parse_key(text.removeprefix("PRIVATE+KEY+"), "log key")
        signer = cls(name, Ed25519PrivateKey.from_private_bytes(seed))
        if not text.startswith(f"PRIVATE+KEY+{name}+{signer.key.key_id.hex()}+"):
            raise LogKeyInvalid("the log key's id does not belong to its name and key; restore it from your backup")
        return signer


def encode(data: bytes) -> str:
    """Standard base64 (RFC 4648, section 4)."""
    return base64.b64encode(data).decode()


def decode(text: str, error: type[ProvenanceError]) -> bytes:
    """Standard base64 back, in its one canonical form; raises `error` otherwise."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise error("a base64 value is malformed") from None
    if encode(data) != text:
        raise error("a base64 value is not in canonical form")
    return data


def _parse_key(text: str, what: str) -> tuple[str, bytes]:
    """(name, 32 bytes) of `name+hex+base64(0x01 ‖ 32 bytes)`; the key id is left to the caller."""
    name, _, rest = text.partition("+")
    key_id, _, encoded = rest.partition("+")
    data = decode(encoded, LogKeyInvalid)
    if not _NAME.fullmatch(name) or len(key_id) != 8 or data[:1] != ED25519 or len(data) != 33:
        raise LogKeyInvalid(f"this is not an Ed25519 {what}; it has the form name+id+base64")
    return name, data[1:]
