"""Pictures callers send in to start from: decoded within limits and screened before anything of them is kept."""

import asyncio
import hashlib
import logging
import math
import secrets
from base64 import b32encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath
from typing import cast

import numpy as np
from sqlalchemy import Connection
from sqlalchemy import Engine as Database
from sqlalchemy.exc import SQLAlchemyError

from gateway.auth.identity import Principal
from gateway.errors import BadRequest, NotFound, ScreeningUnanswered
from gateway.exchange import ImageRequest
from gateway.statements import Statement, UploadRefused, only_unanswered, state
from gateway.stations.credentials import CredentialReport, Credentials
from gateway.stations.rulebook import Rulebook
from gateway.stations.screening import Screening
from gateway.stations.seen import Seen
from gateway.store.blobs import Blobs, BlobsUnavailable
from gateway.store.decisions import keep
from gateway.store.pictures import EXTENSIONS
from gateway.store.uploads import QuotaReached, Upload, UploadTable
from gateway.version import SYSTEM_VERSION
from inference.engines import Mask, Pixels
from policies.evaluate import evaluate
from policies.findings import Finding, Stage
from policies.policy import Policy
from policies.verdicts import Decision
from provenance.claims import MediaType, Source
from provenance.files.encoding import FileBounds, decode, decode_mask, encode
from provenance.files.headers import read_header
from provenance.log import entries
from provenance.log.ledger import Ledger
from provenance.marks.foreign import ForeignMarks

log = logging.getLogger("fluxgate.uploads")

IN_WORK_SECONDS = 3600.0
"""An expired upload stays so much longer for the jobs that were accepted with it."""


@dataclass(frozen=True, slots=True, eq=False)
class OpenedUpload:
    """An upload ready for use. `source`: the file as sent in, kept as an ingredient. `findings`: on its credential."""

    source: Source
    pixels: Pixels
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Sent:
    """The pictures of one request: the one to change, where to change it, and those to look at."""

    parent: OpenedUpload | None
    mask: Mask | None
    references: tuple[OpenedUpload, ...]

    @property
    def pictures(self) -> tuple[OpenedUpload, ...]:
        """What the model will see; a mask is read as places and not as a picture."""
        return (*(() if self.parent is None else (self.parent,)), *self.references)


@dataclass(frozen=True, slots=True)
class Taken:
    """An upload that was taken in, and what was read of its credential and its pixels; nothing of a mask's.

    `foreign_marks`: the systems whose marks it carries.
    """

    upload: Upload
    credential: CredentialReport | None = None
    foreign_marks: tuple[str, ...] = ()


