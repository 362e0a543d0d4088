"""The signer in use: built from settings, and built anew, between two signatures, when its files have changed.

So a running gateway renews its own development leaf before it ends, and signs with a renewed chain that somebody put in
place. What it cannot build it does not sign with, and what is revoked it never signs with. The roots that its readers
trust are read at start: a chain of another root waits for a restart.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from gateway.parts import BootError, build_part
from gateway.signing.provisioning import RENEW_BEFORE, SigningFiles, anchors_pem, known_leaves, locked, signing_files
from gateway.signing.revocations import Revocations
from gateway.store.data_folder import DataFolder
from provenance.claims import Detached
from provenance.errors import ProvenanceError, SigningFailed
from provenance.signing.certificates import end_of, expiry_warning, load_chain
from provenance.signing.local import Ingredients, ManifestSigner
from provenance.signing.timestamps import TimestampAuthority

log = logging.getLogger("fluxgate.signing")

_ON_DISK: Final = "local"
KEY_ELSEWHERE: Final = ("pkcs11", "remote")
"""The signers whose key is not in the data folder; their chain is, unless its path is given."""

Stamp = tuple[tuple[int, int, int] | None, ...]


@dataclass(frozen=True, slots=True)
class _InUse:
    """A signer and the state of the files it was built from."""

    manifests: ManifestSigner
    chain: tuple[x509.Certificate, ...]
    stamp: Stamp


class CurrentSigner:
    """Signs with the certificate that is in place. Safe to use from many threads. Close it.

    `clock`: aware UTC time. Raises `BootError` or `CertificateProblem` if there is no usable signer at the start.
    """

    def __init__(self, folder: DataFolder, authority: TimestampAuthority | None, clock: Callable[[], datetime]) -> None:
        self.authority = authority
        self._folder = folder
        self._clock = clock
        self._revocations = Revocations(folder.database)
        self._lock = threading.Lock()
        self._files = self._provided()
        self.anchors_pem = anchors_pem(folder.keys)
        if not self.anchors_pem or not chain_path(folder).exists():
            raise BootError(
                f"there is no signing certificate in {folder.keys}, or not its root: put them there with `fluxgate "
                "certificate install`"
            )
        self._options = _options(folder, self._files)
        self._in_use = self._built()
        if problem := self._revoked():
            raise BootError(problem)
        if warning := self.warning:
            log.warning(warning)

    def sign(
        self,
        definition: Mapping[str, Any],
        media_type: str,
        data: bytes,
        ingredients: Ingredients = (),
        detached: Detached | None = None,
    ) -> tuple[bytes, bytes]:
        """See `ManifestSigner.sign`. Raises `SigningFailed`, also if what is in place cannot sign or is revoked."""
        return self._current().sign(definition, media_type, data, ingredients, detached)

    def try_key(self) -> None:
        """Signs a few bytes that mean nothing. Raises `SigningFailed`, or what the key's service raises."""
        signer = self._current()
        if self.seconds_left <= 0:
            raise SigningFailed("The signing certificate has ended.")
        signer.try_key()

    @property
    def leaf(self) -> x509.Certificate:
        """The certificate in use."""
        return self._in_use.chain[0]

    @property
    def end(self) -> datetime:
        """When its chain ends."""
        return end_of(self._in_use.chain)

    @property
    def seconds_left(self) -> float:
        """Until the chain ends; negative after that."""
        return (self.end - self._clock()).total_seconds()

    @property
    def warning(self) -> str | None:
        """What the operator must hear about the certificate's end."""
        return expiry_warning(self.end, self._clock(), renewed_here=self._renews)

    def close(self) -> None:
        """Releases native objects, and ends the authority's relay."""
        self._in_use.manifests.close()
        if self.authority is not None:
            self.authority.close()

    @property
    def _renews(self) -> bool:
        return self._folder.settings.signer not in KEY_ELSEWHERE and self._files.renewed_here

    def _provided(self) -> SigningFiles:
        settings = self._folder.settings
        if settings.signer in KEY_ELSEWHERE:
            return SigningFiles.of(self._folder.keys)
        return signing_files(self._folder.keys, settings.provider, self._clock(), self._folder.key_passphrase)

    def _current(self) -> ManifestSigner:
        with self._lock:
            if self._renews and self.leaf.not_valid_after_utc < self._clock() + RENEW_BEFORE:
                try:
                    self._provided()
                except (OSError, ProvenanceError) as failure:  # what is in use holds for some days yet
                    log.warning("the signing certificate could not be renewed (%s)", type(failure).__name__)
            if self._stamp() != self._in_use.stamp and anchors_pem(self._folder.keys) == self.anchors_pem:
                try:
                    # The former one is released when the last signature with it is done.
                    self._in_use = self._built()
                except (BootError, ProvenanceError) as cause:
                    log.error("the signing files were changed and cannot be used: %s", cause)  # noqa: TRY400 - said whole
                    raise SigningFailed("The signing files were changed and cannot be used.") from cause
                log.info("signing with certificate %s from now on", self.leaf.serial_number)
            if problem := self._revoked():
                raise SigningFailed(problem)
            return self._in_use.manifests

    def _built(self) -> _InUse:
        with locked(self._folder.keys):
            stamp = self._stamp()
            signer = build_part("signers", self._folder.settings.signer, self._options)
            chain = tuple(x509.load_pem_x509_certificates(signer.chain_pem.encode("ascii")))
            return _InUse(ManifestSigner(signer, self.authority, self.anchors_pem), chain, stamp)

    def _stamp(self) -> Stamp:
        watched = (self._options.get("chain_path"), self._options.get("key_path"))
        return tuple(_stamp_of(Path(path)) for path in watched if path is not None)

    def _revoked(self) -> str | None:
        if self._revocations.of(str(self.leaf.serial_number)) is None:
            return None
        return "The signing certificate is revoked. Install another: fluxgate certificate install"


