"""Pixels into files and files into pixels; the only place that knows the image codecs (Pillow, and ISA-L for PNG)."""

import contextlib
import io
import itertools
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from PIL import Image, ImageOps

from provenance.errors import UnreadableImage
from provenance.files.headers import PNG_SIGNATURE, png_chunk, read_header
from provenance.marks.watermarkers import Pixels

_deflater: Any = zlib  # level 1 of zlib writes the same format four times slower
with contextlib.suppress(ImportError):  # ISA-L is not built for every platform
    from isal import isal_zlib

    _deflater = isal_zlib

MEDIA_TYPES: Final = {
    "image/png": "PNG",
    "image/jpeg": "JPEG",
    "image/webp": "WEBP",
    "image/avif": "AVIF",
    "image/tiff": "TIFF",
}
"""What is written and read, and Pillow's name for it."""

LOSSLESS: Final = frozenset({"image/png", "image/tiff"})

_XMP_TAG: Final = 700  # XMP specification part 3, 1.1.4: XMP in TIFF
_AVIF_SPEED: Final = 9  # a tenth of the default's time for a tenth more bytes, measured on photographs at quality 92


_UP: Final = 2
"""PNG 3rd edition, 9.2: every byte is stored as the difference from the one above it."""


@dataclass(frozen=True, slots=True)
class FileBounds:
    """What is accepted from outside. Both are checked before a codec sees the file."""

    max_bytes: int = 32 * 1024 * 1024
    max_pixels: int = 40_000_000


def encode(pixels: Pixels, media_type: str, quality: int, xmp: bytes = b"", *, lossless_webp: bool = False) -> bytes:
    """`pixels` as a file without any metadata; AVIF and TIFF with the packet `xmp`, which `labels.attach` puts into the
    others afterwards: the boxes and directories of these two are not easily amended.

    `quality`: 1 to 100, of JPEG and AVIF (4:4:4) and of WebP unless `lossless_webp`; PNG and TIFF have none and are
    lossless. The PNG
    is lossless and made for speed: the Up filter and the fastest deflate, ten per cent larger than Pillow's best and
    thirty times faster. Raises `ValueError` for a media type outside `MEDIA_TYPES` or a quality out of range.
    """
    if media_type not in MEDIA_TYPES:
        raise ValueError(f"cannot write {media_type}; one of {', '.join(MEDIA_TYPES)}")
    if not 1 <= quality <= 100:
        raise ValueError(f"quality must lie in 1 to 100, got {quality}")
    if media_type == "image/png":
        return _encode_png(pixels)
    out = io.BytesIO()
    picture = Image.fromarray(pixels)
    if media_type == "image/jpeg":
        picture.save(out, "JPEG", quality=quality, subsampling=0)
    elif media_type == "image/avif":
        picture.save(out, "AVIF", quality=quality, subsampling="4:4:4", speed=_AVIF_SPEED, xmp=xmp or None)
    elif media_type == "image/tiff":
        picture.save(out, "TIFF", tiffinfo={_XMP_TAG: xmp} if xmp else {})
    else:
        picture.save(out, "WEBP", quality=20 if lossless_webp else quality, method=2, lossless=lossless_webp)
    return out.getvalue()


def decode(data: bytes, limits: FileBounds, *, declared_type: str | None = None) -> Pixels:
    """The pixels of a picture file from anywhere, read-only.

    The size is taken from the header and refused before a codec runs. What is not plain RGB is turned into it on
    purpose: orientation (EXIF) is applied, transparency is laid over white, 16 bits become 8, palettes, grey and CMYK
    become RGB. Colour profiles are not applied: values are taken as sRGB.

    `declared_type`: what the sender called it, compared with what it is. Raises `UnreadableImage` with field
    `bytes`, `type`, `pixels`, `frames` or `data`.
    """
    # 1. The file as a whole.
    if len(data) > limits.max_bytes:
        raise UnreadableImage(
            "bytes",
            f"The picture has {len(data)} bytes.",
            f"Send at most {limits.max_bytes} bytes.",
        )
    # 2. What it says it is.
    header = read_header(data)
    if declared_type is not None and declared_type != header.media_type:
        raise UnreadableImage(
            "type", f"The picture is {header.media_type}, not {declared_type}.", "Declare the type it has."
        )
    if header.width * header.height > limits.max_pixels:
        raise UnreadableImage(
            "pixels",
            f"The picture has {header.width} x {header.height} pixels.",
            f"Send at most {limits.max_pixels} pixels.",
        )
    if header.animated:
        raise UnreadableImage("frames", "The picture is animated.", "Send a single still picture.")
    # 3. What it is.
    try:
        with Image.open(io.BytesIO(data), formats=(MEDIA_TYPES[header.media_type],)) as picture:
            honest = picture.size == (header.width, header.height)
            rgb = _as_rgb(picture) if honest else picture
    except Exception as cause:  # a stranger's file makes Pillow's codecs raise anything
        raise _broken() from cause
    if not honest:
        raise _broken()
    pixels = np.asarray(rgb)
    pixels.flags.writeable = False
    return pixels


