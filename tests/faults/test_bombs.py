"""Small files that would become large: each is judged by a process of its own, whose memory and time are watched."""

import io
import json
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from provenance.files.encoding import encode
from provenance.files.headers import png_chunk
from tests.provenance.pictures import make_picture

MOST_MIB = 200
"""More than the process needs for a small picture."""

VERIFY = """
import json, resource, sys, time
from pathlib import Path
from moderation.known_pictures.pdq import pdq
from provenance.marks.library import LibraryWatermark
from provenance.credentials.reading import ManifestReader
from provenance.verification import VerifierSetup, verify
parts = VerifierSetup(ManifestReader(""), (LibraryWatermark(LibraryWatermark.Options()),), pdq)
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
verify(parts, Path(sys.argv[1]).read_bytes())
before, began = peak(), time.process_time()
report = verify(parts, Path(sys.argv[2]).read_bytes())
print(json.dumps({"verdict": report.standing, "mib": peak() - before, "seconds": time.process_time() - began}))
"""

PLAIN = encode(make_picture(256, 256), "image/png", 90)
SMALL_JPEG = encode(make_picture(256, 256), "image/jpeg", 90)
SMALL_WEBP = encode(make_picture(256, 256), "image/webp", 90)
ZEROS = zlib.compress(bytes(400 << 20), 9)  # 400 MB in 400 kB


def png_with(chunk: bytes) -> bytes:
    """A small picture with a chunk behind its header."""
    return PLAIN[:33] + chunk + PLAIN[33:]


def png_of(width: int, height: int, content: bytes) -> bytes:
    """A PNG that says it has this size."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", content) + png_chunk(b"IEND", b"")


def jpeg_with(segment: bytes, marker: bytes = b"\xff\xe1") -> bytes:
    """A small picture with a segment behind its start."""
    return SMALL_JPEG[:2] + marker + (len(segment) + 2).to_bytes(2, "big") + segment + SMALL_JPEG[2:]


def exif(entries: int, count: int) -> bytes:
    """An EXIF block whose entries all claim `count` values that are not there."""
    entry = struct.pack(">HHII", 0x0112, 4, count, 8)
    return b"Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08" + struct.pack(">H", entries) + entry * min(entries, 5000)


def looping_exif() -> bytes:
    """An EXIF block whose directory follows itself."""
    entries = struct.pack(">HHII", 0x8769, 4, 1, 8) + struct.pack(">HHII", 0x8825, 4, 1, 8)
    return b"Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08" + struct.pack(">H", 2) + entries + struct.pack(">I", 8)


def scans_bomb(scans: int) -> bytes:
    """A progressive JPEG of 25 megapixels in which one empty scan is repeated: every one walks the whole picture."""
    out = io.BytesIO()
    Image.new("L", (5000, 5000)).save(out, "JPEG", progressive=True)
    data = out.getvalue()
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * scans + data[-2:]


def gigantic_webp() -> bytes:
    data = bytearray(SMALL_WEBP)
    data[26:30] = struct.pack("<HH", 16383, 16383)
    return bytes(data)


def gigantic_jpeg() -> bytes:
    data = bytearray(SMALL_JPEG)
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", 65535, 65535)
    return bytes(data)


def deep_xmp(depth: int) -> bytes:
    packet = b"c2pa dcterms:provenance" + b"<x>" * depth + b"</x>" * depth
    return png_with(png_chunk(b"iTXt", b"XML:com.adobe.xmp\x00\x00\x00\x00\x00" + packet))


def entities_xmp() -> bytes:
    doors = b"".join(b'<!ENTITY l%d "&l%d;&l%d;&l%d;&l%d;">' % (n, n - 1, n - 1, n - 1, n - 1) for n in range(1, 30))
    packet = (
        b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY l0 "lol">' + doors + b"]><x c2pa='dcterms:provenance'>&l29;</x>"
    )
    return png_with(png_chunk(b"iTXt", b"XML:com.adobe.xmp\x00\x00\x00\x00\x00" + packet))


BOMBS: dict[str, Callable[[], bytes]] = {
    "png of gigantic size": lambda: png_of(2**31 - 1, 2**31 - 1, zlib.compress(b"")),
    "png of 60000 x 60000": lambda: png_of(60_000, 60_000, ZEROS),
    "png with more pixels than it says": lambda: png_of(16, 16, ZEROS),
    "png with a compressed text": lambda: png_with(png_chunk(b"zTXt", b"Comment\x00\x00" + ZEROS)),
    "png with a compressed xmp": lambda: png_with(png_chunk(b"iTXt", b"XML:com.adobe.xmp\x00\x01\x00\x00\x00" + ZEROS)),
    "png with a colour profile": lambda: png_with(png_chunk(b"iCCP", b"profile\x00\x00" + ZEROS)),
    "png with many texts": lambda: png_with(png_chunk(b"tEXt", b"Comment\x00" + b"x" * 20) * 200_000),
    "png with an exif of many values": lambda: png_with(png_chunk(b"eXIf", exif(65_535, 2**32 - 1)[6:])),
    "png with a deep xmp": lambda: deep_xmp(1_000_000),
    "png with an xmp of entities": entities_xmp,
    "jpeg of gigantic size": gigantic_jpeg,
    "jpeg with an exif of many values": lambda: jpeg_with(exif(5000, 2**32 - 1)),
    "jpeg with an exif that loops": lambda: jpeg_with(looping_exif()),
    "jpeg with many profiles": lambda: jpeg_with(b"ICC_PROFILE\x00\x01\xff" + bytes(60_000), b"\xff\xe2"),
    "webp of gigantic size": gigantic_webp,
}


Judged = Callable[[bytes], dict[str, float]]


@pytest.fixture
def judged(tmp_path: Path) -> Judged:
    """Verdict, additional memory and CPU seconds of verifying some bytes."""
    (tmp_path / "warm").write_bytes(encode(make_picture(512, 512), "image/png", 90))

    def of(data: bytes) -> dict[str, float]:
        (tmp_path / "bomb").write_bytes(data)
        command = [sys.executable, "-c", VERIFY, str(tmp_path / "warm"), str(tmp_path / "bomb")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        return dict(json.loads(done.stdout))

    return of


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.slow] if number % 4 else []) for number, kind in enumerate(BOMBS)]
)
def test_a_bomb_is_judged_within_the_memory_of_a_small_picture(judged: Judged, kind: str) -> None:
    data = BOMBS[kind]()
    assert len(data) < 16 << 20

    found = judged(data)

    assert found["verdict"] in ("uncheckable", "not_found", "foreign")
    assert found["mib"] < MOST_MIB + 3 * len(data) / 2**20


def test_a_jpeg_of_a_thousand_scans_is_refused_before_it_is_decoded(
    judged: Judged,
) -> None:
    found = judged(scans_bomb(1000))

    assert found["verdict"] == "uncheckable"
    assert found["mib"] < MOST_MIB


def test_the_largest_picture_that_is_taken_needs_memory_in_proportion(
    judged: Judged,
) -> None:
    """40 megapixels, the limit: 115 MiB of pixels, decoded from a small file."""
    out = io.BytesIO()
    Image.fromarray(np.zeros((5000, 8000, 3), np.uint8)).save(out, "PNG")

    found = judged(out.getvalue())

    assert found["verdict"] == "not_found"
    assert found["mib"] < 12 * 115
