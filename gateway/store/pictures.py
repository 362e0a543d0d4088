"""Sealed pictures in the blob store: written before the log entry, removed if none is made.

Files are named by job and content id, manifests by their SHA-256. The file's name ends in its manifest's digest, so
that whoever takes over a job finds, by its files, the manifests it left.
"""

import asyncio
import logging
import re
import secrets
from collections.abc import Iterable
from pathlib import Path

from gateway.exchange import StoredImage
from gateway.store.blobs import Blobs, BlobsUnavailable
from provenance.claims import SealedImage
from provenance.looks.fingerprint import sha256

EXTENSIONS = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/webp": "webp",
    "image/avif": "avif",
    "image/tiff": "tiff",
}

MANIFEST_SUFFIX = ".c2pa"

_DIGEST = re.compile(r"[0-9a-f]{64}")

log = logging.getLogger("fluxgate.pictures")


class Pictures:
    """File and manifest of each picture.

    Names carry the content id, which every sealing draws anew: a worker that lost its job can never write over what
    another has delivered. They begin with the job, so that whoever takes a job over finds what the first one left.
    A manifest is bound to the one file it signs, so no other picture has it and it goes with its file.
    """

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    async def keep(self, job_id: str, content_id: str, sealed: SealedImage) -> None:
        """Stores the sealed bytes, then the bare manifest, both or neither. Raises `BlobsUnavailable`."""
        await asyncio.to_thread(self._keep, job_id, content_id, sealed)

    def _keep(self, job_id: str, content_id: str, sealed: SealedImage) -> None:
        digest = sha256(sealed.manifest)
        file = _file(job_id, content_id, digest, sealed.media_type)
        try:
            self._blobs.write(file, sealed.data)
            self._blobs.write(_manifest(digest), sealed.manifest)
        except BlobsUnavailable:
            self._remove(job_id, (_manifest(digest), file))
            raise

    @property
    def local_folder(self) -> Path | None:
        """Where they lie, if on a disk of this machine."""
        return self._blobs.local_folder

    def try_store(self) -> None:
        """Writes, reads and removes a small file. Raises `BlobsUnavailable` or `BlobMissing`."""
        name, data = f"health/ready-{secrets.token_hex(8)}", secrets.token_bytes(1024)
        self._blobs.write(name, data)
        try:
            if self._blobs.read(name) != data:
                raise BlobsUnavailable("the blob store gives back something else than it took")
        finally:
            self._blobs.remove(name)

    def file(self, job_id: str, image: StoredImage) -> bytes:
        """The file, byte for byte as signed. Raises `BlobMissing` or `BlobsUnavailable`."""
        return self._blobs.read(_file(job_id, image.content_id, image.manifest_sha256, image.media_type))

    def manifest(self, job_id: str, image: StoredImage) -> bytes:
        """The C2PA manifest store alone, which has the digest it is named by. Raises `BlobMissing`,
        `BlobsUnavailable`."""
        if image.manifest_sha256 is None:  # from before manifests were named by their content
            return self._blobs.read(f"manifests/{job_id}-{image.content_id}.c2pa")
        store = self._blobs.read(_manifest(image.manifest_sha256))
        if sha256(store) != image.manifest_sha256:
            raise BlobsUnavailable("a stored manifest is not the one that was recorded")
        return store

    async def discard(self, job_id: str, image: StoredImage) -> None:
        """Removes a picture that will have no log entry."""
        file = _file(job_id, image.content_id, image.manifest_sha256, image.media_type)
        names = [file] if image.manifest_sha256 is None else [_manifest(image.manifest_sha256), file]
        await asyncio.to_thread(self._remove, job_id, names)

    async def sweep(self, job_id: str) -> None:
        """Removes whatever earlier workers left of a job; looks through the store, so not for every request."""
        await asyncio.to_thread(self._sweep, job_id)

    def _sweep(self, job_id: str) -> None:
        try:
            files = self._blobs.names(f"images/{job_id}-")
            digests = {digest for file in files if _DIGEST.fullmatch(digest := f"{file}.".split(".")[1])}
            manifests = [name for digest in digests for name in self._blobs.names(f"manifests/{digest}")]
        except BlobsUnavailable:
            log.warning("the store could not be searched for files of request %s", job_id)
        else:
            self._remove(job_id, (*manifests, *files))

    def _remove(self, job_id: str, names: Iterable[str]) -> None:
        """Manifests come first, and what cannot be removed stops the rest: the file is the trace by which its manifest
        is found. A store that is away is not made a second failure of."""
        for name in names:
            try:
                self._blobs.remove(name)
            except BlobsUnavailable:
                log.warning("a file of request %s could not be removed", job_id)
                return


def _file(job_id: str, content_id: str, manifest_sha256: str | None, media_type: str) -> str:
    digest = "" if manifest_sha256 is None else f".{manifest_sha256}"
    return f"images/{job_id}-{content_id}{digest}.{EXTENSIONS[media_type]}"


def _manifest(digest: str) -> str:
    return f"manifests/{digest}.c2pa"