def decode_mask(data: bytes, limits: FileBounds) -> Pixels:
    """(height, width), uint8: 255 where a mask is open. What is transparent is open, as image editors cut holes; in a
    file without transparency, what is white. Raises `UnreadableImage` like `decode`.
    """
    decode(data, limits)  # every check of a picture from anywhere
    with Image.open(io.BytesIO(data), formats=(MEDIA_TYPES[read_header(data).media_type],)) as picture:
        upright: Image.Image = ImageOps.exif_transpose(picture)
        if upright.has_transparency_data:
            opened = 255 - np.asarray(upright.convert("RGBA").getchannel("A"))
        else:
            opened = np.array(_as_rgb(upright).convert("L"))
    opened.flags.writeable = False
    return opened


def decode_own(data: bytes, media_type: str) -> Pixels:
    """The pixels of a finished file of our own making, read-only.

    For PNG: everything that a strict reader checks (every chunk and CRC, nothing behind the end, the exact amount of
    data) for the one kind of PNG that `encode` writes, at a third of a general decoder's cost. Raises
    `UnreadableImage` for anything else, and for files that are broken.
    """
    if media_type != "image/png":
        return decode(data, FileBounds(max_bytes=len(data)))
    chunks = list(_png_chunks(data))
    kinds = [kind for kind, _ in chunks]
    if kinds[:1] != [b"IHDR"] or kinds[-1:] != [b"IEND"] or kinds.count(b"IDAT") != 1:
        raise _broken()
    width, height, *form = struct.unpack(">IIBBBBB", chunks[0][1])
    try:
        content = _deflater.decompress(chunks[kinds.index(b"IDAT")][1])
    except _deflater.error as cause:
        raise _broken() from cause
    if form != [8, 2, 0, 0, 0] or len(content) != height * (1 + width * 3):
        raise _broken()
    rows = np.frombuffer(content, np.uint8).reshape(height, 1 + width * 3)
    if (rows[:, 0] != _UP).any():
        raise _broken()
    pixels = rows[:, 1:].copy()
    for above, row in itertools.pairwise(pixels):  # a running sum, which numpy makes slower along this axis
        row += above
    pixels.flags.writeable = False
    return pixels.reshape(height, width, 3)


def shrink(pixels: Pixels, side: int) -> Pixels:
    """`pixels` area-averaged to `side` x `side`; smaller pictures are returned as they are."""
    height, width = pixels.shape[:2]
    if min(height, width) <= side:
        return pixels
    picture = Image.fromarray(pixels).reduce((width // side, height // side))  # whole factors first: four times faster
    return np.asarray(picture.resize((side, side), Image.Resampling.BOX))


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Type and content of every chunk, each CRC checked. Raises `UnreadableImage` unless they fill the file exactly."""
    at = len(PNG_SIGNATURE)
    if not data.startswith(PNG_SIGNATURE):
        raise _broken()
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        kind, content, crc = (
            data[at + 4 : at + 8],
            data[at + 8 : at + 8 + length],
            data[at + 8 + length : at + 12 + length],
        )
        if crc != zlib.crc32(content, zlib.crc32(kind)).to_bytes(4, "big"):
            raise _broken()
        yield kind, content
        at += 12 + length


def _as_rgb(picture: Image.Image) -> Image.Image:
    picture.load()
    upright: Image.Image = ImageOps.exif_transpose(picture)
    if upright.mode.startswith(("I", "F")):  # 16-bit grey: Pillow would clip it to 255 instead of scaling it
        return Image.fromarray(
            (np.asarray(upright).astype(np.float64) / 257).round().clip(0, 255).astype(np.uint8)
        ).convert("RGB")
    if upright.has_transparency_data:
        layer = upright.convert("RGBA")
        ground = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(ground, layer).convert("RGB")
    return upright.convert("RGB")


def _encode_png(pixels: Pixels) -> bytes:
    """PNG 3rd edition: 8-bit truecolour, every row filtered by Up (clause 9.2), one IDAT."""
    height, width, _ = pixels.shape
    rows = pixels.reshape(height, width * 3)
    filtered = np.empty((height, 1 + width * 3), np.uint8)
    filtered[:, 0] = _UP
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])  # modulo 256, as the filter wants it
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"".join(
        (
            PNG_SIGNATURE,
            png_chunk(b"IHDR", header),
            png_chunk(b"IDAT", _deflater.compress(filtered, 1)),
            png_chunk(b"IEND", b""),
        )
    )


def _broken() -> UnreadableImage:
    return UnreadableImage("data", "The picture cannot be decoded.", "Send a whole, undamaged file.")
