"""Takes a sealed file apart: every byte belongs to exactly one named part, from the signature to the last trailer.

Walks PNG chunks, JPEG segments and RIFF chunks, the JUMBF boxes of the manifest in them (ISO 19566-5), and the
COSE_Sign1 in its signature box (RFC 9052, C2PA 2.4 clause 13.2).
"""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes `start` to `end`, exclusive. `name`: what they are."""

    name: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Box:
    """A JUMBF box. `label`: path of the labels above it, and its own. `start` is that of its length field."""

    kind: str
    label: str
    start: int
    end: int


def parts(data: bytes) -> list[Part]:
    """All parts of a sealed PNG, JPEG or WebP, in order and without a gap."""
    walk = _png if data.startswith(b"\x89PNG") else _jpeg if data.startswith(b"\xff\xd8") else _webp
    found = [part for part in walk(data) if part.end > part.start]
    ends = [0, *(part.end for part in found)]
    assert [part.start for part in found] == ends[:-1]
    assert ends[-1] == len(data)
    return found


def boxes(data: bytes, start: int, end: int, above: str = "") -> Iterator[Box]:
    """The boxes between `start` and `end`, and those inside them, outer before inner."""
    while start < end:
        length = int.from_bytes(data[start : start + 4], "big")
        kind = data[start + 4 : start + 8].decode("latin-1")
        label = above
        if kind == "jumb":
            label = f"{above}/{_label(data, start + 8)}"
        yield Box(kind, label, start, start + length)
        if kind == "jumb":
            yield from boxes(data, start + 8, start + length, label)
        start += length


def store_of(data: bytes) -> tuple[int, int]:
    """Where the manifest store, in one piece, lies in a sealed file."""
    start = data.index(b"jumb") - 4
    return start, start + int.from_bytes(data[start : start + 4], "big")


def _label(data: bytes, description: int) -> str:
    text = description + 8 + 16 + 1  # header, type, toggles
    return data[text : data.index(b"\x00", text)].decode()


def _store(data: bytes, start: int, end: int) -> Iterator[Part]:
    for box in boxes(data, start, end):
        yield Part("box length", box.start, box.start + 4)
        yield Part("box type", box.start + 4, box.start + 8)
        inside = box.start + 8
        if box.kind == "jumd":
            text = inside + 17
            zero = data.index(b"\x00", text)
            yield Part("box uuid", inside, inside + 16)
            yield Part("box toggles", inside + 16, text)
            yield Part("box label", text, zero + 1)
            yield Part("box salt", zero + 1, box.end)
        elif box.kind != "jumb":
            name = box.label.rsplit("/", 1)[-1]
            content = Part(name, inside, box.end)
            yield from _cose(data, content) if name == "c2pa.signature" else (content,)


def _cose(data: bytes, box: Part) -> Iterator[Part]:
    """COSE_Sign1: tag 18, an array of protected header, unprotected header, no payload, signature."""
    assert data[box.start : box.start + 2] == b"\xd2\x84"
    protected = box.start + 2
    first = _byte_string(data, protected)
    certificate = data.index(b"\x30\x82", protected)
    pad = data.index(b"\x63pad", first)
    padding = _byte_string(data, pad + 4)
    sealed = padding + 1  # null: the payload is elsewhere
    yield Part("cose tag", box.start, protected)
    yield Part("cose protected header", protected, certificate)
    yield Part("certificate", certificate, first)
    yield Part("cose unprotected header", first, pad + 4)
    yield Part("cose padding", pad + 4, padding)
    yield Part("cose payload", padding, sealed)
    yield Part("cose signature", sealed, box.end)


def _byte_string(data: bytes, at: int) -> int:
    """Where the CBOR byte string at `at` ends (RFC 8949, 3)."""
    size = data[at] & 0x1F
    assert data[at] >> 5 == 2
    more = {24: 1, 25: 2, 26: 4}.get(size, 0)
    length = int.from_bytes(data[at + 1 : at + 1 + more], "big") if more else size
    return at + 1 + more + length


def _png(data: bytes) -> Iterator[Part]:
    yield Part("png signature", 0, 8)
    at = 8
    while at < len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        kind = data[at + 4 : at + 8].decode()
        yield Part(f"{kind} length", at, at + 4)
        yield Part(f"{kind} type", at + 4, at + 8)
        yield from _store(data, at + 8, end) if kind == "caBX" else (Part(f"{kind} content", at + 8, end),)
        yield Part(f"{kind} crc", end, end + 4)
        at = end + 4


def _jpeg(data: bytes) -> Iterator[Part]:
    yield Part("jpeg start", 0, 2)
    at = 2
    while data[at + 1] != 0xDA:
        name = f"segment {data[at + 1]:02X}"
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        yield Part(f"{name} marker", at, at + 2)
        yield Part(f"{name} length", at + 2, at + 4)
        if data[at + 4 : at + 6] == b"JP":
            yield Part(f"{name} framing", at + 4, at + 12)
            yield from _store(data, at + 12, end)
        else:
            yield Part(f"{name} content", at + 4, end)
        at = end
    scan = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    yield Part("scan header", at, scan)
    yield Part("scan", scan, len(data) - 2)
    yield Part("jpeg end", len(data) - 2, len(data))


def _webp(data: bytes) -> Iterator[Part]:
    yield Part("riff magic", 0, 4)
    yield Part("riff size", 4, 8)
    yield Part("webp magic", 8, 12)
    at = 12
    while at < len(data):
        kind = data[at : at + 4].decode()
        end = at + 8 + int.from_bytes(data[at + 4 : at + 8], "little")
        yield Part(f"{kind} type", at, at + 4)
        yield Part(f"{kind} size", at + 4, at + 8)
        yield from _store(data, at + 8, end) if kind == "C2PA" else (Part(f"{kind} content", at + 8, end),)
        yield Part(f"{kind} padding", end, end + (end & 1))
        at = end + (end & 1)
