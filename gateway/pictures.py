"""Sealed pictures in the blob store, by job: written before the log entry, removed if none is made."""

import asyncio
import logging

from gateway.exchange import ImageRequest
from gateway.store.blobs import Blobs, BlobsUnavailable
from provenance.claims import SealedImage

EXTENSIONS = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}

log = logging.getLogger("fluxgate.pictures")


class Pictures:
    """File and manifest of each picture. Names follow the job, so a second attempt replaces what the first left."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    async def keep(self, job_id: str, sealed: SealedImage) -> None:
        """Stores the sealed bytes and the bare manifest. Raises `BlobsUnavailable`."""
        await asyncio.to_thread(self._keep, job_id, sealed)

    def _keep(self, job_id: str, sealed: SealedImage) -> None:
        self._blobs.write(_file(job_id, sealed.media_type), sealed.data)
        self._blobs.write(_manifest(job_id), sealed.manifest)

    def file(self, job_id: str, media_type: str) -> bytes:
        """The file, byte for byte as signed. Raises `BlobMissing` or `BlobsUnavailable`."""
        return self._blobs.read(_file(job_id, media_type))

    def manifest(self, job_id: str) -> bytes:
        """The C2PA manifest store alone."""
        return self._blobs.read(_manifest(job_id))

    def discard(self, request: ImageRequest) -> None:
        """Removes what a failed job may have left; a store that is away is not made a second failure of."""
        try:
            self._blobs.remove(_file(request.id, request.media_type))
            self._blobs.remove(_manifest(request.id))
        except BlobsUnavailable:
            log.warning("the files of request %s could not be removed", request.id)


def _file(job_id: str, media_type: str) -> str:
    return f"images/{job_id}.{EXTENSIONS[media_type]}"


def _manifest(job_id: str) -> str:
    return f"manifests/{job_id}.c2pa"
