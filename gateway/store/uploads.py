"""The table of uploads: images that callers sent in, until they expire. Everything here blocks."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Engine as Database
from sqlalchemy import delete, func, insert, select

from gateway.errors import GatewayError
from gateway.store.database import reading
from gateway.store.schema import uploads


class QuotaReached(GatewayError):
    """The tenant would have more bytes kept than it may."""


@dataclass(frozen=True, slots=True)
class Upload:
    """An image or mask that was taken in. Sizes in pixels and bytes; `created_at`: Unix seconds."""

    id: str
    tenant: str
    file_name: str
    media_type: str
    width: int
    height: int
    size: int
    sha256: str
    created_at: float


class UploadTable:
    """Rows of uploads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, upload: Upload, quota_bytes: int) -> None:
        """Adds a row. Raises `QuotaReached` if the tenant's uploads would be larger than `quota_bytes` together."""
        kept = select(func.coalesce(func.sum(uploads.c.size), 0)).where(uploads.c.tenant == upload.tenant)
        with self._database.begin() as connection:
            if connection.execute(kept).scalar_one() + upload.size > quota_bytes:
                raise QuotaReached
            connection.execute(insert(uploads).values(asdict(upload)))

    def find(self, upload_id: str, tenant: str | None = None) -> Upload | None:
        """The upload, or None; `tenant`: only if it is this one's."""
        if not upload_id.isprintable():  # PostgreSQL takes no NUL, not even to look for it
            return None
        query = select(uploads).where(uploads.c.id == upload_id)
        if tenant is not None:
            query = query.where(uploads.c.tenant == tenant)
        with reading(self._database).connect() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else Upload(**row._mapping)

    def older_than(self, created_before: float, most: int = 100) -> Sequence[Upload]:
        """Up to `most` uploads from before a time, Unix seconds."""
        query = select(uploads).where(uploads.c.created_at < created_before).limit(most)
        with reading(self._database).connect() as connection:
            return [Upload(**row._mapping) for row in connection.execute(query)]

    def delete(self, upload_ids: Collection[str]) -> None:
        """Deletes rows; their files must be gone before."""
        with self._database.begin() as connection:
            connection.execute(delete(uploads).where(uploads.c.id.in_(upload_ids)))
