"""Checks a file from anywhere. Sealing backwards, each layer on its own; nothing is fetched and nothing is kept:

1. open      the file, within limits
2. read      the C2PA credential, under our own anchors, and the labels
3. detect    the watermark, and marks of other systems
4. look up   the record, by bytes, by mark, by what the credential binds
5. compare   the record with the file: by hash, and laid over the original, which also tells what was done to it
6. conclude  one standing, and a sentence for every layer
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from provenance.claims import SYSTEM
from provenance.credentials.reading import NOT_PRESENT, Credential, CredentialState, ManifestReader
from provenance.credentials.revocations import Revocation, still_counts
from provenance.errors import UnreadableImage
from provenance.files.encoding import FileBounds, decode
from provenance.files.headers import read_header
from provenance.labels import embedded, read_labels
from provenance.looks.fingerprint import PDQ_LEAST_QUALITY, Fingerprint, sha256
from provenance.marks.foreign import ForeignMark, ForeignMarks
from provenance.marks.watermarkers import Detection, Watermarker
from provenance.reports import (
    KnownImage,
    RecordMatch,
    Verification,
    about_labels,
    about_metadata,
    about_record,
    about_standing,
    about_watermark,
)
from provenance.standings import Standing
from provenance.tracing import Lookups, compare_with, look_for, look_up


@dataclass(frozen=True, slots=True)
class VerifierSetup:
    """`watermarkers`: all whose marks are still to be recognised, so that retiring one is a choice. `reader`: with our
    own anchors only; what it trusts is ours. `organisations`: those of them that are us, for an anchor may sign for
    others, too; empty for all. `lookups`: None if there are no records to ask. `foreign`: who knows the marks of other
    systems. `revocation_of`: the revocation of a certificate of ours by its serial number (decimal)."""

    reader: ManifestReader
    watermarkers: tuple[Watermarker, ...]
    fingerprint: Fingerprint
    lookups: Lookups | None = None
    organisations: frozenset[str] = frozenset()
    limits: FileBounds = field(default_factory=FileBounds)
    foreign: tuple[ForeignMarks, ...] = ()
    revocation_of: Callable[[str], Revocation | None] = lambda _: None


def verify(parts: VerifierSetup, data: bytes, beside: bytes | None = None) -> Verification:
    """What can be said about `data`, a file of any origin. `beside`: a manifest store that came along, if one did.

    Never raises for what is in it; what a lookup raises, when records cannot be asked, passes through.
    """
    # 1. Open.
    digest = sha256(data)
    try:
        header = read_header(data)
        pixels = decode(data, parts.limits)
    except UnreadableImage as problem:
        return _unopened(parts, data, digest, problem)
    # 2. Read the credential, and the labels.
    credential = parts.reader.read(data, header.media_type, beside)
    labels = read_labels(embedded(data, header.media_type))
    # 3. Detect the mark, and those of other systems.
    found = (watermarker.detect(pixels) for watermarker in parts.watermarkers)
    detection = next((mark for mark in found if mark is not None), None)
    foreign = tuple(mark for reader in parts.foreign for mark in reader.read(pixels))
    # 4 and 5. Look up, and compare.
    known = look_up(parts.lookups, digest, credential, detection)
    delivered = known if known is not None and known.sha256 == digest else None
    if delivered and parts.lookups and credential.state is CredentialState.NOT_PRESENT:
        credential = parts.reader.read(data, header.media_type, parts.lookups.manifest(delivered))
    revocation = _revocation(parts, credential)
    pdq_hash, pdq_quality = (delivered.pdq, delivered.pdq_quality) if delivered else parts.fingerprint(pixels)
    told = pdq_quality >= PDQ_LEAST_QUALITY
    record, by_looks = None, False
    if parts.lookups is not None and known is not None:
        grid = detection.grid if detection is not None and detection.mark == known.mark else None
        record = compare_with(parts.lookups, known, digest, pixels, pdq_hash, pdq_quality, grid, data)
    elif parts.lookups is not None and detection is None:
        record = look_for(parts.lookups, pixels, pdq_hash if told else None)
        by_looks = record is not None
    # 6. Conclude.
    counts = revocation is None or still_counts(revocation, credential, _recorded_at(record))
    standing = _conclude(parts, credential, detection, record, foreign, by_looks=by_looks, counts=counts)
    statements = (
        ("metadata", about_metadata(credential, revocation, counts=counts)),
        ("labels", about_labels(labels)),
        ("watermark", about_watermark(detection, foreign)),
        ("record", about_record(credential, asked=parts.lookups is not None, record=record)),
        ("verdict", about_standing(standing, credential, detection, record, foreign)),
    )
    pdq = pdq_hash if told else None
    return Verification(
        standing, digest, header.media_type, credential, detection, record, statements, pdq, labels, foreign, revocation
    )


def compare(parts: VerifierSetup, lookups: Lookups, known: KnownImage, data: bytes) -> RecordMatch:
    """Step 5 alone, against a record that was found otherwise. Raises `UnreadableImage`."""
    pixels = decode(data, parts.limits)
    return compare_with(lookups, known, sha256(data), pixels, *parts.fingerprint(pixels), data=data)


def _unopened(parts: VerifierSetup, data: bytes, digest: str, problem: UnreadableImage) -> Verification:
    """A file that cannot be decoded. Where its container still holds a credential of ours, it is ours, broken."""
    credential, media_type = NOT_PRESENT, None
    if problem.field == "data":
        try:
            media_type = read_header(data).media_type
            credential = parts.reader.read(data, media_type)
        except UnreadableImage:
            media_type = None
    revocation = _revocation(parts, credential)
    counts = revocation is None or still_counts(revocation, credential, None)
    standing = Standing.OURS_ALTERED if counts and _claims_us(parts, credential) else Standing.UNCHECKABLE
    statements = (
        ("metadata", about_metadata(credential, revocation, counts=counts)),
        ("labels", "Labels were not looked for: the picture does not open."),
        ("watermark", "The watermark was not looked for: the picture does not open."),
        ("record", "No record was looked up: the picture does not open."),
        ("verdict", f"{standing.sentence} {problem}"),
    )
    return Verification(standing, digest, media_type, credential, None, None, statements, revocation=revocation)


def _ours(parts: VerifierSetup, credential: Credential) -> bool:
    """Signed under our own anchor, whatever has become of the file since."""
    return credential.signer_trusted and (not parts.organisations or credential.issuer in parts.organisations)


def _claims_us(parts: VerifierSetup, credential: Credential) -> bool:
    """Ours, or broken and naming this system: a credential damaged in its very signature is still reported."""
    broken = credential.state is CredentialState.INVALID
    return _ours(parts, credential) or (broken and (credential.generator or "").split(" ")[0] == SYSTEM)


def _revocation(parts: VerifierSetup, credential: Credential) -> Revocation | None:
    if credential.certificate_serial is None or not _ours(parts, credential):
        return None
    return parts.revocation_of(credential.certificate_serial)


def _recorded_at(record: RecordMatch | None) -> datetime | None:
    return record.known.recorded_at if record is not None and record.same_bytes else None


def _conclude(
    parts: VerifierSetup,
    credential: Credential,
    detection: Detection | None,
    record: RecordMatch | None,
    foreign: tuple[ForeignMark, ...],
    *,
    by_looks: bool,
    counts: bool,
) -> Standing:
    """`by_looks`: nothing but its looks led to the record. `counts`: the signature's certificate is not revoked, or
    was not when it signed. A mark alone, or a credential alone, is never ours: what it leads to must be compared."""
    if record is not None and record.same_bytes:
        return Standing.OURS_INTACT if counts else Standing.REVOKED
    claims_us = counts and _claims_us(parts, credential)
    broken = credential.state is CredentialState.INVALID
    other = record is not None and record.same_picture is False and not record.damaged
    if other and (broken or not claims_us):
        return Standing.COPIED_CREDENTIAL if counts and _ours(parts, credential) else Standing.COPIED_MARK
    if (
        record is not None
        and by_looks
        and credential.state in (CredentialState.NOT_PRESENT, CredentialState.UNREADABLE)
    ):
        return Standing.LOOKS_LIKE_OURS
    if record is not None and not by_looks:
        compared = record.same_picture is not None or credential.state is CredentialState.TRUSTED
        both = claims_us and detection is not None and record.same_pixels is None
        return Standing.OURS_ALTERED if compared or both else Standing.CANNOT_TELL
    if not counts:
        return Standing.REVOKED
    if credential.state is CredentialState.TRUSTED and _ours(parts, credential):
        return Standing.OURS_INTACT
    if claims_us:  # a mark and a broken credential, each of which could be copied, or a credential alone
        return Standing.OURS_ALTERED if detection is not None or record is not None else Standing.CANNOT_TELL
    unread = credential.state is CredentialState.UNREADABLE
    if (unread or broken) and detection is not None and parts.lookups is None:
        return Standing.OURS_ALTERED  # too broken to name its signer, around a picture that carries our mark
    if unread and detection is None and not foreign:
        return Standing.UNREADABLE_CREDENTIAL
    if credential.state is not CredentialState.NOT_PRESENT:
        return Standing.FOREIGN
    if detection is not None:
        return Standing.UNCHECKABLE if parts.lookups is None else Standing.FOREIGN
    return Standing.FOREIGN if foreign else Standing.NOT_FOUND
