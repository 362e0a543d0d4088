"""How far each layer of a verification can be relied on: a number in [0, 1], with its meaning and origin. Pure.

A layer that found nothing has confidence 0: it vouches for nothing. None: it cannot tell, or the part does not say.

- metadata    1 if the credential's signature and hashes hold for this file. Whose it is, its state says.
- watermark   1 less the probability that the whole search mistakes an unmarked picture: it carries *a* mark, which can
              have been copied from another picture.
- record      1 less the bound below of the probability that a different picture is taken for the recorded one.

Different pictures that were compared, and none (by PDQ) taken for a copy: the rule of three (Hanley and Lippman-Hand
1983) bounds the true share by 3 / pairs, at 95 %. The pictures are few and of two kinds; this is no more than that.
"""

from typing import Final

from provenance.fingerprint import PDQ_MATCH_DISTANCE
from provenance.foreign_marks import ForeignMark
from provenance.reading import Credential, CredentialState
from provenance.reports import RecordMatch
from provenance.watermarkers import Detection

_PDQ_PAIRS: Final = 9180
"""Of pictogram scenes; the nearest two differ in 44 bits. Of 300 pairs of photographs the nearest differ in 106."""

_OVERLAY_PAIRS: Final = 182
"""Of photographs. Of 132 pairs of pictogram scenes 6 were taken for copies: they share a glyph, pixel for pixel."""


def of_metadata(credential: Credential) -> float:
    """That the file is as its signer left it."""
    return 1.0 if credential.state in (CredentialState.TRUSTED, CredentialState.VALID) else 0.0


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
        return 1.0 - 3.0 / _PDQ_PAIRS
    return 1.0 - 3.0 / _OVERLAY_PAIRS
