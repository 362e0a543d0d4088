"""What a watermarker is, and the one that does not mark and says so in its name."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

Pixels = npt.NDArray[np.uint8]
"""(height, width, 3), uint8, sRGB, C-contiguous, read-only."""


@dataclass(frozen=True, slots=True)
class MarkGrid:
    """The geometry a mark that repeats gives: scale, turn, mirror, squeeze, bend, and the place within one period.

    `matrix`: three rows of three; places (x, y), in pixels from the middle of the first, of the picture that was read
    to places of the marked picture at the mark's own scale. Right up to whole multiples of `period`, in both
    directions. `pixels_per_unit`: pixels of a marked picture (height, width) for each unit of the mark's own scale.
    """

    matrix: tuple[tuple[float, float, float], ...]
    period: float
    pixels_per_unit: Callable[[int, int], float]


@dataclass(frozen=True, slots=True)
class Detection:
    """A mark that was read. `certainty`: of its weakest bit, in [0, 1]. `corrected_bits`: set right by the checksum.
    `chance`: at most, that the whole search mistakes an unmarked picture; None if the scheme does not say. `grid`: how
    the marked picture lies in this one, None if the scheme does not say."""

    mark: bytes
    algorithm: str
    certainty: float
    corrected_bits: int
    chance: float | None = None
    grid: "MarkGrid | None" = None


class Watermarker(Protocol):
    """Writes a mark into pixels and finds it again.

    `algorithm`: versioned reverse-DNS id, as it stands in soft-binding assertions; a change that old detectors do not
    read gets a new id. `strengths`: factors the embedder accepts, gentlest first; sealing climbs them only as far as
    a picture and its encoding demand. `min_pixels`: pictures with fewer pixels cannot be marked.
    `marks`: False only for `UnsafeUnmarked`.
    """

    name: str
    version: str
    algorithm: str
    strengths: tuple[float, ...]
    min_pixels: int
    marks: bool

    def embed(self, pixels: Pixels, mark: bytes, strength: float) -> Pixels:
        """A marked copy of `pixels`, which are neither changed nor kept. `mark`: 8 bytes.

        Raises `MarkUnreadable` if the mark cannot be read back from the copy, so a returned picture is a marked one.
        """
        ...

    def detect(self, pixels: Pixels) -> Detection | None:
        """The mark in `pixels`, or None if none passes the checksum. Never an unchecked guess."""
        ...


class UnsafeUnmarked:
    """Marks nothing. For development only: settings refuse it unless `unsafe_development = true`."""

    name = "unsafe_unmarked"
    version = "1"
    algorithm = "dev.fluxgate.unsafe-unmarked.1"
    strengths: tuple[float, ...] = (1.0,)
    min_pixels = 1
    marks = False

    class Options(BaseModel):
        """Nothing to choose."""

        model_config = ConfigDict(frozen=True, extra="forbid")

    def __init__(self, options: Options) -> None:
        warnings.warn(
            "UnsafeUnmarked: pictures will leave without a watermark and cannot be recognised once their metadata "
            "is stripped. Use it for development only.",
            UserWarning,
            stacklevel=2,
        )

    def embed(self, pixels: Pixels, mark: bytes, strength: float) -> Pixels:
        """The same pixels, unmarked."""
        return pixels

    def detect(self, pixels: Pixels) -> Detection | None:
        """Always None."""
        return None
