"""The data folder: what a gateway keeps on disk, made on first use. Every secret is a file only its owner can read."""

import logging
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine as Database

from gateway.settings import Settings, load_settings
from gateway.store.database import migrate, open_database, open_unchanged, reading
from gateway.store.vault import Vault
from provenance.signing.key_files import read_passphrase

_SECRET_BYTES = 32

log = logging.getLogger("fluxgate.boot")


@dataclass(frozen=True, slots=True)
class DataFolder:
    """An opened data folder. `database`: the database, migrated."""

    path: Path
    settings: Settings
    database: Database

    def secret(self, name: str) -> bytes:
        """The 32 random bytes of `keys/<name>.key`, made on first use."""
        return _secret(self.path / "keys" / f"{name}.key")

    def kept_secret(self, name: str) -> bytes | None:
        """The same, or None where it was never made."""
        return self.secret(name) if (self.path / "keys" / f"{name}.key").exists() else None

    @property
    def pepper(self) -> bytes:
        """Key of the HMAC under which API keys are stored."""
        return self.secret("pepper")

    @property
    def engine_for_log(self) -> Database:
        """The same database for the ledger, which takes its write locks itself."""
        return reading(self.database)

    @property
    def vault(self) -> Vault:
        """Keeps accepted requests unreadable at rest."""
        return Vault(self.secret("vault"))

    @property
    def keys(self) -> Path:
        """Where signing, log and certificate files lie."""
        return self.path / "keys"

    @property
    def key_passphrase(self) -> bytes | None:
        """Of signing key, CA key and log key, if they are encrypted. Raises `CertificateProblem`."""
        file = self.settings.key_passphrase_file
        return None if file is None else read_passphrase(file)

    @property
    def blob_url(self) -> str:
        """Where pictures lie."""
        return self.settings.blob_url or str((self.path / "blobs").resolve())


def open_data_folder(path: Path, settings: Settings | None = None) -> DataFolder:
    """Opens the folder, making it, its database and its secrets where they are missing."""
    settings = settings or load_settings(path)
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    _close_to_others(path)
    keys = path / "keys"
    keys.mkdir(mode=0o700, exist_ok=True)
    database = open_database(_database_url(path, settings), settings.database_timeout_seconds)
    migrate(database)
    return DataFolder(path, settings, database)


def open_unchanged_folder(path: Path) -> DataFolder:
    """Opens the folder of a gateway for whoever only checks it: nothing is made, migrated or written."""
    settings = load_settings(path)
    return DataFolder(path, settings, open_unchanged(_database_url(path, settings)))


def _close_to_others(path: Path) -> None:
    """Only the owner gets into the folder, whatever the umask; what an earlier version left open below it is closed.

    Below a folder that nobody else may enter nothing can have been opened to others since, so it is walked once.
    Links are not followed: what they lead to is the operator's.
    """
    if not path.stat().st_mode & 0o077:
        return
    try:
        for folder, _, files in os.walk(path, topdown=False):
            for file in files:
                _narrow(Path(folder, file), 0o600)
            _narrow(Path(folder), 0o700)
    except PermissionError:
        log.warning("the data folder is another user's and open to others: only its owner should have access")


def _narrow(path: Path, mode: int) -> None:
    if not path.is_symlink() and path.stat().st_mode & 0o077:
        path.chmod(mode)


def _database_url(path: Path, settings: Settings) -> str:
    return settings.database_url or f"sqlite:///{(path / 'fluxgate.db').resolve()}"


def _secret(file: Path) -> bytes:
    if not file.exists():
        beside = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(secrets.token_bytes(_SECRET_BYTES))
            handle.flush()
            os.fsync(handle.fileno())
        try:
            os.link(beside, file)  # of two processes that start together, one wins and both read the same file
        except FileExistsError:
            pass
        finally:
            beside.unlink()
    value = file.read_bytes()
    if len(value) != _SECRET_BYTES:
        raise ValueError(f"{file} must hold {_SECRET_BYTES} bytes: restore it from a backup")
    return value
