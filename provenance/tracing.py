"""Traces a file back to its record: by its bytes, by its mark, by what its credential binds, or by its looks alone; and
says whether the picture is still the recorded one."""

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from provenance.credentials.reading import Credential
from provenance.looks.fingerprint import PDQ_LEAST_QUALITY, PDQ_MATCH_DISTANCE, pdq_distance
from provenance.looks.likeness import likeness
from provenance.marks.watermarkers import Detection, MarkGrid, Pixels
from provenance.payload import MARK_BYTES
from provenance.reports import KnownImage, RecordMatch


@dataclass(frozen=True, slots=True)
class Lookups:
    """How records are found. `by_mark`: 8 bytes. `by_sha256`: hex of the whole file. `by_looks`: the nearest one by
    PDQ, at most `PDQ_MATCH_DISTANCE` away. `original`: the stored picture, None if it is kept no longer. `by_points`:
    candidates by landmarks, for parts of pictures; None if none are recorded. `manifest`: the stored manifest store.
    `file`: the stored file."""

    by_mark: Callable[[bytes], KnownImage | None]
    by_sha256: Callable[[str], KnownImage | None]
    by_looks: Callable[[str], KnownImage | None]
    original: Callable[[KnownImage], Pixels | None]
    by_points: Callable[[Pixels], tuple[KnownImage, ...]] | None = None
    manifest: Callable[[KnownImage], bytes | None] = lambda _: None
    file: Callable[[KnownImage], bytes | None] = lambda _: None


def look_up(
    lookups: Lookups | None, digest: str, credential: Credential, detection: Detection | None
) -> KnownImage | None:
    """The record that bytes, mark or credential lead to. `digest`: hex of the whole file's SHA-256."""
    if lookups is None:
        return None
    marks = [] if detection is None else [detection.mark]
    if credential.signer_trusted and credential.soft_binding is not None:  # a stranger's manifest may name any mark
        marks.extend(_mark_in(credential.soft_binding[1]))
    by_bytes = lookups.by_sha256(digest)
    return by_bytes or next((known for mark in marks if (known := lookups.by_mark(mark)) is not None), None)


def look_for(lookups: Lookups, pixels: Pixels, pdq_hash: str | None) -> RecordMatch | None:
    """The record of a picture that looks like this one, found by PDQ or by landmarks. Two must agree: the overlay where
    the original is kept, else both searches. `pdq_hash`: None for a plain picture."""
    near = None if pdq_hash is None else lookups.by_looks(pdq_hash)
    pointed = () if lookups.by_points is None else lookups.by_points(pixels)
    for known in dict.fromkeys((near, *pointed)):
        if known is None:
            continue
        distance = None if pdq_hash is None else pdq_distance(known.pdq, pdq_hash)
        original = lookups.original(known)
        if original is not None:
            laid = likeness(pixels, original)
            if laid.same:
                same_pixels = np.array_equal(pixels, original)
                return RecordMatch(known, False, distance, True, laid.overlay, same_pixels)
        elif known == near and (lookups.by_points is None or known in pointed):
            return RecordMatch(known, False, distance, True)
    return None


def _mark_in(value: str) -> list[bytes]:
    """The mark that a soft binding of ours names, if it is one."""
    try:
        mark = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return []
    return [mark] if len(mark) == MARK_BYTES else []


def compare_with(
    lookups: Lookups,
    known: KnownImage,
    digest: str,
    pixels: Pixels,
    pdq_hash: str,
    pdq_quality: int,
    grid: MarkGrid | None = None,
    data: bytes = b"",
) -> RecordMatch:
    """`pixels` against the record `known`: by hash, and laid over the original where that is kept. `grid`: how the
    record's mark lies in them. What the overlay says goes before the hash, which half of a picture can mislead.
    `data`: the file; a few damaged bytes can spoil a whole picture, and leave it ours."""
    same_bytes = known.sha256 == digest
    if same_bytes:
        return RecordMatch(known, same_bytes, 0, True)
    plain = min(known.pdq_quality, pdq_quality) < PDQ_LEAST_QUALITY
    distance = None if plain else pdq_distance(known.pdq, pdq_hash)
    alike = True if distance is not None and distance <= PDQ_MATCH_DISTANCE else None
    original = lookups.original(known)
    if original is None:
        return RecordMatch(known, same_bytes, distance, alike or (None if distance is None else False))
    if np.array_equal(pixels, original):
        return RecordMatch(known, same_bytes, distance, True, same_pixels=True)
    laid = likeness(pixels, original, grid)
    same = alike if laid.same is None else laid.same
    damaged = same is False and _differs_little(data, lookups.file(known))
    return RecordMatch(known, same_bytes, distance, same, laid.overlay, same_pixels=False, damaged=damaged)


def _differs_little(data: bytes, delivered: bytes | None) -> bool:
    """Whether two files of one length differ in one byte of a thousand at most: no other picture comes so near."""
    if delivered is None or len(data) != len(delivered):
        return False
    apart = np.count_nonzero(np.frombuffer(data, np.uint8) != np.frombuffer(delivered, np.uint8))
    return int(apart) <= max(len(data) // 1000, 1)
