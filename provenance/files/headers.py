"""The outside of a picture file: type, size, frames, chunks, before anything is decoded. Pure, and fed by strangers.

Every length is checked before it is used; a file that ends too early or contradicts itself is an `UnreadableImage`.
"""

import re
import struct
import zlib
from dataclasses import dataclass

from provenance.errors import UnreadableImage
from provenance.files.containers import avif_size, is_avif, is_tiff, tiff_size

_TEXTS = frozenset((b"iTXt", b"tEXt", b"zTXt", b"eXIf"))

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

_MOST_SCANS = 100
"""Of a JPEG. Progressive encoders write about ten; a decoder walks the whole picture for each, even an empty one."""


_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
"""One with a length behind it, or the end. Those without (restarts, a further start) and fill bytes (B.1.1.2) are
passed over like anything else: one look at each byte, whatever is sent."""

_MOST_SEGMENTS = 20_000
"""Of a JPEG. 32 MB of metadata are 500; an attacker's 32 MB would be millions."""


@dataclass(frozen=True, slots=True)
class Header:
    """`media_type` by content, never by name or claim; `width` and `height` in pixels as stored; `animated`."""

    media_type: str
    width: int
    height: int
    animated: bool = False


def read_header(data: bytes) -> Header:
    """The header of a picture file. Raises `UnreadableImage` with field `type` or `data`."""
    if data.startswith(PNG_SIGNATURE):
        return _png(data)
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp(data)
    if is_avif(data):
        return _sized(Header("image/avif", *avif_size(data)))
    if is_tiff(data):
        return _sized(Header("image/tiff", *tiff_size(data)))
    raise UnreadableImage(
        "type", "This is not a PNG, JPEG, WebP, AVIF or TIFF picture.", "Send one of these five formats."
    )


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """A PNG chunk: length, type, content and CRC (PNG 3rd edition, clause 5.3)."""
    crc = zlib.crc32(content, zlib.crc32(kind))
    return b"".join((struct.pack(">I", len(content)), kind, content, struct.pack(">I", crc)))


def text_behind_pixels(data: bytes) -> bool:
    """Whether a PNG has text or EXIF behind its first IDAT (PNG 3rd edition, clause 5.6 allows it anywhere)."""
    at, seen = len(PNG_SIGNATURE), False
    while at + 12 <= len(data):
        kind = data[at + 4 : at + 8]
        if seen and kind in _TEXTS:
            return True
        seen = seen or kind == b"IDAT"
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    return False


def _png(data: bytes) -> Header:
    """PNG 3rd edition, clauses 5 and 11.2.1: IHDR first; acTL before the first IDAT makes it an animation."""
    if data[12:16] != b"IHDR" or len(data) < 33:
        raise _broken("It has no IHDR chunk.")
    width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    at, animated = 33, False
    while at + 12 <= len(data):
        kind = data[at + 4 : at + 8]
        if kind in (b"IDAT", b"IEND"):
            break
        animated = animated or kind == b"acTL"
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    return _sized(Header("image/png", width, height, animated))


def _jpeg(data: bytes) -> Header:
    """ITU-T T.81, B.1.1 and B.2.2: segments up to the frame header SOFn, which holds the size.

    As decoders do, what stands between segments, or is left over where a length is a few bytes off, is skipped to the
    next marker.
    """
    at = 2
    for _ in range(_MOST_SEGMENTS):
        found = _MARKER.search(data, at)
        if found is None or data[found.end() - 1] in (0xD9, 0xDA):
            break
        marker, at = data[found.end() - 1], found.end()
        length = int.from_bytes(data[at : at + 2], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            if length < 8 or at + 7 > len(data):
                break
            if _scans(data, at + length) > _MOST_SCANS:
                raise _broken("It has too many scans.")
            height, width = int.from_bytes(data[at + 3 : at + 5], "big"), int.from_bytes(data[at + 5 : at + 7], "big")
            return _sized(Header("image/jpeg", width, height))
        at += max(2, length)
    raise _broken("It has no frame header.")


def _scans(data: bytes, at: int) -> int:
    """How many scans begin behind `at` and before the picture's own end, counted up to one more than are taken: what
    lies behind the end, such as a video or further pictures, is none of a decoder's business."""
    count = 0
    for _ in range(_MOST_SEGMENTS):
        found = _MARKER.search(data, at)
        if found is None or data[found.end() - 1] == 0xD9 or count > _MOST_SCANS:
            return count
        # Tables, and the scan's own header; compressed data holds no marker but restarts.
        marker, at = data[found.end() - 1], found.end()
        count += marker == 0xDA
        at += max(2, int.from_bytes(data[at : at + 2], "big"))
    raise _broken("It has too many segments.")


def _webp(data: bytes) -> Header:
    """RFC 9649, 2.4 to 2.7: the first chunk is VP8X (size minus one), VP8 (lossy) or VP8L (lossless)."""
    if len(data) < 30:
        raise _broken("It ends within its header.")
    kind = data[12:16]
    if kind == b"VP8X":
        width, height = 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
        return _sized(Header("image/webp", width, height, animated=bool(data[20] & 0x02)))
    if kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = int.from_bytes(data[26:28], "little"), int.from_bytes(data[28:30], "little")
        return _sized(Header("image/webp", width & 0x3FFF, height & 0x3FFF))
    if kind == b"VP8L" and data[20] == 0x2F:
        packed = int.from_bytes(data[21:25], "little")
        return _sized(Header("image/webp", 1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF)))
    raise _broken("Its first chunk is not a picture.")


def _sized(header: Header) -> Header:
    if not header.width or not header.height:
        raise _broken("It has no area.")
    return header


def _broken(problem: str) -> UnreadableImage:
    return UnreadableImage("data", f"The picture is broken. {problem}", "Send a whole, undamaged file.")
