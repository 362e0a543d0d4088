"""The plain label: an XMP packet that says "made by an AI system" to every tool that reads metadata. Pure.

It is written before signing, so the signature covers it. What stands in it, `profiles.py` says.
"""

from xml.sax.saxutils import escape

from provenance.claims import Claim
from provenance.files.headers import png_chunk
from provenance.labels.profiles import BAGS, NAMESPACES, PROPERTIES, fields_of

_XMP_JPEG = b"http://ns.adobe.com/xap/1.0/\x00"  # XMP specification part 3, 1.1.3
_XMP_PNG = b"XML:com.adobe.xmp\x00\x00\x00\x00\x00"  # part 3, 1.1.5: keyword, uncompressed, no language, no translation

_PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about=""{namespaces}>
{properties}
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="r"?>"""


def packet(claim: Claim) -> bytes:
    """The XMP packet of a claim, UTF-8, read-only: the fields of its profiles."""
    fields = fields_of(claim)
    used = dict.fromkeys(PROPERTIES[field].split(":")[0] for field in fields)
    return _PACKET.format(
        namespaces="".join(f'\n xmlns:{prefix}="{NAMESPACES[prefix]}"' for prefix in used),
        properties="\n".join(_property(field, escape(value)) for field, value in fields.items()),
    ).encode()


def _property(field: str, escaped: str) -> str:
    content = f"<rdf:Bag><rdf:li>{escaped}</rdf:li></rdf:Bag>" if field in BAGS else escaped
    return f"<{PROPERTIES[field]}>{content}</{PROPERTIES[field]}>"


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
    if media_type in ("image/avif", "image/tiff"):  # the encoder has put it in
        return data
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
