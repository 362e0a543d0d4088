"""Checks files against this gateway's credentials, watermark and records; nothing of them is kept."""

from typing import Any, Protocol

from moderation.known_pictures.pdq import pdq
from provenance import confidence
from provenance.credentials.reading import ManifestReader
from provenance.credentials.revocations import Revocation
from provenance.files.encoding import FileBounds, decode_own
from provenance.looks.change_map import ChangeMap
from provenance.looks.landmarks import asked
from provenance.marks.foreign import ForeignMarks
from provenance.marks.watermarkers import Pixels, Watermarker
from provenance.reports import KnownImage, RecordMatch, Verification
from provenance.tracing import Lookups
from provenance.verification import VerifierSetup, compare, verify


class Records(Protocol):
    """What verification asks of a gateway's records. Questions are plain texts and bytes, so that they can also come
    from another process (`gateway/verifying/checks.py`)."""

    def by_mark(self, mark: bytes) -> KnownImage | None:
        """`mark`: 8 bytes."""
        ...

    def by_sha256(self, digest: str) -> KnownImage | None:
        """`digest`: hex, of the whole file."""
        ...

    def by_looks(self, wanted: str) -> KnownImage | None:
        """The nearest by PDQ. `wanted`: 64 hex characters."""
        ...

    def by_codes(self, codes: bytes) -> tuple[KnownImage, ...]:
        """Candidates by landmarks. `codes`: `provenance.looks.landmarks.asked` as bytes."""
        ...

    def by_manifest(self, manifest_id: str) -> KnownImage | None:
        """The picture that this manifest signs."""
        ...

    def original(self, content_id: str) -> tuple[bytes, str] | None:
        """File and media type; None if it is kept no longer."""
        ...

    def manifest(self, content_id: str) -> bytes | None:
        """The manifest store."""
        ...

    def revocation(self, serial: str) -> Revocation | None:
        """Of a certificate. `serial`: decimal."""
        ...


class Verifier:
    """Verification with a gateway's records behind it, or none. Safe to use from many threads.

    `records`: without them only the file itself is judged. `organisations`: see `VerifierSetup`. `foreign`: who knows
    the marks of other systems.
    """

    def __init__(
        self,
        reader: ManifestReader,
        watermarkers: tuple[Watermarker, ...],
        limits: FileBounds,
        records: Records | None = None,
        organisations: frozenset[str] = frozenset(),
        foreign: tuple[ForeignMarks, ...] = (),
    ) -> None:
        self._records = records
        lookups = None if records is None else _lookups(records)
        revocation_of = (lambda _: None) if records is None else records.revocation
        self._parts = VerifierSetup(
            reader, watermarkers, pdq, lookups, organisations, limits, foreign, revocation_of=revocation_of
        )

    def check(self, data: bytes, beside: bytes | None = None) -> Verification:
        """What can be said about a file of any origin. Never raises for what is in it. `beside`: see `verify`."""
        return verify(self._parts, data, beside)

    def compare(self, data: bytes, manifest_id: str) -> RecordMatch | None:
        """A file that opens, against one recorded picture; None without records or without that one."""
        known = None if self._records is None else self._records.by_manifest(manifest_id)
        if self._parts.lookups is None or known is None:
            return None
        return compare(self._parts, self._parts.lookups, known, data)


def _lookups(records: Records) -> Lookups:
    def original(known: KnownImage) -> Pixels | None:
        kept = records.original(known.content_id)
        return None if kept is None else decode_own(*kept)

    def file(known: KnownImage) -> bytes | None:
        kept = records.original(known.content_id)
        return None if kept is None else kept[0]

    return Lookups(
        by_mark=records.by_mark,
        by_sha256=records.by_sha256,
        by_looks=records.by_looks,
        by_points=lambda pixels: records.by_codes(asked(pixels).tobytes()),
        original=original,
        manifest=lambda known: records.manifest(known.content_id),
        file=file,
    )


def _mapped(found: ChangeMap) -> dict[str, Any]:
    """A grid over the whole file, from the top left corner, and the places of the changes in the file's pixels."""
    return {
        "columns": len(found.cells[0]),
        "rows": len(found.cells),
        "cells": [list(row) for row in found.cells],
        "changed": round(found.changed, 4),
        "regions": [
            {"kind": one.kind.value, "x": one.x, "y": one.y, "width": one.width, "height": one.height}
            | {"share": one.share}
            for one in found.regions
        ],
    }


_LABEL_FIELDS = ("kind", "source_type", "system", "version", "provider", "created", "id")


def to_dict(found: Verification) -> dict[str, Any]:
    """As it stands in answers and in `fluxgate verify --json`: a verdict, then each layer by itself, in plain words."""
    said = dict(found.statements)
    credential, labels, detection, record = found.credential, found.labels, found.detection, found.record
    changes = record.changes(credential) if record else ()
    return {
        "verdict": found.standing.value,
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
                "change_map": None if record is None or record.change_map is None else _mapped(record.change_map),
                "confidence": confidence.of_record(record),
                "explanation": said["record"],
            },
        },
    }
