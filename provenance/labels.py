"""The plain label: an XMP packet that says "made by an AI system" to every tool that reads metadata. Pure.

It is written before signing, so the signature covers it. It names system, version, provider, time and a public id
(IPTC Photo Metadata 2025.1; California SB 942 s.22757.3(b)), and no prompt and no person.
"""

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

from PIL import ExifTags, Image

from provenance.claims import Claim
from provenance.encoding import MEDIA_TYPES
from provenance.headers import png_chunk

_XMP_JPEG = b"http://ns.adobe.com/xap/1.0/\x00"  # XMP specification part 3, 1.1.3
_XMP_PNG = b"XML:com.adobe.xmp\x00\x00\x00\x00\x00"  # part 3, 1.1.5: keyword, uncompressed, no language, no translation

_PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">
<Iptc4xmpExt:DigitalSourceType>{source_type}</Iptc4xmpExt:DigitalSourceType>
<Iptc4xmpExt:AISystemUsed>{system}</Iptc4xmpExt:AISystemUsed>
<Iptc4xmpExt:AISystemVersionUsed>{version}</Iptc4xmpExt:AISystemVersionUsed>
<xmp:CreatorTool>{system} {version}</xmp:CreatorTool>
<xmp:CreateDate>{created}</xmp:CreateDate>
<dc:publisher><rdf:Bag><rdf:li>{provider}</rdf:li></rdf:Bag></dc:publisher>
<dc:identifier>{content_id}</dc:identifier>
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="r"?>"""


def packet(claim: Claim) -> bytes:
    """The XMP packet of a claim, UTF-8, read-only."""
    return _PACKET.format(
        source_type=claim.digital_source_type,
        system=escape(claim.system),
        version=escape(claim.system_version),
        created=claim.created_text,
        provider=escape(claim.provider),
        content_id=escape(claim.content_id),
    ).encode()


def attach(data: bytes, media_type: str, xmp: bytes, *, width: int, height: int) -> bytes:
    """`data`, a file fresh from our encoder, with the packet `xmp` in it. `width`, `height`: pixels, for WebP.

    Raises `ValueError` if the packet does not fit the format or the format is not one of ours.
    """
    if media_type == "image/png":
        return data[:33] + png_chunk(b"iTXt", _XMP_PNG + xmp) + data[33:]  # 8 signature, 25 IHDR
    if media_type == "image/jpeg":
        return _into_jpeg(data, xmp)
    if media_type == "image/webp":
        return _into_webp(data, xmp, width, height)
    raise ValueError(f"cannot label {media_type}")


def _into_jpeg(data: bytes, xmp: bytes) -> bytes:
    """Behind SOI and, where there is one, the JFIF segment that must follow it."""
    at = 2
    if data[2:4] == b"\xff\xe0":
        at += 2 + int.from_bytes(data[4:6], "big")
    length = 2 + len(_XMP_JPEG) + len(xmp)
    if length > 0xFFFF:
        raise ValueError("the XMP packet is larger than one JPEG segment")
    return b"".join((data[:at], b"\xff\xe1", length.to_bytes(2, "big"), _XMP_JPEG, xmp, data[at:]))


def _into_webp(data: bytes, xmp: bytes, width: int, height: int) -> bytes:
    """RFC 9649, 2.7: the extended format needs VP8X in front, with the XMP flag; the packet comes last."""
    extended = b"VP8X" + (10).to_bytes(4, "little") + b"\x04\x00\x00\x00"
    extended += (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    last = b"XMP " + len(xmp).to_bytes(4, "little") + xmp + b"\x00" * (len(xmp) % 2)
    body = b"WEBP" + extended + data[12:] + last
    return b"RIFF" + len(body).to_bytes(4, "little") + body


MAX_BYTES: Final = 1024 * 1024
"""What is longer is not looked into; labels are a few hundred bytes, and Lightroom's packets stay below this."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """`xmp`: the packet, empty if there is none. `notes`: EXIF user comment and PNG text `AIGC`, as far as there."""

    xmp: bytes = b""
    notes: tuple[str, ...] = ()


def embedded(data: bytes, media_type: str) -> Embedded:
    """What stands in `data`, a file whose pixels have been decoded before. Never raises for what is in it."""
    with contextlib.suppress(Exception):  # noqa: SIM117  a stranger's metadata makes Pillow raise anything
        with Image.open(io.BytesIO(data), formats=(MEDIA_TYPES[media_type],)) as picture:
            found = _look(picture)
            if media_type == "image/png" and found == Embedded():
                picture.load()  # text chunks may stand behind the pixels
                found = _look(picture)
            return found
    return Embedded()


def _look(picture: Image.Image) -> Embedded:
    xmp = picture.info.get("xmp") or b""
    notes = tuple(note for note in _notes(picture) if note)
    return Embedded(xmp if isinstance(xmp, bytes) and len(xmp) <= MAX_BYTES else b"", notes)


def _notes(picture: Image.Image) -> Iterator[str]:
    text = picture.info.get("AIGC")
    if isinstance(text, str) and len(text) <= MAX_BYTES:
        yield text
    comment = picture.getexif().get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.UserComment)
    if isinstance(comment, bytes) and len(comment) <= MAX_BYTES:
        yield _user_comment(comment)


def _user_comment(comment: bytes) -> str:
    """EXIF 3.0, 4.6.6: eight bytes name the character code. `UNICODE` is UTF-16 in either order."""
    code, text = comment[:8], comment[8:]
    if code == b"UNICODE\x00":
        return text.decode("utf-16-be" if text[:1] == b"\x00" else "utf-16-le", "replace")
    return text.decode("utf-8", "replace").rstrip("\x00")
