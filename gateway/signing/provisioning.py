"""The key files of a data folder: makes what is missing, renews what is ours, and keeps what was.

    signing-chain.pem, signing.key   what signs; another CA's after `fluxgate certificate install`
    ca.pem, ca.key                   the root it leads to, and its key while it is our own development CA
    anchors/*.pem                    roots of former chains: what was signed under them still is ours
    retired/                         former chains and keys, by the time they were replaced
    log.key, log.vkey                the log's key
    openings.key                     opens the log's commitments together with the database; neither does alone

Whoever changes more than one of the first two holds the lock meanwhile, so that readers find a pair that fits.
"""

import fcntl
import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from gateway.store.data_folder import DataFolder
from provenance.log.checkpoints import CheckpointSigner
from provenance.log.ledger import Ledger
from provenance.log.openings import Openings
from provenance.signing.certificates import chain_pem, load_chain, make_development_ca, make_leaf
from provenance.signing.key_files import private, replace_secret, write_private, write_secret

log = logging.getLogger("fluxgate.provisioning")

RENEW_BEFORE: Final = timedelta(days=14)
OPENINGS: Final = "openings"
"""The secret under which the salts of the log's commitments are kept."""


@dataclass(frozen=True, slots=True)
class SigningFiles:
    """Paths of the signing chain (leaf first), its key, and the root that readers are to trust."""

    chain: Path
    key: Path
    anchor: Path
    ca_key: Path

    @classmethod
    def of(cls, keys: Path) -> "SigningFiles":
        """Where they lie, whether or not they are there."""
        return cls(keys / "signing-chain.pem", keys / "signing.key", keys / "ca.pem", keys / "ca.key")

    @property
    def renewed_here(self) -> bool:
        """The chain is of our own development CA, whose key lies beside it."""
        return self.ca_key.exists()


@contextmanager
def locked(keys: Path) -> Iterator[None]:
    """Excludes every other process and thread that changes or reads the signing files."""
    with open(keys / ".lock", "ab", opener=private) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def signing_files(keys: Path, organisation: str, now: datetime, passphrase: bytes | None = None) -> SigningFiles:
    """The signing files of a data folder, made or renewed where needed.

    `fluxgate certificate install` puts another CA's chain in their place; without our own `ca.key` beside them nothing
    is ever renewed here. New keys are encrypted if there is a `passphrase`. Raises `CertificateProblem`.
    """
    with locked(keys):
        return _provided(keys, organisation, now, passphrase)


def _provided(keys: Path, organisation: str, now: datetime, passphrase: bytes | None) -> SigningFiles:
    files = SigningFiles.of(keys)
    if not files.anchor.exists() and not files.chain.exists():
        make_development_ca(files.anchor, files.ca_key, organisation=organisation, now=now, passphrase=passphrase)
    if not files.renewed_here:
        return files
    if files.chain.exists():
        if load_chain(files.chain)[0].not_valid_after_utc >= now + RENEW_BEFORE:
            return files
        log.info("the signing certificate nears its end and is renewed")
    with TemporaryDirectory(dir=keys) as fresh:
        new = SigningFiles.of(Path(fresh))
        make_leaf(
            new.chain,
            new.key,
            ca_certificate_path=files.anchor,
            ca_key_path=files.ca_key,
            organisation=organisation,
            now=now,
            passphrase=passphrase,
        )
        retire(keys, now)
        new.key.replace(files.key)
        new.chain.replace(files.chain)
    return files


def install(keys: Path, now: datetime, *, chain: bytes, key: bytes | None, anchor: bytes) -> None:
    """Puts another CA's chain in place of what signs. All PEM; `key`: None where it is not on this disk."""
    with locked(keys):
        files = SigningFiles.of(keys)
        retire(keys, now)
        if files.anchor.exists():
            kept = _kept(keys, "anchors", f"{_fingerprint(load_chain(files.anchor)[0])[:16]}.pem")
            replace_secret(kept, files.anchor.read_bytes())
        replace_secret(files.anchor, anchor)
        if key is not None:
            replace_secret(files.key, key)
        replace_secret(files.chain, chain)
        if files.renewed_here:  # it issued what has just been replaced, and must not renew it
            files.ca_key.replace(_kept(keys, "retired", f"{_stamp(now)}-{files.ca_key.name}"))


def retire(keys: Path, now: datetime, *, end: bool = False) -> None:
    """Keeps copies of chain and key in `retired/`. `end`: takes them out of use besides. The lock is held."""
    files = SigningFiles.of(keys)
    for path in (files.chain, files.key):
        if path.exists():
            write_secret(_kept(keys, "retired", f"{_stamp(now)}-{path.name}"), path.read_bytes())
            if end:
                path.unlink()


def known_leaves(keys: Path) -> tuple[x509.Certificate, ...]:
    """The signing certificates of this folder, in use and retired."""
    paths = (SigningFiles.of(keys).chain, *sorted((keys / "retired").glob("*.pem")))
    return tuple(load_chain(path)[0] for path in paths if path.exists())


def anchors_pem(keys: Path) -> str:
    """The present root and those of former chains, as one PEM text; empty if there are none."""
    paths = (SigningFiles.of(keys).anchor, *sorted((keys / "anchors").glob("*.pem")))
    roots = {_fingerprint(root): root for path in paths if path.exists() for root in load_chain(path)}
    return chain_pem(tuple(roots.values()))


def _kept(keys: Path, folder: str, name: str) -> Path:
    (keys / folder).mkdir(mode=0o700, exist_ok=True)
    return keys / folder / name


def _fingerprint(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(hashes.SHA256()).hex()


def _stamp(now: datetime) -> str:
    return f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"


def open_ledger(folder: DataFolder) -> Ledger:
    """The folder's log, under its own key."""
    openings = Openings(folder.secret(OPENINGS))
    return Ledger(folder.engine_for_log, log_signer(folder.keys, folder.key_passphrase), openings)


def log_signer(keys: Path, passphrase: bytes | None = None) -> CheckpointSigner:
    """The log's key, made on first use under a name of its own; its public half is left in `log.vkey`."""
    file = keys / "log.key"
    if not file.exists():
        CheckpointSigner.create(file, f"fluxgate-log-{secrets.token_hex(4)}", passphrase)
    signer = CheckpointSigner.load(file, passphrase)
    write_private(keys / "log.vkey", f"{signer.key.vkey}\n".encode("ascii"))
    return signer
