"""Pictures that hold something where C2PA puts manifest stores, in each format; whatever it is."""

import io
import struct
from collections.abc import Callable

from PIL import Image, TiffImagePlugin

from provenance.claims import MediaType
from provenance.files.encoding import encode
from provenance.files.headers import png_chunk
from provenance.marks.watermarkers import Pixels
from tests.provenance.pictures import make_picture

_UUID = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")  # C2PA 2.4, A.5.1
_TAG = 0xCD41  # C2PA 2.4, A.3.4
_SEGMENT = 65_000


def holding(store: bytes, media_type: MediaType, pixels: Pixels | None = None) -> bytes:
    """A picture of 256 x 256, or `pixels`, with `store` in its place."""
    picture = make_picture(256, 256) if pixels is None else pixels
    return _HOLDING[media_type](picture, store)


def _png(pixels: Pixels, store: bytes) -> bytes:
    file = encode(pixels, "image/png", 90)
    return file[:33] + png_chunk(b"caBX", store) + file[33:]


def _jpeg(pixels: Pixels, store: bytes) -> bytes:
    file = encode(pixels, "image/jpeg", 90)
    pieces = [store[:_SEGMENT], *(store[at : at + _SEGMENT] for at in range(_SEGMENT, len(store), _SEGMENT))]
    segments = b""
    for place, piece in enumerate(pieces, 1):
        content = b"JP" + struct.pack(">HI", 1, place) + (store[:8] if place > 1 else b"") + piece
        segments += b"\xff\xeb" + struct.pack(">H", len(content) + 2) + content
    return file[:2] + segments + file[2:]


def _webp(pixels: Pixels, store: bytes) -> bytes:
    file = encode(pixels, "image/webp", 90)
    height, width = pixels.shape[:2]
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    chunk = b"C2PA" + struct.pack("<I", len(store)) + store + b"\x00" * (len(store) % 2)
    content = b"WEBP" + b"VP8X" + struct.pack("<I", 10) + bytes(4) + size + file[12:] + chunk
    return b"RIFF" + struct.pack("<I", len(content)) + content


def _avif(pixels: Pixels, store: bytes) -> bytes:
    content = _UUID + bytes(4) + b"manifest\x00" + bytes(8) + store
    return encode(pixels, "image/avif", 90) + struct.pack(">I", 8 + len(content)) + b"uuid" + content


def _tiff(pixels: Pixels, store: bytes) -> bytes:
    out = io.BytesIO()
    fields = TiffImagePlugin.ImageFileDirectory_v2()
    fields[_TAG] = store
    fields.tagtype[_TAG] = 7  # UNDEFINED: c2pa does not look at others
    Image.fromarray(pixels).save(out, "TIFF", tiffinfo=fields)
    return out.getvalue()


_HOLDING: dict[str, Callable[[Pixels, bytes], bytes]] = {
    "image/png": _png,
    "image/jpeg": _jpeg,
    "image/webp": _webp,
    "image/avif": _avif,
    "image/tiff": _tiff,
}
