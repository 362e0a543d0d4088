"""What verification concludes, and how it is said to people, one sentence or two for each layer.

Finding nothing proves nothing: no sentence here says that a picture was not made by an AI system.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from provenance.credentials.reading import INACCESSIBLE, Credential, CredentialState
from provenance.credentials.revocations import Revocation
from provenance.credentials.revocations import statement as about_revocation
from provenance.credentials.validation import Identity
from provenance.labels import NO_LABELS, Labels
from provenance.looks.change_map import ChangeMap
from provenance.looks.likeness import Change, Overlay
from provenance.marks.foreign import ForeignMark
from provenance.marks.watermarkers import Detection
from provenance.signing.timestamps import statement
from provenance.standings import Standing


@dataclass(frozen=True, slots=True)
class KnownImage:
    """A record of a picture this gateway sealed. `pdq_quality`: 0 to 100. `recorded_at`: aware, None if not known.
    Holds nothing of prompt or person."""

    content_id: str
    sha256: str
    mark: bytes
    pdq: str
    pdq_quality: int
    manifest_id: str
    recorded_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RecordMatch:
    """The record that was found. `same_bytes`: the file is the delivered one, bit for bit. `distance`: PDQ bits that
    differ, None where a picture is too flat to tell. `same_picture`: by PDQ, or by laying it over the stored original;
    None where neither can tell. `same_pixels`: None where the original is kept no longer. `overlay`: how it lies on
    the original, if it was laid over it. `damaged`: the picture is not the same, and yet the file is the delivered one
    but for a few bytes."""

    known: KnownImage
    same_bytes: bool
    distance: int | None
    same_picture: bool | None
    overlay: Overlay | None = None
    same_pixels: bool | None = None
    damaged: bool = False

    @property
    def change_map(self) -> ChangeMap | None:
        """Where the file differs from the original; None where that was not compared, or is another picture."""
        return self.overlay.map if self.overlay is not None and self.same_picture else None

    def changes(self, credential: Credential) -> tuple[tuple[Change, str], ...]:
        """What was done to the delivered file, by kind and in words; nothing where the picture is not the same."""
        if self.same_bytes or not self.same_picture:
            return ()
        said: list[tuple[Change, str]] = []
        if credential.state is CredentialState.NOT_PRESENT:
            said.append((Change.METADATA_STRIPPED, "its content credential removed"))
        if self.same_pixels is False:
            said.append((Change.RE_ENCODED, "saved anew"))
        return (*said, *(self.overlay.changes if self.overlay is not None else ()))


@dataclass(frozen=True, slots=True)
class Verification:
    """One file, layer by layer. `statements`: (layer, sentence); layers metadata, labels, watermark, record, verdict.

    `pdq`: 64 hex characters, None where the picture does not open or is too plain to have one that says anything.
    `foreign`: marks of other systems.
    `revocation`: of the signing certificate, whatever it means for this file.
    """

    standing: Standing
    sha256: str
    media_type: str | None
    credential: Credential
    detection: Detection | None
    record: RecordMatch | None
    statements: tuple[tuple[str, str], ...]
    pdq: str | None = None
    labels: Labels = NO_LABELS
    foreign: tuple[ForeignMark, ...] = ()
    revocation: Revocation | None = None

    @property
    def exit_code(self) -> int:
        """See `Standing.exit_code`."""
        return self.standing.exit_code


_STATES: Final = {
    CredentialState.TRUSTED: "The content credential is intact and its signer is one this verifier trusts.",
    CredentialState.VALID: (
        "The content credential is intact, but this verifier does not know its signer: the signature shows that "
        "nothing was changed since, not who signed."
    ),
    CredentialState.INVALID: (
        "There is a content credential, and it cannot be confirmed. No hash or signature contradicts the file: this "
        "does not show that anything was changed."
    ),
    CredentialState.UNREADABLE: (
        "There may be a content credential, and it cannot be read. This does not tell how the image was made, or "
        "whether it was changed."
    ),
    CredentialState.NOT_PRESENT: "There is no content credential in the file. It may never have had one, or lost it.",
}

_ALTERED: Final = (
    "There is a content credential, and it does not hold for this file: a hash or a signature does not fit."
)
_IDENTITIES: Final = {
    Identity.CONFIRMED: "A person or organisation is named beside the signer, and that is confirmed.",
    Identity.UNCONFIRMED: (
        "A person or organisation is named beside the signer; whether rightly, cannot be checked here. That says "
        "nothing against the image."
    ),
}

_LABELLED: Final = {
    "kind": "kind",
    "source": "source_type",
    "system": "system",
    "version": "version",
    "provider": "provider",
    "time": "created",
    "id": "id",
}
_PROFILES: Final = {
    "iptc": "IPTC 2025.1",
    "eu": "EU AI Act",
    "california": "California SB 942",
    "china": "China GB 45438-2025",
}
_NO_AI_LABEL: Final = (
    "No label in the metadata says that an AI system took part. There may never have been one, or it was removed: that "
    "does not tell how the picture was made."
)
_UNSIGNED: Final = "Anyone can write or remove such labels; who stands behind them, only an intact credential tells."


def about_metadata(credential: Credential, revocation: Revocation | None = None, *, counts: bool = True) -> str:
    """What the credential says and whether it holds. `counts`: it is older than its certificate's revocation."""
    said = [_ALTERED if credential.altered else _STATES[credential.state]]
    if credential.identity in _IDENTITIES:
        said.append(_IDENTITIES[credential.identity])
    if credential.state in (CredentialState.TRUSTED, CredentialState.VALID):
        said.append(
            f"Signed by {credential.issuer or 'an unnamed signer'} with {credential.generator or 'no tool named'}."
        )
        said.append(statement(timestamped=credential.timestamped, trusted=credential.time_trusted))
    if credential.detached:
        said.append("It is kept beside the file, not in it.")
    if revocation is not None:
        said.append(about_revocation(revocation, counts=counts))
    if credential == INACCESSIBLE:
        said.append("It names one that is kept elsewhere; nothing is fetched.")
    elif credential.codes:
        said.append(f"Codes: {', '.join(credential.codes)}.")
    return " ".join(said)


