"""Breaks picture files on purpose, knowing how they are built: chunks, segments, boxes and lengths, not only bytes.

Every mutation is a function of the file, other files to splice from, and a seeded random generator: equal seeds break
equally. Files that are broken already are cut up as far as they can be followed.
"""

import random
import zlib
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

Mutation = Callable[[bytes, Sequence[bytes], random.Random], bytes]

_TELLING = (0, 1, 2, 7, 8, 9, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF)


class Piece(NamedTuple):
    """A chunk or segment, with its framing."""

    start: int
    end: int


def pieces(data: bytes) -> list[Piece]:
    """PNG chunks, JPEG segments up to the scan, RIFF chunks, boxes of AVIF, or the directory's fields of TIFF."""
    if data.startswith(b"\x89PNG"):
        return _walk(data, 8, lambda at: 12 + int.from_bytes(data[at : at + 4], "big"))
    if data.startswith(b"RIFF"):
        return _walk(data, 12, lambda at: 8 + (int.from_bytes(data[at + 4 : at + 8], "little") + 1 & ~1))
    if data[4:8] == b"ftyp":
        return _walk(data, 0, lambda at: int.from_bytes(data[at : at + 4], "big"))
    if data.startswith(b"II*\x00"):
        fields = int.from_bytes(data[4:8], "little") + 2
        return _walk(data[: fields + 12 * 40], fields, lambda at: 12)
    return _walk(data, 2, lambda at: 2 + int.from_bytes(data[at + 2 : at + 4], "big") if data[at] == 0xFF else 0)


def _walk(data: bytes, at: int, length: Callable[[int], int]) -> list[Piece]:
    found = []
    while at < len(data) and len(found) < 500:
        end = at + length(at)
        if end <= at or end > len(data):
            break
        found.append(Piece(at, end))
        at = end
    return found


def _boxes(data: bytes) -> list[int]:
    """Where JUMBF boxes begin."""
    found, at = [], data.find(b"jum")
    while at >= 0 and len(found) < 500:
        found.append(at - 4)
        at = data.find(b"jum", at + 1)
    return [at for at in found if at >= 0]


def flip_bits(data: bytes, _: Sequence[bytes], draw: random.Random) -> bytes:
    """One to eight bits anywhere."""
    out = bytearray(data)
    for _ in range(draw.randint(1, 8)):
        if out:
            out[draw.randrange(len(out))] ^= 1 << draw.randrange(8)
    return bytes(out)


def flip_in_front(data: bytes, _: Sequence[bytes], draw: random.Random) -> bytes:
    """Bits of the first 20,000 bytes, where headers and manifest lie."""
    head = flip_bits(data[:20_000], (), draw)
    return head + data[20_000:]


def overwrite(data: bytes, _: Sequence[bytes], draw: random.Random) -> bytes:
    """A run of random bytes, or of one byte."""
    at, size = draw.randrange(len(data) + 1), draw.choice((1, 2, 4, 16, 256))
    run = draw.randbytes(size) if draw.random() < 0.7 else bytes([draw.randrange(256)]) * size
    return data[:at] + run + data[at + size :]


def cut_out(data: bytes, _: Sequence[bytes], draw: random.Random) -> bytes:
    """Some bytes are gone."""
    at = draw.randrange(len(data) + 1)
    return data[:at] + data[at + draw.choice((1, 3, 12, 100, 5000)) :]


def truncate(data: bytes, _: Sequence[bytes], draw: random.Random) -> bytes:
    """The end is gone."""
    return data[: draw.randrange(len(data) + 1)]


def append(data: bytes, others: Sequence[bytes], draw: random.Random) -> bytes:
    """Something behind the end: bytes, or another file."""
    return data + (draw.randbytes(draw.choice((1, 12, 1000))) if draw.random() < 0.5 else draw.choice(others))


def splice(data: bytes, others: Sequence[bytes], draw: random.Random) -> bytes:
    """The front of this file and the back of another."""
    other = draw.choice(others)
    return data[: draw.randrange(len(data) + 1)] + other[draw.randrange(len(other)) :]


