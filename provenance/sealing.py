"""Seals a picture. The path, in order; any failure raises, and nothing half-done is returned:

1. show      the label everybody sees, if one is asked for
2. mark      the watermark goes into the pixels, label and all
3. encode    from here on only bytes exist
4. label     XMP, readable by any tool
5. sign      the C2PA manifest, over everything before
6. read back the finished file, as a stranger would
7. name      SHA-256, PDQ and landmarks
"""

from dataclasses import dataclass

import numpy as np

from provenance.claims import Claim, SealedImage
from provenance.credentials.manifest import definition, ingredients
from provenance.credentials.reading import Credential, CredentialState, ManifestReader
from provenance.errors import ReadBackFailed, SealError, UnreadableImage
from provenance.files.encoding import decode_own
from provenance.labels import LabelDoesNotFit, attach, draw, embedded, packet, read_labels
from provenance.looks.fingerprint import Fingerprint, sha256
from provenance.looks.landmarks import landmarks
from provenance.marks.marking import carries, mark_and_encode
from provenance.marks.watermarkers import Pixels, Watermarker
from provenance.signing.local import SignsManifests


@dataclass(frozen=True, slots=True)
class SealerSetup:
    """What sealing works with. `reader` holds our own anchor: what it does not trust is not delivered."""

    watermarker: Watermarker
    signer: SignsManifests
    reader: ManifestReader
    fingerprint: Fingerprint


def seal(parts: SealerSetup, pixels: Pixels, claim: Claim) -> SealedImage:
    """`pixels` as a finished file that carries `claim` in its watermark, its label and its signed manifest.

    `pixels`: (height, width, 3), uint8, sRGB; not changed, not kept. Raises `MarkUnreadable` if the mark cannot be read
    from the encoded file at any quality, `SigningFailed`, or `ReadBackFailed`; all are `SealError`, also raised where
    the visible label does not fit.
    """
    # 1. Show.
    shown = _show(pixels, claim)
    # 2 and 3. Mark and encode; a lossy encoding may ask for a stronger mark, or for a higher quality.
    marked = mark_and_encode(parts.watermarker, shown, claim)
    # 4. Label.
    height, width = pixels.shape[:2]
    labelled = attach(marked.data, claim.media_type, packet(claim), width=width, height=height)
    # 5. Sign.
    manifest = definition(claim, parts.watermarker.algorithm if parts.watermarker.marks else None)
    data, store = parts.signer.sign(manifest, claim.media_type, labelled, ingredients(claim), claim.detached)
    # 6. Read back.
    credential, final = _read_back(parts, data, store, claim, marked.decoded)
    # 7. Name.
    pdq_hash, pdq_quality = parts.fingerprint(final)
    return SealedImage(
        data=data,
        media_type=claim.media_type,
        width=width,
        height=height,
        sha256=sha256(data),
        pdq=pdq_hash,
        pdq_quality=pdq_quality,
        landmarks=landmarks(final),
        mark=claim.mark if parts.watermarker.marks else b"",
        mark_algorithm=parts.watermarker.algorithm if parts.watermarker.marks else "",
        manifest_id=credential.manifest_id or "",
        manifest=store,
        manifest_json=credential.manifest_json or "",
        psnr_db=_psnr_db(shown, marked.pixels),
        quality=marked.quality,
        timestamped=credential.timestamped,
    )


def _show(pixels: Pixels, claim: Claim) -> Pixels:
    if claim.visible_label is None:
        return pixels
    try:
        return draw(pixels, claim.visible_label, claim.operation)
    except LabelDoesNotFit as cause:
        raise SealError("the visible label does not fit into the picture") from cause


def _read_back(parts: SealerSetup, data: bytes, store: bytes, claim: Claim, read: Pixels) -> tuple[Credential, Pixels]:
    """What a stranger with our anchor finds in the file: the credential, the labels, and the pixels with the mark.

    `read`: the pixels from which the mark has been read already; others are read again.
    """
    credential = parts.reader.read(data, claim.media_type, None if claim.detached is None else store)
    if credential.state is not CredentialState.TRUSTED:
        raise ReadBackFailed(f"the credential reads {credential.state}: {', '.join(credential.codes) or 'no codes'}")
    if credential.timestamped and parts.reader.knows_authorities and not credential.time_trusted:
        raise ReadBackFailed("the time-stamp is not of an authority under the time-stamp anchors")
    try:
        final = decode_own(data, claim.media_type)
    except UnreadableImage as cause:
        raise ReadBackFailed("the finished file cannot be decoded") from cause
    if missing := set(claim.labels).difference(read_labels(embedded(data, claim.media_type)).profiles):
        raise ReadBackFailed(f"the labels cannot be read: {', '.join(sorted(missing))}")
    if final.shape != read.shape:
        raise ReadBackFailed("the finished picture has another size")
    if not np.array_equal(final, read) and not carries(parts.watermarker, final, claim):
        raise ReadBackFailed("the finished picture does not carry its mark")
    return credential, final


def _psnr_db(one: Pixels, other: Pixels) -> float:
    """Peak signal-to-noise ratio over all channels; infinite for equal pictures."""
    difference = np.subtract(one, other, dtype=np.float32).ravel()
    squares = float(np.dot(difference, difference))
    return float("inf") if squares == 0 else float(10 * np.log10(255**2 * difference.size / squares))
