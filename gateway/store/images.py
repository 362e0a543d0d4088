"""The table of images: what is known of each sealed image, found by its names. Everything here blocks."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import ColumnElement, select
from sqlalchemy import Engine as Database

from gateway.exchange import StoredImage
from gateway.store.database import reading
from gateway.store.schema import images, uploads


@dataclass(frozen=True, slots=True)
class RecordedImage:
    """An image with its record. `held`: it does not leave until a reviewer released it. `created_at`: Unix seconds.
    `pdq`: 64 hex characters; `pdq_quality`: 0 to 100."""

    job_id: str
    held: bool
    created_at: float
    pdq: str
    pdq_quality: int
    image: StoredImage


class Images:
    """Looks images up. None for what is not there; held images are found too unless `delivered` is asked for."""

    def __init__(self, database: Database) -> None:
        self._database = reading(database)

    def by_content_id(self, content_id: str, *, delivered: bool = False) -> RecordedImage | None:
        """By the id that the watermark carries a short form of."""
        return self._one(images.c.content_id == content_id, content_id, delivered=delivered)

    def by_manifest(self, manifest_id: str, *, delivered: bool = False) -> RecordedImage | None:
        """By the id of its C2PA manifest."""
        return self._one(images.c.manifest_id == manifest_id, manifest_id, delivered=delivered)

    def by_mark(self, mark: bytes, algorithm: str | None = None, *, delivered: bool = False) -> RecordedImage | None:
        """By the watermark's payload; `algorithm`: only if this one wrote it."""
        condition = images.c.mark == mark.hex()
        if algorithm is not None:
            condition &= images.c.mark_algorithm == algorithm
        return self._one(condition, delivered=delivered)

    def by_sha256(self, digest: str) -> RecordedImage | None:
        """By the digest of the file as it was delivered, in hex."""
        return self._one(images.c.sha256 == digest)

    def jobs_of(self, tenant: str, upload_ids: Collection[str]) -> frozenset[str]:
        """Ids of the jobs whose images these uploads of the tenant are, byte for byte."""
        query = (
            select(images.c.job_id)
            .join(uploads, (uploads.c.sha256 == images.c.sha256) & (uploads.c.tenant == images.c.tenant))
            .where(images.c.tenant == tenant, uploads.c.id.in_(upload_ids))
        )
        with self._database.connect() as connection:
            return frozenset(connection.execute(query).scalars())

    def _one(self, condition: ColumnElement[bool], name: str = "", *, delivered: bool = False) -> RecordedImage | None:
        if name and not name.isprintable():  # PostgreSQL takes no NUL, not even to look for it
            return None
        query = select(images).where(condition)
        if delivered:
            query = query.where(images.c.held.is_(False))
        with self._database.connect() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        return RecordedImage(
            job_id=row.job_id,
            held=row.held,
            created_at=row.created_at,
            pdq=row.pdq,
            pdq_quality=row.pdq_quality,
            image=StoredImage(
                content_id=row.content_id,
                media_type=row.media_type,
                sha256=row.sha256,
                manifest_id=row.manifest_id,
                manifest_sha256=row.manifest_sha256,
                mark=row.mark or "",
                width=row.width,
                height=row.height,
                model=row.model,
                quality=row.quality,
            ),
        )
