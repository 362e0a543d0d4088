"""The records that verification asks: this gateway's database, files and log."""

from datetime import UTC, datetime

import numpy as np

from gateway.signing.revocations import Revocations
from gateway.store.blobs import BlobMissing
from gateway.store.images import Images, RecordedImage
from gateway.store.looks import Looks
from gateway.store.pictures import Pictures
from provenance.credentials.revocations import Revocation
from provenance.reports import KnownImage


class StoredRecords:
    """`gateway.verifying.verifier.Records`. `originals`: the stored pictures, to lay copies over."""

    def __init__(self, looks: Looks, originals: Pictures) -> None:
        self._looks = looks
        self._images = Images(looks.database)
        self._originals = originals
        self._revocations = Revocations(looks.database)

    def by_mark(self, mark: bytes) -> KnownImage | None:
        """By the mark's bytes."""
        return _known(self._images.by_mark(mark))

    def by_sha256(self, digest: str) -> KnownImage | None:
        """By the file's digest."""
        return _known(self._images.by_sha256(digest))

    def by_looks(self, wanted: str) -> KnownImage | None:
        """The nearest by PDQ."""
        near = self._looks.nearest(wanted)
        return _known(self._images.by_content_id(near[0].content_id)) if near else None

    def by_codes(self, codes: bytes) -> tuple[KnownImage, ...]:
        """Candidates by landmarks."""
        ids = self._looks.by_codes(np.frombuffer(codes, np.uint64))
        found = (_known(self._images.by_content_id(content_id)) for content_id in ids)
        return tuple(known for known in found if known is not None)

    def by_manifest(self, manifest_id: str) -> KnownImage | None:
        """By the manifest's id."""
        return _known(self._images.by_manifest(manifest_id))

    def original(self, content_id: str) -> tuple[bytes, str] | None:
        """The stored file and its media type."""
        found = self._images.by_content_id(content_id)
        try:
            if found is None:
                return None
            return self._originals.file(found.job_id, found.image), found.image.media_type
        except BlobMissing:  # erased, or kept no longer: the record stays
            return None

    def manifest(self, content_id: str) -> bytes | None:
        """The stored manifest."""
        found = self._images.by_content_id(content_id)
        try:
            return None if found is None else self._originals.manifest(found.job_id, found.image)
        except BlobMissing:
            return None

    def revocation(self, serial: str) -> Revocation | None:
        """From the log."""
        return self._revocations.of(serial)


def _known(found: RecordedImage | None) -> KnownImage | None:
    if found is None:
        return None
    return KnownImage(
        content_id=found.image.content_id,
        sha256=found.image.sha256,
        mark=bytes.fromhex(found.image.mark),
        pdq=found.pdq,
        pdq_quality=found.pdq_quality,
        manifest_id=found.image.manifest_id,
        recorded_at=datetime.fromtimestamp(found.created_at, UTC),
    )
