"""Checks a file from anywhere. Sealing backwards, each layer on its own; nothing is fetched and nothing is kept:

1. open      the file, within limits
2. read      the C2PA credential, under our own anchors
3. detect    the watermark
4. look up   the record, by bytes, by mark, by what the credential binds
5. compare   the record with the file
6. conclude  one verdict, and a sentence for every layer

Finding nothing proves nothing: no sentence here says that a picture was not made by an AI system.
"""

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from provenance.claims import SYSTEM
from provenance.encoding import Limits, decode
from provenance.errors import UnreadableImage
from provenance.fingerprint import PDQ_LEAST_QUALITY, PDQ_MATCH_DISTANCE, pdq, pdq_distance, sha256
from provenance.headers import read_header
from provenance.payload import MARK_BYTES
from provenance.reading import NOT_PRESENT, Credential, CredentialState, ManifestReader
from provenance.timestamps import statement
from provenance.watermarkers import Detection, Watermarker


class Verdict(StrEnum):
    """What is known about a file. `exit_code` is the shell's."""

    OURS_INTACT = "ours_intact"
    OURS_ALTERED = "ours_altered"
    FOREIGN = "foreign"
    NOT_FOUND = "not_found"
    UNCHECKABLE = "uncheckable"

    @property
    def exit_code(self) -> int:
        """0 ours and intact, 1 no mark of ours, 2 ours but altered or invalid, 3 could not check."""
        return _EXIT_CODES[self]


_EXIT_CODES: Final = {
    Verdict.OURS_INTACT: 0,
    Verdict.OURS_ALTERED: 2,
    Verdict.FOREIGN: 1,
    Verdict.NOT_FOUND: 1,
    Verdict.UNCHECKABLE: 3,
}


@dataclass(frozen=True, slots=True)
class KnownImage:
    """A record of a picture this gateway sealed. `pdq_quality`: 0 to 100. Holds nothing of prompt or person."""

    content_id: str
    sha256: str
    mark: bytes
    pdq: str
    pdq_quality: int
    manifest_id: str


@dataclass(frozen=True, slots=True)
class Lookups:
    """How records are found. `by_mark`: 8 bytes. `by_sha256`: hex of the whole file."""

    by_mark: Callable[[bytes], KnownImage | None]
    by_sha256: Callable[[str], KnownImage | None]


@dataclass(frozen=True, slots=True)
class VerifyingParts:
    """`watermarkers`: all whose marks are still to be recognised, so that retiring one is a choice. `reader`: with our
    own anchors only; what it trusts is ours. `organisation`: where that anchor also signs for others, the issuer
    that is us. `lookups`: None if there are no records to ask."""

    reader: ManifestReader
    watermarkers: tuple[Watermarker, ...]
    lookups: Lookups | None = None
    organisation: str | None = None
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True)
class RecordMatch:
    """The record that was found. `same_bytes`: the file is the delivered one, bit for bit. `distance`: PDQ bits that
    differ, None where a picture is too flat to tell. `same_picture`: None likewise."""

    known: KnownImage
    same_bytes: bool
    distance: int | None
    same_picture: bool | None


@dataclass(frozen=True, slots=True)
class Verification:
    """One file, layer by layer. `statements`: (layer, sentence), with layers metadata, watermark, record, verdict."""

    verdict: Verdict
    sha256: str
    media_type: str | None
    credential: Credential
    detection: Detection | None
    record: RecordMatch | None
    statements: tuple[tuple[str, str], ...]

    @property
    def exit_code(self) -> int:
        """See `Verdict.exit_code`."""
        return self.verdict.exit_code


def verify(parts: VerifyingParts, data: bytes) -> Verification:
    """What can be said about `data`, a file of any origin. Never raises for what is in it."""
    # 1. Open.
    digest = sha256(data)
    try:
        header = read_header(data)
        pixels = decode(data, parts.limits)
    except UnreadableImage as problem:
        return _unopened(parts, data, digest, problem)
    # 2. Read the credential.
    credential = parts.reader.read(data, header.media_type)
    # 3. Detect the mark.
    found = (watermarker.detect(pixels) for watermarker in parts.watermarkers)
    detection = next((mark for mark in found if mark is not None), None)
    # 4 and 5. Look up, and compare.
    known = _look_up(parts.lookups, digest, credential, detection)
    record = None if known is None else _compare(known, digest, *pdq(pixels))
    # 6. Conclude.
    verdict = _conclude(parts, credential, detection, record)
    statements = (
        ("metadata", _about_metadata(credential)),
        ("watermark", _about_watermark(detection)),
        ("record", _about_record(parts.lookups, record)),
        ("verdict", _about_verdict(verdict, credential, detection, record)),
    )
    return Verification(verdict, digest, header.media_type, credential, detection, record, statements)


def _unopened(parts: VerifyingParts, data: bytes, digest: str, problem: UnreadableImage) -> Verification:
    """A file that cannot be decoded. Where its container still holds a credential of ours, it is one of ours, broken."""
    credential, media_type = NOT_PRESENT, None
    if problem.field == "data":
        try:
            media_type = read_header(data).media_type
            credential = parts.reader.read(data, media_type)
        except UnreadableImage:
            media_type = None
    verdict = Verdict.OURS_ALTERED if _claims_us(parts, credential) else Verdict.UNCHECKABLE
    statements = (
        ("metadata", _about_metadata(credential)),
        ("watermark", "The watermark was not looked for: the picture does not open."),
        ("record", "No record was looked up: the picture does not open."),
        ("verdict", f"{_VERDICTS[verdict]} {problem}"),
    )
    return Verification(verdict, digest, media_type, credential, None, None, statements)


