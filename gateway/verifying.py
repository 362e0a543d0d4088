"""Checks files against this gateway's credentials, watermark and records; nothing of them is kept."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Engine, Row, inspect, select

from gateway.looks import Looks
from gateway.pictures import Pictures
from gateway.settings import Settings
from gateway.store.blobs import BlobMissing
from gateway.store.database import reading
from gateway.store.schema import images
from moderation.pdq import pdq
from provenance import confidence
from provenance.certificates import chain_pem, load_chain
from provenance.encoding import Limits, decode_own
from provenance.foreign_marks import ForeignMarks
from provenance.log.tables import leaf_of, log_entries
from provenance.reading import ManifestReader
from provenance.reports import KnownImage, RecordMatch, Verification
from provenance.revocations import Revocation, read_revocation, revocation_id
from provenance.tracing import Lookups
from provenance.verification import VerifyingParts, compare, verify
from provenance.watermarkers import Pixels, Watermarker


class Verifier:
    """Verification with this gateway's records behind it, or none. Safe to use from many threads.

    `looks`: the records; without them only the file itself is judged. `originals`: the stored pictures, to lay copies
    over. `organisations`: see `VerifyingParts`. `foreign`: who knows the marks of other systems.
    """

    def __init__(
        self,
        reader: ManifestReader,
        watermarkers: tuple[Watermarker, ...],
        limits: Limits,
        looks: Looks | None = None,
        originals: Pictures | None = None,
        organisations: frozenset[str] = frozenset(),
        foreign: tuple[ForeignMarks, ...] = (),
    ) -> None:
        self._looks = looks
        lookups = None if looks is None else _lookups(looks, originals)
        self._parts = VerifyingParts(reader, watermarkers, pdq, lookups, organisations, limits, foreign)
        if looks is not None:
            self._parts = replace(self._parts, revocation_of=Revocations(looks.engine).of)

    def check(self, data: bytes, beside: bytes | None = None) -> Verification:
        """What can be said about a file of any origin. Never raises for what is in it. `beside`: see `verify`."""
        return verify(self._parts, data, beside)

    def compare(self, data: bytes, manifest_id: str) -> RecordMatch | None:
        """A file that opens, against one recorded picture; None without records or without that one."""
        lookups = self._parts.lookups
        known = None if self._looks is None else _known(self._looks.engine, images.c.manifest_id == manifest_id)
        if lookups is None or known is None:
            return None
        return compare(self._parts, lookups, known, data)


class Revocations:
    """The revoked certificates in the log on this database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = reading(engine)
        self._is_there = False

    def of(self, serial: str) -> Revocation | None:
        """The revocation of a certificate, None if there is none. `serial`: decimal."""
        self._is_there = self._is_there or inspect(self._engine).has_table(log_entries.name)
        leaf = leaf_of(self._engine, revocation_id(serial)) if self._is_there else None  # no log yet: nothing revoked
        return None if leaf is None else read_revocation(leaf)


def timestamp_anchors_pem(settings: Settings) -> str:
    """The roots whose time-stamps count. Raises `CertificateProblem` if the file holds no certificate."""
    file = settings.timestamp_anchors
    return "" if file is None else chain_pem(load_chain(file))


def _lookups(looks: Looks, originals: Pictures | None) -> Lookups:
    engine = looks.engine

    def by_looks(wanted: str) -> KnownImage | None:
        near = looks.nearest(wanted)
        return _known(engine, images.c.content_id == near[0].content_id) if near else None

    def by_points(pixels: Pixels) -> tuple[KnownImage, ...]:
        found = (_known(engine, images.c.content_id == content_id) for content_id in looks.by_points(pixels))
        return tuple(known for known in found if known is not None)

    def row_of(known: KnownImage) -> Row[Any]:
        with reading(engine).connect() as connection:
            return connection.execute(select(images).where(images.c.content_id == known.content_id)).one()

    def original(known: KnownImage) -> Pixels | None:
        row = row_of(known)
        try:
            return None if originals is None else decode_own(originals.file(row.job_id, row), row.media_type)
        except BlobMissing:  # erased, or kept no longer: the record stays
            return None

    def manifest(known: KnownImage) -> bytes | None:
        try:
            return None if originals is None else originals.manifest(row_of(known))
        except BlobMissing:
            return None

    return Lookups(
        by_mark=lambda mark: _known(engine, images.c.mark == mark.hex()),
        by_sha256=lambda digest: _known(engine, images.c.sha256 == digest),
        by_looks=by_looks,
        by_points=by_points,
        original=original,
        manifest=manifest,
    )


def _known(engine: Engine, condition: ColumnElement[bool]) -> KnownImage | None:
    with reading(engine).connect() as connection:
        row = connection.execute(select(images).where(condition)).first()
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


_LABEL_FIELDS = ("kind", "source_type", "system", "version", "provider", "created", "id")


def to_dict(found: Verification) -> dict[str, Any]:
    """As it stands in answers and in `fluxgate verify --json`: a verdict, then each layer by itself, in plain words."""
    said = dict(found.statements)
    credential, labels, detection, record = found.credential, found.labels, found.detection, found.record
    changes = record.changes(credential) if record else ()
    return {
        "verdict": found.verdict.value,
        "summary": said["verdict"],
        "sha256": found.sha256,
        "media_type": found.media_type,
        "layers": {
            "metadata": {
                "state": credential.state.value,
                "issuer": credential.issuer,
                "generator": credential.generator,
                "manifest_id": credential.manifest_id,
                "timestamped": credential.timestamped,
                "signed_at": credential.signed_at,
                "time_trusted": credential.time_trusted,
                "revoked_since": None if found.revocation is None else found.revocation.since.isoformat(),
                "altered": credential.altered,
                "identity": credential.identity.value,
                "codes": list(credential.codes),
                "confidence": confidence.of_metadata(credential),
                "explanation": said["metadata"],
            },
            "labels": {
                "says_ai": labels.says_ai,
                "profiles": list(labels.profiles),
                **{field: labels.fields.get(field) for field in _LABEL_FIELDS},
                "aigc": dict(labels.aigc) or None,
                "confidence": confidence.of_labels(labels, credential),
                "explanation": said["labels"],
            },
            "watermark": {
                "detected": detection is not None,
                "mark": detection.mark.hex() if detection else None,
                "algorithm": detection.algorithm if detection else None,
                "foreign": [
                    {"writer": mark.writer, "method": mark.method, "bits": mark.bits, "wrong_bits": mark.wrong_bits}
                    | {"confidence": confidence.of_foreign(mark)}
                    for mark in found.foreign
                ],
                "confidence": confidence.of_watermark(detection),
                "explanation": said["watermark"],
            },
            "record": {
                "found": record is not None,
                "content_id": record.known.content_id if record else None,
                "same_bytes": record.same_bytes if record else None,
                "same_picture": record.same_picture if record else None,
                "pdq_distance": record.distance if record else None,
                "changes": [words for _, words in changes],
                "alterations": [kind.value for kind, _ in changes],
                "confidence": confidence.of_record(record),
                "explanation": said["record"],
            },
        },
    }
