"""Sealed pictures in the blob store, by job and content id: written before the log entry, removed if none is made."""

import asyncio
import logging
from collections.abc import Iterable

from gateway.store.blobs import Blobs, BlobsUnavailable
from provenance.claims import SealedImage

EXTENSIONS = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}

log = logging.getLogger("fluxgate.pictures")


class Pictures:
    """File and manifest of each picture.

    Names carry the content id, which every sealing draws anew: a worker that lost its job can never write over what
    another has delivered. They begin with the job, so that whoever takes a job over finds what the first one left.
    """

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    async def keep(self, job_id: str, content_id: str, sealed: SealedImage) -> None:
        """Stores the sealed bytes and the bare manifest, both or neither. Raises `BlobsUnavailable`."""
        await asyncio.to_thread(self._keep, job_id, content_id, sealed)

    def _keep(self, job_id: str, content_id: str, sealed: SealedImage) -> None:
        try:
            self._blobs.write(_file(job_id, content_id, sealed.media_type), sealed.data)
            self._blobs.write(_manifest(job_id, content_id), sealed.manifest)
        except BlobsUnavailable:
            self._remove(job_id, (_file(job_id, content_id, sealed.media_type), _manifest(job_id, content_id)))
            raise

    def file(self, job_id: str, content_id: str, media_type: str) -> bytes:
        """The file, byte for byte as signed. Raises `BlobMissing` or `BlobsUnavailable`."""
        return self._blobs.read(_file(job_id, content_id, media_type))

    def manifest(self, job_id: str, content_id: str) -> bytes:
        """The C2PA manifest store alone."""
        return self._blobs.read(_manifest(job_id, content_id))

    async def discard(self, job_id: str, content_id: str, media_type: str) -> None:
        """Removes a picture that will have no log entry."""
        names = (_file(job_id, content_id, media_type), _manifest(job_id, content_id))
        await asyncio.to_thread(self._remove, job_id, names)

    async def sweep(self, job_id: str) -> None:
        """Removes whatever earlier workers left of a job; looks through the store, so not for every request."""
        await asyncio.to_thread(self._sweep, job_id)

    def _sweep(self, job_id: str) -> None:
        try:
            names = [name for folder in ("images", "manifests") for name in self._blobs.names(f"{folder}/{job_id}-")]
        except BlobsUnavailable:
            log.warning("the store could not be searched for files of request %s", job_id)
        else:
            self._remove(job_id, names)

    def _remove(self, job_id: str, names: Iterable[str]) -> None:
        """A store that is away is not made a second failure of."""
        for name in names:
            try:
                self._blobs.remove(name)
            except BlobsUnavailable:
                log.warning("a file of request %s could not be removed", job_id)


def _file(job_id: str, content_id: str, media_type: str) -> str:
    return f"images/{job_id}-{content_id}.{EXTENSIONS[media_type]}"


def _manifest(job_id: str, content_id: str) -> str:
    return f"manifests/{job_id}-{content_id}.c2pa"