def _ours(parts: VerifyingParts, credential: Credential) -> bool:
    """Signed under our own anchor, whatever has become of the file since."""
    return credential.signer_trusted and parts.organisation in (None, credential.issuer)


def _claims_us(parts: VerifyingParts, credential: Credential) -> bool:
    """Ours, or broken and naming this system: a credential damaged in its very signature is still reported."""
    broken = credential.state is CredentialState.INVALID
    return _ours(parts, credential) or (broken and (credential.generator or "").split(" ")[0] == SYSTEM)


def _look_up(
    lookups: Lookups | None, digest: str, credential: Credential, detection: Detection | None
) -> KnownImage | None:
    if lookups is None:
        return None
    marks = [] if detection is None else [detection.mark]
    if credential.signer_trusted and credential.soft_binding is not None:  # a stranger's manifest may name any mark
        marks.extend(_mark_in(credential.soft_binding[1]))
    by_bytes = lookups.by_sha256(digest)
    return by_bytes or next((known for mark in marks if (known := lookups.by_mark(mark)) is not None), None)


def _mark_in(value: str) -> list[bytes]:
    """The mark that a soft binding of ours names, if it is one."""
    try:
        mark = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return []
    return [mark] if len(mark) == MARK_BYTES else []


def _compare(known: KnownImage, digest: str, pdq_hash: str, pdq_quality: int) -> RecordMatch:
    same_bytes = known.sha256 == digest
    if min(known.pdq_quality, pdq_quality) < PDQ_LEAST_QUALITY:
        return RecordMatch(known, same_bytes, None, True if same_bytes else None)
    distance = pdq_distance(known.pdq, pdq_hash)
    return RecordMatch(known, same_bytes, distance, distance <= PDQ_MATCH_DISTANCE)


def _conclude(
    parts: VerifyingParts, credential: Credential, detection: Detection | None, record: RecordMatch | None
) -> Verdict:
    if record is not None:
        return Verdict.OURS_INTACT if record.same_bytes else Verdict.OURS_ALTERED
    if credential.state is CredentialState.TRUSTED and _ours(parts, credential):
        return Verdict.OURS_INTACT
    if _claims_us(parts, credential):
        return Verdict.OURS_ALTERED
    if credential.state is not CredentialState.NOT_PRESENT:
        return Verdict.FOREIGN
    if detection is not None:
        return Verdict.UNCHECKABLE if parts.lookups is None else Verdict.FOREIGN
    return Verdict.NOT_FOUND


_STATES: Final = {
    CredentialState.TRUSTED: "The content credential is intact and its signer is one this verifier trusts.",
    CredentialState.VALID: (
        "The content credential is intact, but this verifier does not know its signer: the signature shows that "
        "nothing was changed since, not who signed."
    ),
    CredentialState.INVALID: "There is a content credential, and it does not hold for this file.",
    CredentialState.NOT_PRESENT: "There is no content credential in the file. It may never have had one, or lost it.",
}

_VERDICTS: Final = {
    Verdict.OURS_INTACT: "Made by this system and unchanged.",
    Verdict.OURS_ALTERED: "Comes, or claims to come, from this system, but is not as it was delivered.",
    Verdict.FOREIGN: "Carries a mark or a credential of somebody else; this gateway has no record of it.",
    Verdict.NOT_FOUND: "No mark of this system was found. That does not tell how the picture was made.",
    Verdict.UNCHECKABLE: "This could not be checked.",
}


def _about_metadata(credential: Credential) -> str:
    said = [_STATES[credential.state]]
    if credential.state in (CredentialState.TRUSTED, CredentialState.VALID):
        said.append(
            f"Signed by {credential.issuer or 'an unnamed signer'} with {credential.generator or 'no tool named'}."
        )
        said.append(statement(timestamped=credential.timestamped))
    if credential.codes:
        said.append(f"Codes: {', '.join(credential.codes)}.")
    return " ".join(said)


def _about_watermark(detection: Detection | None) -> str:
    if detection is None:
        return "No watermark of this system was found. Cropping, scaling or heavy compression can remove it."
    corrected = f" ({detection.corrected_bits} bits set right)" if detection.corrected_bits else ""
    return f"A watermark was read: {detection.mark.hex()} by {detection.algorithm}{corrected}."


def _about_record(lookups: Lookups | None, record: RecordMatch | None) -> str:
    if record is None:
        return "No records were asked." if lookups is None else "This gateway has no record of the picture."
    which = f"Record {record.known.content_id} was found."
    if record.same_bytes:
        return f"{which} The file is the delivered one, byte for byte."
    if record.same_picture is None:
        return f"{which} The bytes differ, and the picture is too plain to be compared by its looks."
    if record.same_picture:
        return f"{which} The bytes differ; the picture looks the same ({record.distance} of 256 bits differ)."
    return (
        f"{which} The bytes differ, and so does the picture ({record.distance} of 256 bits differ): the mark was "
        "copied onto another picture, or the picture was changed beyond recognition."
    )


def _about_verdict(
    verdict: Verdict, credential: Credential, detection: Detection | None, record: RecordMatch | None
) -> str:
    stripped = credential.state is CredentialState.NOT_PRESENT
    if verdict is Verdict.OURS_ALTERED and stripped and detection is not None and record is not None:
        return f"{_VERDICTS[verdict]} Recognised by its watermark; the content credential was stripped."
    if verdict is Verdict.UNCHECKABLE:
        return f"{_VERDICTS[verdict]} It carries a watermark of this system, but there were no records to ask."
    return _VERDICTS[verdict]