def _stamp_of(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns, stat.st_size


def _options(folder: DataFolder, files: SigningFiles) -> dict[str, Any]:
    """The operator's options over what the data folder offers."""
    settings = folder.settings
    given = dict(settings.parts.get(settings.signer, {}))
    chain = {"chain_path": files.chain}
    if settings.signer == _ON_DISK:
        return chain | {"key_path": files.key, "passphrase_path": settings.key_passphrase_file} | given
    return (chain if settings.signer in KEY_ELSEWHERE else {}) | given


def chain_path(folder: DataFolder) -> Path:
    """Where the chain lies that signs, or is to sign."""
    files = SigningFiles.of(folder.keys)
    return Path(_options(folder, files).get("chain_path", files.chain))


def organisations(folder: DataFolder) -> frozenset[str]:
    """What the certificates that sign, and signed, in this data folder call their holder."""
    path = chain_path(folder)
    leaves = (*known_leaves(folder.keys), *(load_chain(path)[:1] if path.exists() else ()))
    named = (name for leaf in leaves for name in leaf.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME))
    return frozenset(str(name.value) for name in named)


def describe_certificate(signer: CurrentSigner) -> dict[str, Any]:
    """As `/health` shows it."""
    return {
        "serial": str(signer.leaf.serial_number),
        "not_after": signer.end.isoformat(),
        "warning": signer.warning,
    }


def describe_timestamps(authority: TimestampAuthority | None) -> dict[str, Any] | None:
    """As `/health` shows them: by host, for an address may hold a secret. None where pictures are not stamped."""
    if authority is None:
        return None
    health = authority.health
    return {
        "authority": authority.host,
        "required": authority.required,
        "made": health.made,
        "failed": health.failed,
        "last_made": health.last_made and health.last_made.isoformat(timespec="seconds"),
        "last_failed": health.last_failed and health.last_failed.isoformat(timespec="seconds"),
    }
