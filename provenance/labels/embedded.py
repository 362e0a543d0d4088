"""Takes what may hold a label out of a picture file of any origin: XMP, EXIF user comment, PNG text (Pillow)."""

import io
from dataclasses import dataclass
from typing import Final

from PIL import ExifTags, Image

from provenance.files.encoding import MEDIA_TYPES
from provenance.files.headers import text_behind_pixels

MAX_BYTES: Final = 1024 * 1024
"""What is longer is not looked into; labels are a few hundred bytes, and Lightroom's packets stay below this."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """`xmp`: the packet, empty if there is none. `notes`: EXIF user comment and PNG text `AIGC`, as far as there.
    `unreadable`: something there is broken or larger than `MAX_BYTES`, and was left out."""

    xmp: bytes = b""
    notes: tuple[str, ...] = ()
    unreadable: bool = False


def embedded(data: bytes, media_type: str) -> Embedded:
    """What stands in `data`, a file whose pixels have been decoded before. Never raises for what is in it."""
    xmp, notes, unreadable = b"", [], False
    try:
        with Image.open(io.BytesIO(data), formats=(MEDIA_TYPES[media_type],)) as picture:
            if media_type == "image/png" and text_behind_pixels(data):
                picture.load()  # Pillow reads what stands behind the pixels only with them
            packet = picture.info.get("xmp", b"")
            xmp = packet if isinstance(packet, bytes) else b""
            notes.append(str(picture.info.get("AIGC", "")))
            told = media_type != "image/png" or "exif" in picture.info  # asked for it, Pillow decodes a whole PNG
            exif = picture.getexif() if told else Image.Exif()
            comment = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.UserComment, b"")
            notes.append(_user_comment(comment) if isinstance(comment, bytes) else "")
    except Exception:  # noqa: BLE001  a stranger's metadata makes Pillow raise anything
        unreadable = True
    unreadable = unreadable or any(len(part) > MAX_BYTES for part in (xmp, *notes))
    return Embedded(
        xmp if len(xmp) <= MAX_BYTES else b"", tuple(note for note in notes if 0 < len(note) <= MAX_BYTES), unreadable
    )


def _user_comment(comment: bytes) -> str:
    """EXIF 3.0, 4.6.6: eight bytes name the character code. `UNICODE` is UTF-16 in either order."""
    code, text = comment[:8], comment[8:]
    if code == b"UNICODE\x00":
        return text.decode("utf-16-be" if text[:1] == b"\x00" else "utf-16-le", "replace")
    return text.decode("utf-8", "replace").rstrip("\x00")