class Uploads:
    """`limits`: bounds checked before a codec sees the file. `foreign`: who knows the marks of other systems."""

    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        screening: Screening,
        credentials: Credentials,
        rulebook: Rulebook,
        ledger: Ledger,
        limits: FileBounds,
        clock: Callable[[], datetime],
        foreign: tuple[ForeignMarks, ...] = (),
        *,
        ttl_seconds: float,
        quota_bytes: int,
    ) -> None:
        self._table = UploadTable(database)
        self._ledger = ledger
        self._blobs = blobs
        self._screening = screening
        self._credentials = credentials
        self._rulebook = rulebook
        self._seen = Seen(screening, rulebook.base.digest, clock)
        self.limits = limits
        self._clock = clock
        self._foreign = foreign
        self._ttl_seconds = ttl_seconds
        self._quota_bytes = quota_bytes

    async def take(self, who: Principal, data: bytes, file_name: str, dialect: str) -> Taken:
        """Checks, screens and stores a picture. Raises UnreadableImage, UploadRefused, ScreeningUnanswered.

        One that is not taken leaves an entry in the log. A policy that would hold a picture refuses an upload: there is
        nothing a reviewer could release. Of one that is taken its row, and whose marks it carries: information for the
        caller, who may have to keep them; the file itself is kept as it came.
        """
        pixels = await asyncio.to_thread(decode, data, self.limits)
        upload_id = f"upl_{b32encode(secrets.token_bytes(15)).decode().lower()}"
        media_type = cast("MediaType", read_header(data).media_type)
        credential = await asyncio.to_thread(self._credentials.report, Source(data, media_type))
        findings = (*await self._seen.findings(data, pixels), *credential.findings)
        policy = self._rulebook.policy_for(who.tenant, subject=upload_id)
        decision = evaluate(policy, findings, stage=Stage.INPUT_IMAGE, assurance=int(who.assurance))
        if decision.stops:
            silence = only_unanswered(decision)
            digest = hashlib.sha256(data).digest()
            stated = state(decision, Stage.INPUT_IMAGE, policy, upload_id, self._screening.appeals)
            told = None if silence else stated
            await asyncio.to_thread(self._record, who, upload_id, dialect, policy, decision, digest, told)
            if silence:
                raise ScreeningUnanswered
            raise UploadRefused(stated)
        marks = await asyncio.to_thread(self._marks_in, pixels)
        row = await asyncio.to_thread(self._store, upload_id, who, file_name, media_type, pixels, data)
        return Taken(row, credential, marks)

    async def take_mask(self, who: Principal, data: bytes, file_name: str, field: str = "file") -> Upload:
        """Stores a mask, reduced to what it is: places that are open or not, one bit each.

        Raises `UnreadableImage`, or `BadRequest` on `field` for a mask that opens nothing.

        Nothing else of the file is kept, so there is no picture to screen; classifiers that look at silhouettes see
        weapons in rectangles.
        """
        places = await asyncio.to_thread(decode_mask, data, self.limits)
        if not (places > _HALF).any():
            raise BadRequest(field, "opens nothing", "Paint white, or cut a hole, where the picture is to be changed")
        pixels = np.repeat(np.where(places > _HALF, np.uint8(255), np.uint8(0))[:, :, None], 3, 2)
        upload_id = f"upl_{b32encode(secrets.token_bytes(15)).decode().lower()}"
        kept = await asyncio.to_thread(encode, pixels, "image/png", 100)
        return await asyncio.to_thread(self._store, upload_id, who, file_name, "image/png", pixels, kept)

    def _marks_in(self, pixels: Pixels) -> tuple[str, ...]:
        return tuple(mark.writer for reader in self._foreign for mark in reader.read(pixels))

    def _record(
        self,
        who: Principal,
        upload_id: str,
        dialect: str,
        policy: Policy,
        decision: Decision,
        digest: bytes,
        told: Statement | None,
    ) -> None:
        """`told`: what the caller is told; None where a classifier was silent."""
        now, salt = self._clock(), secrets.token_bytes(entries.SALT_BYTES)
        said = {"principal": f"{who.tenant}/{who.key_id}".encode(), "upload": digest}
        entry = entries.Entry(
            request_id=upload_id,
            outcome=entries.EntryKind.REFUSED if told else entries.EntryKind.FAILED,
            time=now,
            dialect=dialect,
            stage=Stage.INPUT_IMAGE.value,
            policy=policy.name,
            policy_digest=policy.digest,
            verdict=decision.verdict,
            reasons=decision.reasons,
            shadows=decision.shadows,
            system_version=SYSTEM_VERSION,
            failure=None if told else "screening_unanswered",
            commitments={name: entries.commit(salt, name, value) for name, value in said.items()},
        )

        def alongside(connection: Connection) -> None:
            if told is not None:
                connection.execute(keep(told, upload_id, who.tenant, now.timestamp()))

        self._ledger.record(entry, alongside, salt=salt)

    def _store(
        self, upload_id: str, who: Principal, file_name: str, media_type: str, pixels: Pixels, data: bytes
    ) -> Upload:
        """Raises `BadRequest` if the tenant would have more kept here than may be."""
        upload = Upload(
            id=upload_id,
            tenant=who.tenant,
            file_name=_safe_name(file_name, media_type),
            media_type=media_type,
            width=pixels.shape[1],
            height=pixels.shape[0],
            size=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            created_at=self._clock().timestamp(),
        )
        name = blob_name(upload_id, media_type)
        self._blobs.write(name, data)
        try:
            self._table.add(upload, self._quota_bytes)
        except QuotaReached as refusal:
            self._blobs.remove(name)
            hours = math.ceil((self._ttl_seconds + IN_WORK_SECONDS) / 3600)
            problem = f"does not fit: at most {self._quota_bytes} bytes of images are kept for you at once"
            raise BadRequest("file", problem, f"Wait: each is deleted after {hours} hours") from refusal
        except SQLAlchemyError:
            self._blobs.remove(name)
            raise
        return upload

    async def keep(self) -> None:
        """Deletes what has expired, every minute, until it is cancelled."""
        while True:
            try:
                await asyncio.to_thread(self.delete_expired)
            except (SQLAlchemyError, BlobsUnavailable) as failure:
                log.warning("expired uploads could not be deleted: %s", type(failure).__name__)
            await asyncio.sleep(60)

    def delete_expired(self) -> None:
        """Deletes expired files, then their rows; blocks. What was made from them keeps its entry and its manifest."""
        over = self._clock().timestamp() - self._ttl_seconds - IN_WORK_SECONDS
        while expired := self._table.older_than(over):
            for each in expired:
                self._blobs.remove(blob_name(each.id, each.media_type))
            self._table.delete([each.id for each in expired])

    async def open(self, request: ImageRequest, tenant: str) -> Sent:
        """The request's pictures, decoded anew. Raises `NotFound`, or what the blob store and the decoder raise."""
        if not request.uploads:
            return _NOTHING_SENT
        return await asyncio.to_thread(self._open_all, request, tenant)

    def _open_all(self, request: ImageRequest, tenant: str) -> Sent:
        mask = None
        if request.mask is not None:
            mask = decode_mask(self._source(request.mask, tenant).data, self.limits)
        wanted = (*filter(None, (request.upload,)), *request.references)
        # Whatever their credentials are, here it is decided what of them goes into the manifest: before drawing.
        edits = request.upload is not None
        media_type = cast("MediaType", request.media_type)
        sources = self._credentials.settle([self._source(each, tenant) for each in wanted], media_type, edits=edits)
        opened = tuple(map(self._open, sources))
        return Sent(opened[0], mask, opened[1:]) if edits else Sent(None, mask, opened)

    def _open(self, source: Source) -> OpenedUpload:
        return OpenedUpload(source, decode(source.data, self.limits), self._credentials.report(source).findings)

    async def screened(self, picture: OpenedUpload) -> tuple[Finding, ...]:
        """Everything that is found in a picture sent in: by the classifiers, and in its credential."""
        return (*await self._seen.findings(picture.source.data, picture.pixels), *picture.findings)

    def _source(self, upload_id: str, tenant: str) -> Source:
        row = self.row(upload_id, tenant, in_work=True)
        media_type = cast("MediaType", row.media_type)
        return Source(self._blobs.read(blob_name(row.id, media_type)), media_type)

    def row(self, upload_id: str, tenant: str | None = None, *, in_work: bool = False) -> Upload:
        """What is known of an upload; `tenant` None is for whoever holds a signed link. Raises `NotFound`, also for one
        that has expired, unless a job that was accepted before is `in_work` on it.
        """
        found = self._table.find(upload_id, tenant)
        if found is None or (not in_work and found.created_at < self._clock().timestamp() - self._ttl_seconds):
            raise NotFound("upload")
        return found

    def file(self, upload_id: str) -> tuple[bytes, str]:
        """Bytes and media type, for a signed link."""
        row = self.row(upload_id)
        return self._blobs.read(blob_name(row.id, row.media_type)), row.media_type


_HALF = 127

_NOTHING_SENT = Sent(None, None, ())


def blob_name(upload_id: str, media_type: str) -> str:
    """Where an upload lies in the blob store."""
    return f"uploads/{upload_id}.{EXTENSIONS[media_type]}"


def _safe_name(file_name: str, media_type: str) -> str:
    """The caller's name for the file without folders or odd characters; it is shown, never used as a path."""
    stem = "".join(c for c in PurePath(file_name.replace("\\", "/")).stem if c.isalnum() or c in " ._-")[:80].strip()
    return f"{stem or 'picture'}.{EXTENSIONS[media_type]}"