def about_labels(labels: Labels) -> str:
    """What the metadata says of itself, which no signature needs to stand behind."""
    said = {name: labels.fields[field] for name, field in _LABELLED.items() if field in labels.fields}
    said |= {f"AIGC {name}": value for name, value in labels.aigc.items() if value}
    facts = "; ".join(f"{name} {value}" for name, value in said.items())
    complete = ", ".join(_PROFILES[profile] for profile in labels.profiles)
    sentences = (
        "The metadata labels the picture as made or changed by an AI system." if labels.says_ai else _NO_AI_LABEL,
        f"It says: {facts}." if facts else "",
        f"Complete for {complete}." if complete else "",
        _UNSIGNED if labels.says_ai else "",
        "Some metadata cannot be read safely and was left out." if labels.unreadable else "",
    )
    return " ".join(filter(None, sentences))


def about_watermark(detection: Detection | None, foreign: tuple[ForeignMark, ...] = ()) -> str:
    """Whether a mark was read, ours or another system's."""
    said = ["No watermark of this system was found. Cropping, scaling or heavy compression can remove it."]
    if detection is not None:
        corrected = f" ({detection.corrected_bits} bits set right)" if detection.corrected_bits else ""
        said = [f"A watermark was read: {detection.mark.hex()} by {detection.algorithm}{corrected}."]
    said += [_foreign(mark) for mark in foreign]
    return " ".join(said)


def _foreign(mark: ForeignMark) -> str:
    return (
        f"It carries the mark that {mark.writer}'s code writes ({mark.method}, {mark.bits - mark.wrong_bits} of "
        f"{mark.bits} bits agree): likely AI-generated by another system."
    )


def about_record(credential: Credential, *, asked: bool, record: RecordMatch | None) -> str:
    """Whether the file is one of ours, and how far it has changed."""
    if record is None:
        return "This gateway has no record of the picture." if asked else "No records were asked."
    which = f"Record {record.known.content_id} was found."
    if record.same_bytes:
        return f"{which} The file is the delivered one, byte for byte."
    if record.same_picture is None:
        return f"{which} The bytes differ, and there is too little to be seen to compare the picture by its looks."
    if record.same_picture:
        changes = ", ".join(words for _, words in record.changes(credential)) or "its bytes alone"
        seen = "Laid over the original, the picture is the same"
        if record.same_pixels:
            seen = "The bytes differ, and every pixel is the same"
        elif record.overlay is None:
            seen = f"The bytes differ; the picture looks the same ({record.distance} of 256 bits differ)"
        return f"{which} {seen}; changed: {changes}."
    if record.damaged:
        return f"{which} The file is the delivered one but for a few damaged bytes, which spoil the picture."
    far = "" if record.distance is None else f" ({record.distance} of 256 bits differ)"
    return (
        f"{which} The bytes differ, and so does the picture{far}: what leads to the record was copied onto another "
        "picture, or the picture was changed beyond recognition."
    )


def about_standing(
    standing: Standing,
    credential: Credential,
    detection: Detection | None,
    record: RecordMatch | None,
    foreign: tuple[ForeignMark, ...] = (),
) -> str:
    """The standing in a sentence, with what it rests on."""
    stripped = credential.state is CredentialState.NOT_PRESENT
    seen = _seen(record, credential) if standing in (Standing.OURS_ALTERED, Standing.LOOKS_LIKE_OURS) else ""
    if standing is Standing.OURS_ALTERED and stripped and detection is not None and record is not None:
        return f"{_STRIPPED}{seen}"
    if standing is Standing.OURS_INTACT and record is None:  # two bytes of a JPEG are covered by nothing
        return "Made by this system; all that its signature covers is unchanged. Only a record can tell of every byte."
    if standing is Standing.UNCHECKABLE:
        return f"{standing.sentence} It carries a watermark of this system, but there were no records to ask."
    if standing is Standing.FOREIGN and foreign:
        return f"{standing.sentence} {_foreign(foreign[0])}"
    return f"{standing.sentence}{seen}"


_STRIPPED: Final = (
    "A copy of a picture of this system, recognised by its watermark; its content credential was stripped."
)
_TO_BE_SEEN: Final = (Change.SET_INTO, Change.OVERLAID, Change.CONTENT)


def _seen(record: RecordMatch | None, credential: Credential) -> str:
    """What was added or replaced, and where."""
    changes = () if record is None else record.changes(credential)
    said = [words for kind, words in changes if kind in _TO_BE_SEEN]
    return f" It was {'; '.join(said)}." if said else ""
