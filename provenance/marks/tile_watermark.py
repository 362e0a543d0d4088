"""The `tile` watermark: nothing is trained or downloaded, and a copy that was scaled, cropped or turned is read.

A keyed pattern, shaped by what each place of the picture hides, carries 64 bits under a CRC-32 and a polar code. How
it is built stands in `provenance.marks.tile`; what it survives, and what it does not, in `watermark_report/REPORT.md`.

Keys make marks of two operators independent and stop averaging over many pictures. They do not stop somebody who
copies the pattern of one marked picture onto another one: a mark is a reference to a record, never proof alone.
"""

from pathlib import Path
from typing import Final, Literal

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from provenance.errors import MarkUnreadable
from provenance.files.encoding import decode_own
from provenance.files.encoding import encode as encode_file
from provenance.marks.tile.code import LENGTH, Bits, Floats, encode
from provenance.marks.tile.detection import CHANCE, Search, half_plane
from provenance.marks.tile.embedding import add, canonical_scale, lay_out
from provenance.marks.tile.pattern import TILE, Pattern
from provenance.marks.tile.plane import normalise
from provenance.marks.tile.reading import Plane, agreement
from provenance.marks.watermarkers import Detection, MarkGrid, Pixels
from provenance.payload import protect, to_bits, unprotect

_LEAST_KEY_BYTES: Final = 16
_LEAST_SIDE: Final = 128
_LEAST_READ_SIDE: Final = 32

_RIGHT: Final = 0.72
"""Share of code bits that a fresh mark must read right. Decoding begins at about 0.66, so this is stricter, and an
eighth of the work."""

_RIGHT_AFTER_JPEG: Final = 0.7
_ORDINARY_JPEG: Final = 75

_INFORMED: Final = 0.5
"""How far the picture's own voice is answered; 0.5 to 0.7 measured alike."""

_CLEAR: Final = 5.0
"""Clarity that the pilot of a fresh mark must have; reading begins at 4.6."""


class TileKey(BaseModel):
    """One key: `id` is its public name; the secret is given as `hex`, or as a `file` that holds it in hex."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    hex: SecretStr | None = None
    file: Path | None = None

    @model_validator(mode="after")
    def _one_source(self) -> "TileKey":
        if (self.hex is None) == (self.file is None):
            raise ValueError("a key comes from `hex` or from `file`, exactly one of them")
        return self

    def secret(self) -> bytes:
        """The key's bytes. Raises `ValueError` if it is not hex of at least 16 bytes, `OSError` if it is not there."""
        given = self.hex.get_secret_value() if self.hex is not None else self._content()
        try:
            key = bytes.fromhex(given.strip())
        except ValueError:
            raise ValueError(f"the watermark key `{self.id}` is not hexadecimal") from None
        if len(key) < _LEAST_KEY_BYTES:
            raise ValueError(f"the watermark key `{self.id}` is shorter than {_LEAST_KEY_BYTES} bytes")
        return key

    def _content(self) -> str:
        assert self.file is not None
        return self.file.read_text("ascii")


