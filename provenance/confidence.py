"""How far each layer of a verification can be relied on: a number in [0, 1], with its meaning and origin. Pure.

A layer that found nothing has confidence 0: it vouches for nothing. None: it cannot tell, or the part does not say.

- metadata    1 if the credential's signature and hashes hold for this file. Whose it is, its state says.
- labels      that of the metadata, which covers them; 0 without a credential.
- watermark   1 less the probability that the whole search mistakes an unmarked picture: it carries *a* mark, which can
              have been copied from another picture.
- record      1 less the bound below of the probability that a different picture is taken for the recorded one.

The bounds are one-sided, at 95 % (Clopper and Pearson 1934), on the share of different pictures taken for copies, in
the worse of the two kinds measured. They hold for one comparison: a search of many records makes as many.
"""

from typing import Final

from provenance.credentials.reading import Credential, CredentialState
from provenance.labels import Labels
from provenance.looks.fingerprint import PDQ_MATCH_DISTANCE
from provenance.marks.foreign import ForeignMark
from provenance.marks.watermarkers import Detection
from provenance.reports import RecordMatch

_MISTAKEN_BY_PDQ: Final = 3.3e-4
"""None of 9,180 pairs of pictogram scenes, the nearest 44 bits apart; none of 300 of photographs, 106 bits."""

_MISTAKEN_BY_OVERLAY: Final = 0.088
"""6 of 132 pairs of pictogram scenes, which share a glyph, pixel for pixel; of 182 pairs of photographs none."""


def of_metadata(credential: Credential) -> float:
    """That the file is as its signer left it."""
    return 1.0 if credential.state in (CredentialState.TRUSTED, CredentialState.VALID) else 0.0


def of_labels(labels: Labels, credential: Credential) -> float:
    """That the labels are as their writer left them: as sure as the credential that covers them; without one, anybody
    can have written them."""
    return of_metadata(credential) if labels.fields or labels.aigc else 0.0


def of_watermark(detection: Detection | None) -> float | None:
    """That the mark was written and is no accident."""
    if detection is None:
        return 0.0
    return None if detection.chance is None else 1.0 - detection.chance


def of_foreign(mark: ForeignMark) -> float:
    """That the payload was written and is no accident."""
    return 1.0 - mark.chance


def of_record(record: RecordMatch | None) -> float | None:
    """That the file shows the recorded picture, or a part of it."""
    if record is None or record.same_picture is False:
        return 0.0
    if record.same_picture is None:
        return None
    if record.same_bytes or record.same_pixels:
        return 1.0
    if record.distance is not None and record.distance <= PDQ_MATCH_DISTANCE:
        return 1.0 - _MISTAKEN_BY_PDQ
    return 1.0 - _MISTAKEN_BY_OVERLAY