def take_piece(data: bytes, others: Sequence[bytes], draw: random.Random) -> bytes:
    """A chunk of this or another file, put in somewhere."""
    other = draw.choice((data, *others))
    own, theirs = pieces(data), pieces(other)
    if not own or not theirs:
        return splice(data, others, draw)
    at, piece = draw.choice(own), draw.choice(theirs)
    return data[: at.start] + other[piece.start : piece.end] + data[at.start :]


def drop_piece(data: bytes, others: Sequence[bytes], draw: random.Random) -> bytes:
    """A chunk is gone."""
    own = pieces(data)
    if not own:
        return cut_out(data, others, draw)
    piece = draw.choice(own)
    return data[: piece.start] + data[piece.end :]


def swap_pieces(data: bytes, others: Sequence[bytes], draw: random.Random) -> bytes:
    """Two chunks change places."""
    own = pieces(data)
    if len(own) < 2:
        return splice(data, others, draw)
    one, two = sorted(draw.sample(own, 2))
    between = data[one.end : two.start]
    return data[: one.start] + data[two.start : two.end] + between + data[one.start : one.end] + data[two.end :]


def lie_about_length(data: bytes, others: Sequence[bytes], draw: random.Random) -> bytes:
    """A chunk's or a box's length field says something else."""
    riff, jpeg = data.startswith(b"RIFF"), data.startswith(b"\xff\xd8")
    own = [piece.start + (4 if riff else 2 if jpeg else 0) for piece in pieces(data)]
    fields = draw.choice((own, _boxes(data))) or own or [0]
    at = draw.choice(fields)
    width = 2 if jpeg and at in own else 4
    order: Literal["little", "big"] = "little" if riff and at in own else "big"
    true = int.from_bytes(data[at : at + width], order)
    lie = draw.choice((*_TELLING, true + 1, true - 1, true * 2, true // 2)) % (1 << 8 * width)
    return data[:at] + lie.to_bytes(width, order) + data[at + width :]


def edit_box(data: bytes, others: Sequence[bytes], draw: random.Random) -> bytes:
    """A JUMBF box is doubled, dropped, or loses its type or its toggles."""
    starts = _boxes(data)
    if not starts:
        return flip_in_front(data, others, draw)
    at = draw.choice(starts)
    end = at + int.from_bytes(data[at : at + 4], "big")
    change = draw.randrange(4)
    if change == 0:
        return data[:end] + data[at:end] + data[end:]
    if change == 1:
        return data[:at] + data[end:]
    spot = at + (4 if change == 2 else 8 + draw.randrange(40))
    return data[:spot] + draw.randbytes(4 if change == 2 else 1) + data[spot + (4 if change == 2 else 1) :]


def with_true_checksums(data: bytes) -> bytes:
    """A PNG whose chunks have the CRCs that fit them, so that a mutation reaches what lies behind the check."""
    out = bytearray(data)
    if data.startswith(b"\x89PNG"):
        for piece in pieces(data):
            out[piece.end - 4 : piece.end] = zlib.crc32(data[piece.start + 4 : piece.end - 4]).to_bytes(4, "big")
    return bytes(out)


MUTATIONS: tuple[Mutation, ...] = (
    flip_bits,
    flip_in_front,
    overwrite,
    cut_out,
    truncate,
    append,
    splice,
    take_piece,
    drop_piece,
    swap_pieces,
    lie_about_length,
    edit_box,
)


def mutate(data: bytes, others: Sequence[bytes], draw: random.Random) -> tuple[str, bytes]:
    """`data` after one to three mutations, and their names."""
    names = []
    for mutation in draw.choices(MUTATIONS, k=draw.choice((1, 1, 1, 2, 3))):
        data = mutation(data, others, draw)
        names.append(mutation.__name__)
    if draw.random() < 0.4:
        data = with_true_checksums(data)
        names.append("with_true_checksums")
    return " + ".join(names), data