class TileWatermark:
    """Part `tile`. The first key marks; all are tried when reading, newest first."""

    name = "tile"
    version = "1"
    algorithm = "dev.fluxgate.tile.1"
    strengths: tuple[float, ...] = (1.0, 1.12, 1.26, 1.41, 1.58, 1.78, 2.0)  # steps of 1 dB
    min_pixels = 256 * 256
    marks = True

    class Options(BaseModel):
        """`keys`: newest first. `psnr_db`: at strength 1. `flat_rms`: the most that flat areas get at strength 1, in
        grey levels. `mark_bytes`: 8, or 16 for pictures of at least 512 x 512."""

        model_config = ConfigDict(frozen=True, extra="forbid")

        keys: tuple[TileKey, ...] = Field(min_length=1, max_length=100)
        psnr_db: float = Field(default=42.1, ge=38, le=50)
        flat_rms: float = Field(default=0.9, ge=0.3, le=2)
        mark_bytes: Literal[8, 16] = 8

    def __init__(self, options: Options) -> None:
        self._options = options
        self._patterns = tuple(Pattern(key.id, key.secret()) for key in options.keys)
        if len({pattern.key_id for pattern in self._patterns}) < len(self._patterns):
            raise ValueError("two watermark keys have the same id")

    def embed(self, pixels: Pixels, mark: bytes, strength: float) -> Pixels:
        """See `Watermarker.embed`. Climbs to a harder strength by itself where this one does not hold."""
        height, width = pixels.shape[:2]
        if height * width < self.min_pixels or min(height, width) < _LEAST_SIDE:
            raise MarkUnreadable(f"{self.name}: {width}x{height} is too small, at least {self.min_pixels} pixels")
        word = encode(to_bits(protect(mark, self._options.mark_bytes)))
        for candidate in (known for known in self.strengths if known >= strength):
            marked, margins = self._mark(pixels, word, candidate, None)
            if self._holds(marked, mark, word, margins):
                return marked
            # Informed embedding: say louder what the picture itself contradicts, quieter what it says anyway. Only
            # where it is needed: it takes away the energy by which the place of a crop is found.
            marked, margins = self._mark(pixels, word, candidate, _emphasis(margins))
            if self._holds(marked, mark, word, margins):
                return marked
        raise MarkUnreadable(f"{self.name}: this picture does not hold the mark at any permitted strength")

    def _mark(self, pixels: Pixels, word: Bits, strength: float, emphasis: Floats | None) -> tuple[Pixels, Floats]:
        """Marked pixels and how surely each code bit reads back; all of them wrong if the pilot does not show."""
        pattern = self._patterns[0]
        pilot, data = pattern.tiles(word, emphasis)
        marked = add(
            pixels,
            lay_out(pilot, data, pattern.tile_signs, *pixels.shape[:2]),
            psnr_db=self._options.psnr_db - 20 * float(np.log10(strength)),
            flat_rms=self._options.flat_rms * strength,
        )
        clarity, margins = self._read_back(marked, word)
        return marked, margins if clarity >= _CLEAR else np.full_like(margins, -1)

    def _read_back(self, marked: Pixels, word: Bits) -> tuple[float, Floats]:
        scale = canonical_scale(*marked.shape[:2])
        plane = Plane(normalise(half_plane(cv2.cvtColor(marked, cv2.COLOR_RGB2GRAY), scale)))
        return agreement(plane, self._patterns[0], word)

    def _holds(self, marked: Pixels, mark: bytes, word: Bits, margins: Floats) -> bool:
        """Whether a fresh mark reads with room to spare; that of a small picture, after ordinary JPEG too."""
        if _share_right(margins) < _RIGHT:
            return False
        if canonical_scale(*marked.shape[:2]) >= 1:
            return True
        copy = decode_own(encode_file(marked, "image/jpeg", _ORDINARY_JPEG), "image/jpeg")
        clarity, margins = self._read_back(copy, word)
        if clarity < _CLEAR or _share_right(margins) < _RIGHT_AFTER_JPEG:
            return False
        found = self.detect(copy)
        return found is not None and found.mark == mark

    def detect(self, pixels: Pixels) -> Detection | None:
        """See `Watermarker.detect`. `certainty`: from 0 (guesses) to 1, of the code bits before decoding."""
        if min(pixels.shape[:2]) < _LEAST_READ_SIDE:
            return None
        search = Search(self._patterns, 8 * self._options.mark_bytes + 32, unprotect)
        found = search.run(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))
        if found is None:
            return None
        certainty = max(0.0, 1 - 2 * found.corrected_bits / LENGTH)
        rows = found.geometry.tolist()
        grid = MarkGrid(tuple((row[0], row[1], row[2]) for row in rows), TILE, canonical_scale)
        return Detection(found.mark, self.algorithm, certainty, found.corrected_bits, CHANCE, grid)


def _share_right(margins: Floats) -> float:
    return float((margins > 0).mean())


def _emphasis(margins: Floats) -> Floats:
    """(1024,) of mean square 1, linear in what the picture itself says about each bit (improved spread spectrum,
    Malvar and Florencio 2003)."""
    host = margins - margins.mean()
    wanted = np.maximum(1 - _INFORMED * host, 0.1)
    return np.asarray(wanted / np.sqrt((wanted**2).mean()), np.float32)
