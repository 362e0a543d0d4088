"""The outside of AVIF (ISO base media files) and TIFF files: size, frames, and where C2PA puts its store. Pure.

Fed by strangers: every length is checked before it is used, and loops cannot run backwards.
"""

from collections.abc import Iterator
from typing import Final, Literal

from provenance.errors import UnreadableImage

_LARGE: Final = 1  # ISO/IEC 14496-12, 4.2: the size stands in the eight bytes behind the type
_FLAT: Final = 4
"""Boxes of a picture are nested no deeper; and the depth from which none is opened."""
_INSIDE: Final = frozenset((b"iprp", b"ipco"))
_FULL: Final = frozenset((b"meta",))  # boxes with four bytes of version and flags in front of their content
_C2PA_UUID: Final = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")  # C2PA 2.4, A.5.1

_STORE_HEAD: Final = bytes(4) + b"manifest\x00" + bytes(8)  # version and flags, purpose, no Merkle box
_BRANDS: Final = frozenset((b"avif", b"mif1", b"miaf", b"MA1A", b"MA1B"))  # AVIF 1.2, 6 and 8

_WIDTH, _HEIGHT, _COMPRESSION = 256, 257, 259  # TIFF 6.0, section 8
_C2PA_TAG: Final = 0xCD41  # C2PA 2.4, A.3.4
_NUMBER_BYTES: Final = {1: 1, 3: 2, 4: 4, 7: 1}  # BYTE, SHORT, LONG, UNDEFINED
_COMPRESSIONS: Final = frozenset((1, 5, 7, 8, 32773, 32946))
"""None, LZW, JPEG, Deflate, PackBits, Deflate: what cameras and editors write, out of the many codecs of libtiff."""


def is_avif(data: bytes) -> bool:
    """By its brand (AV1 Image File Format 1.2, 6): one picture, or a sequence."""
    return data[4:8] == b"ftyp" and data[8:12] in (b"avif", b"avis", b"mif1") and b"avi" in data[8:64]


def is_tiff(data: bytes) -> bool:
    """By its byte order and version; BigTIFF is not taken."""
    return data[:4] in (b"II*\x00", b"MM\x00*")


def avif_size(data: bytes) -> tuple[int, int, bool]:
    """Width, height and whether it is animated. The size is the largest of all items'.

    Raises `UnreadableImage` with field `data`.
    """
    # Decoders stop behind the box that describes the pictures: whatever follows is not looked at.
    described = next((content for kind, content in _boxes(data, _FLAT) if kind == b"meta"), b"")
    sizes = [_ispe(box) for kind, box in _boxes(described[4:], 1) if kind == b"ispe"]
    if not sizes:
        raise _broken("It does not say how large it is.")
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    return width, height, data[8:12] == b"avis"


def avif_stores(data: bytes) -> Iterator[bytes]:
    """The manifest stores in it (C2PA 2.4, A.5.3). Raises `UnreadableImage` where what no hash covers is odd: brands
    that are not a still picture's, or other numbers in front of the store than a file in one piece has.
    """
    for kind, content in _boxes(data):
        if kind == b"ftyp":
            brands = [content[at : at + 4] for at in range(8, len(content), 4)]
            if content[:8] != b"avif\x00\x00\x00\x00" or not _BRANDS.issuperset(brands):
                raise _broken("Its brands are not those of a still picture.")
        if kind == b"uuid" and content[:16] == _C2PA_UUID:
            head, store = content[16 : 16 + len(_STORE_HEAD)], content[16 + len(_STORE_HEAD) :]
            if head != _STORE_HEAD:
                raise _broken("Its manifest store is not announced as one.")
            yield store


def tiff_size(data: bytes) -> tuple[int, int, bool]:
    """Width, height and whether there is a second picture in it. Raises `UnreadableImage`, field `data` or `type`."""
    order = _order(data)
    fields, following = _directory(data, int.from_bytes(data[4:8], order), order)
    values = {tag: int.from_bytes(content[:4], order) for tag, content in fields.items() if len(content) <= 4}
    if values.get(_COMPRESSION, 1) not in _COMPRESSIONS:
        raise UnreadableImage("type", "This TIFF is compressed in a way that is not read here.", "Save it with LZW.")
    if _WIDTH not in values or _HEIGHT not in values:
        raise _broken("It does not say how large it is.")
    return values[_WIDTH], values[_HEIGHT], following != 0


def tiff_stores(data: bytes) -> Iterator[bytes]:
    """The manifest store in its first directory (C2PA 2.4, A.3.4), if there is one."""
    order = _order(data)
    fields, _ = _directory(data, int.from_bytes(data[4:8], order), order)
    if _C2PA_TAG in fields:
        yield fields[_C2PA_TAG]


def _boxes(data: bytes, depth: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """Type and content of every box, those that hold boxes with their own; no deeper than a picture's go."""
    at = 0
    while at + 8 <= len(data):
        size, kind, head = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8], 8
        if size == _LARGE:
            size, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        elif size == 0:  # to the end
            size = len(data) - at
        if size < head or at + size > len(data):
            raise _broken("A box is longer than the file.")
        content = data[at + head : at + size]
        yield kind, content
        if depth < _FLAT and (kind in _INSIDE or kind in _FULL):
            yield from _boxes(content[4:] if kind in _FULL else content, depth + 1)
        at += size


def _ispe(content: bytes) -> tuple[int, int]:
    if len(content) < 12:
        raise _broken("It does not say how large it is.")
    return int.from_bytes(content[4:8], "big"), int.from_bytes(content[8:12], "big")


def _order(data: bytes) -> Literal["little", "big"]:
    return "little" if data[:2] == b"II" else "big"


def _directory(data: bytes, at: int, order: Literal["little", "big"]) -> tuple[dict[int, bytes], int]:
    """Contents by tag of the directory at `at`, and where the next one is (0: nowhere)."""
    count = int.from_bytes(data[at : at + 2], order)
    end = at + 2 + 12 * count
    if at < 8 or end + 4 > len(data):
        raise _broken("Its directory is not in the file.")
    fields = {}
    for place in range(at + 2, end, 12):
        tag, kind, number = (
            int.from_bytes(data[place + start : place + stop], order) for start, stop in ((0, 2), (2, 4), (4, 8))
        )
        length = _NUMBER_BYTES.get(kind, 0) * number
        start = place + 8 if length <= 4 else int.from_bytes(data[place + 8 : place + 12], order)
        if start + length > len(data):
            raise _broken("A field is longer than the file.")
        content = data[start : start + length]
        # A short number is padded so that all numbers read alike.
        fields[tag] = content if order == "little" or length > 4 else content.rjust(4, b"\x00")
    return fields, int.from_bytes(data[end : end + 4], order)


def _broken(problem: str) -> UnreadableImage:
    return UnreadableImage("data", f"The picture is broken. {problem}", "Send a whole, undamaged file.")
