"""The records that verification asks: this gateway's database, files and log."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, Row, select

from gateway.signing.revocations import Revocations
from gateway.store.blobs import BlobMissing
from gateway.store.database import reading
from gateway.store.pictures import Pictures
from gateway.store.schema import images
from gateway.verifying.looks import Looks
from provenance.credentials.revocations import Revocation
from provenance.reports import KnownImage


class StoredRecords:
    """`gateway.verifying.verifier.Records`. `originals`: the stored pictures, to lay copies over."""

    def __init__(self, looks: Looks, originals: Pictures) -> None:
        self._looks = looks
        self._database = looks.database
        self._originals = originals
        self._revocations = Revocations(looks.database)

    def by_mark(self, mark: bytes) -> KnownImage | None:
        """By the mark's bytes."""
        return self._known(images.c.mark == mark.hex())

    def by_sha256(self, digest: str) -> KnownImage | None:
        """By the file's digest."""
        return self._known(images.c.sha256 == digest)

    def by_looks(self, wanted: str) -> KnownImage | None:
        """The nearest by PDQ."""
        near = self._looks.nearest(wanted)
        return self._known(images.c.content_id == near[0].content_id) if near else None

    def by_codes(self, codes: bytes) -> tuple[KnownImage, ...]:
        """Candidates by landmarks."""
        ids = self._looks.by_codes(np.frombuffer(codes, np.uint64))
        found = (self._known(images.c.content_id == content_id) for content_id in ids)
        return tuple(known for known in found if known is not None)

    def by_manifest(self, manifest_id: str) -> KnownImage | None:
        """By the manifest's id."""
        return self._known(images.c.manifest_id == manifest_id)

    def original(self, content_id: str) -> tuple[bytes, str] | None:
        """The stored file."""
        row = self._row(images.c.content_id == content_id)
        try:
            return None if row is None else (self._originals.file(row.job_id, row), row.media_type)
        except BlobMissing:  # erased, or kept no longer: the record stays
            return None

    def manifest(self, content_id: str) -> bytes | None:
        """The stored manifest."""
        row = self._row(images.c.content_id == content_id)
        try:
            return None if row is None else self._originals.manifest(row)
        except BlobMissing:
            return None

    def revocation(self, serial: str) -> Revocation | None:
        """From the log."""
        return self._revocations.of(serial)

    def _row(self, condition: ColumnElement[bool]) -> Row[Any] | None:
        with reading(self._database).connect() as connection:
            return connection.execute(select(images).where(condition)).first()

    def _known(self, condition: ColumnElement[bool]) -> KnownImage | None:
        row = self._row(condition)
        if row is None:
            return None
        return KnownImage(
            content_id=row.content_id,
            sha256=row.sha256,
            mark=bytes.fromhex(row.mark or ""),
            pdq=row.pdq,
            pdq_quality=row.pdq_quality,
            manifest_id=row.manifest_id,
            recorded_at=datetime.fromtimestamp(row.created_at, UTC),
        )
