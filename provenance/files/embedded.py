"""Takes the manifest store out of a picture file as C2PA puts it in (2.4, appendix A.3). Pure, and strict."""

from collections.abc import Iterator

from provenance.errors import UnreadableImage
from provenance.files.containers import avif_stores, tiff_stores
from provenance.files.headers import PNG_SIGNATURE, png_chunk

_JUMBF_SEGMENT = 0xEB  # APP11 (ISO 19566-5, D.2)
_SCAN = 0xDA


def manifest_store(data: bytes, media_type: str) -> bytes:
    """The store in a picture file. Raises `UnreadableImage` unless there is exactly one, whole."""
    if media_type == "image/jpeg":
        return _joined(list(_segments(data)))
    stores = list(_STORES[media_type](data))
    if len(stores) != 1:
        raise _not_one()
    return stores[0]


def _png(data: bytes) -> Iterator[bytes]:
    at = len(PNG_SIGNATURE)
    while at < len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == b"caBX":
            content = data[at + 8 : end - 4]
            if data[at:end] != png_chunk(b"caBX", content):  # the one chunk that no hash covers
                raise _not_one()
            yield content
        at = end


def _webp(data: bytes) -> Iterator[bytes]:
    at = 12
    while at < len(data):
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] == b"C2PA":
            yield data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2


_STORES = {"image/png": _png, "image/webp": _webp, "image/avif": avif_stores, "image/tiff": tiff_stores}


def _segments(data: bytes) -> Iterator[bytes]:
    """What the JUMBF segments in front of the scan hold behind their length."""
    at = 2
    while data[at : at + 1] == b"\xff" and data[at + 1] != _SCAN:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] == _JUMBF_SEGMENT:
            yield data[at + 4 : end]
        at = end


def _joined(segments: list[bytes]) -> bytes:
    """ISO 19566-5, D.2: `JP`, box instance, place from 1 on; every further piece repeats the box's header."""
    for place, segment in enumerate(segments, 1):
        if segment[:4] != b"JP" + segments[0][2:4] or int.from_bytes(segment[4:8], "big") != place:
            raise _not_one()
    if not segments:
        raise _not_one()
    return segments[0][8:] + b"".join(segment[16:] for segment in segments[1:])


def _not_one() -> UnreadableImage:
    return UnreadableImage("data", "The file does not hold one whole manifest store.", "Send the file as it was made.")
