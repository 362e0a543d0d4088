"""Reads marks that other systems write: fixed payloads of the invisible-watermark library (0.2.0).

Stable Diffusion's and FLUX's reference code puts one payload, the same for every picture, into all of its output. To
find one is to say which code wrote the picture, and no more: it names no record, and anyone can write it.

1. Evidence. Blocks of 4x4 values of the Haar low band of U carry bit n of the payload in blocks n, n + length, …
   `dwtDct`: the largest value but the first, modulo the step (the library computes no DCT); `dwtDctSvd`: the largest
   singular value, modulo the step; `rivaGan`: the library's network says it. Each gives one number per bit.
2. Agreement. Of a payload with w ones the w strongest bits are read as ones, since pictures push all bits one way.
   Over all payloads with w ones the number that meet is hypergeometric, whatever the picture: an exact chance.

The reference code of SD XL and FLUX hands the library floating-point pictures, in which OpenCV centres U on 0.5 and
not on 128, so that the same bits lie elsewhere; the library's own decoder, given a file, misses those. Of `dwtDct`
both are tried.
"""

import importlib.util
import os
from dataclasses import dataclass, replace
from math import comb
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from provenance.marks.library import STEP, Floats, blocks_of, leading_values, low_band
from provenance.marks.watermarkers import Pixels
from provenance.payload import to_bits

Method = Literal["dwtDct", "dwtDctSvd", "rivaGan"]
Evidence = npt.NDArray[np.floating]

LARGEST_CHANCE: Final = 1e-8
"""What chance may reach for one payload, read one way, in an unmarked picture: 8e-8 a picture with the four of
`REFERENCE`, each read two ways."""

_LEAST_PIXELS: Final = 256 * 256  # the library's own bound
_MOST_RIVAGAN_PIXELS: Final = 4_000_000  # about 5 s; the network's memory grows with the picture
_RIVAGAN_BITS: Final = 32
_MOST_BITS: Final = 512  # a picture of the least size, however narrow, has a block for each
_CENTRES: Final = (256.0, 1.0)
"""What U = 0.492 (B - Y) is shifted by in the Haar low band: twice 128 for bytes, twice 0.5 for floats."""


@dataclass(frozen=True, slots=True)
class ForeignMark:
    """A known payload that was read. `writer`: whose. `wrong_bits` of `bits` differ. `chance`: an upper bound of the
    probability that an unmarked picture agrees as well with any payload that is looked for."""

    writer: str
    method: Method
    bits: int
    wrong_bits: int
    chance: float


class ForeignMarks(Protocol):
    """Finds marks of other systems; a part of the group `fluxgate.foreign_marks`."""

    name: str
    version: str

    def read(self, pixels: Pixels) -> tuple[ForeignMark, ...]:
        """Marks in `pixels`, (height, width, 3), uint8, sRGB; never a guess."""
        ...


class KnownPayload(BaseModel):
    """A payload an operator knows of, such as one written before: `writer` in words, the payload as `text` or `hex`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    writer: str = Field(min_length=1, max_length=200)
    method: Method
    text: str | None = Field(default=None, min_length=4, max_length=64)
    hex: str | None = Field(default=None, pattern=r"^([0-9a-fA-F]{2}){4,64}$")

    @model_validator(mode="after")
    def _usable(self) -> "KnownPayload":
        if (self.text is None) == (self.hex is None):
            raise ValueError("a payload is given as `text` or as `hex`, exactly one of them")
        bits = to_bits(self.payload)
        if bits.size > _MOST_BITS:
            raise ValueError(f"a payload has at most {_MOST_BITS} bits, this one {bits.size}")
        if self.method == "rivaGan" and bits.size != _RIVAGAN_BITS:
            raise ValueError(f"a rivaGan payload has {_RIVAGAN_BITS} bits, this one {bits.size}")
        if chance(bits.size, int(bits.sum()), 0) > LARGEST_CHANCE:
            raise ValueError("too few bits, or nearly all of them equal: unmarked pictures would carry this payload")
        return self

    @property
    def payload(self) -> bytes:
        """Its bytes."""
        return bytes.fromhex(self.hex) if self.hex is not None else (self.text or "").encode()


@dataclass(frozen=True, slots=True)
class _Known:
    writer: str
    method: Method
    bits: npt.NDArray[np.uint8]


def _from_number(number: int) -> npt.NDArray[np.uint8]:
    """As the reference code makes bits of it: `bin(number)[2:]`, which drops leading zeros."""
    return np.array([int(bit) for bit in f"{number:b}"], np.uint8)


REFERENCE: Final = (
    # diffusers, pipelines/stable_diffusion_xl/watermark.py; Stability-AI/generative-models, streamlit_helpers.py
    _Known("Stable Diffusion XL", "dwtDct", _from_number(0b101100111110110010010000011110111011000110011110)),
    # black-forest-labs, flux/util.py and flux2/watermark.py: written as 48 bits, of which 46 are embedded
    _Known("FLUX", "dwtDct", _from_number(0b001010101111111010000111100111001111010100101110)),
    # CompVis/stable-diffusion and Stability-AI/stablediffusion, scripts/txt2img.py
    _Known("Stable Diffusion 1", "dwtDct", to_bits(b"StableDiffusionV1")),
    _Known("Stable Diffusion 2", "dwtDct", to_bits(b"SDV2")),
)


class InvisibleWatermarks:
    """Part `invisible_watermark`: the reference payloads, and those an operator adds."""

    name = "invisible_watermark"
    version = "1"

    class Options(BaseModel):
        """`known`: payloads besides the reference code's. `rivaGan` ones cost seconds a picture, and need
        onnxruntime and the network that comes with invisible-watermark."""

        model_config = ConfigDict(frozen=True, extra="forbid")

        known: tuple[KnownPayload, ...] = Field(default=(), max_length=100)

    def __init__(self, options: Options) -> None:
        added = (_Known(known.writer, known.method, to_bits(known.payload)) for known in options.known)
        self._known = (*REFERENCE, *added)
        self._readings = sum(1 if known.method == "rivaGan" else len(_CENTRES) for known in self._known)
        self._rivagan = _RivaGan() if any(known.method == "rivaGan" for known in self._known) else None

    def read(self, pixels: Pixels) -> tuple[ForeignMark, ...]:
        """See `ForeignMarks.read`. About 5 ms at 1024 x 1024 without `rivaGan`."""
        height, width = pixels.shape[:2]
        if height * width < _LEAST_PIXELS or min(height, width) < 8:
            return ()
        blocks = blocks_of(low_band(pixels))
        methods = {known.method for known in self._known}
        spoken: dict[Method, list[Evidence]] = {}
        for centre in _CENTRES:
            shifted = blocks + np.float32(centre - _CENTRES[0])
            if "dwtDct" in methods:
                spoken.setdefault("dwtDct", []).append(_speaks(_largest(shifted)))
            if "dwtDctSvd" in methods:
                spoken.setdefault("dwtDctSvd", []).append(_speaks(leading_values(shifted)[1]))
        if self._rivagan is not None and height * width <= _MOST_RIVAGAN_PIXELS:
            spoken["rivaGan"] = [self._rivagan.evidence(pixels)]
        found = (_best(known, spoken.get(known.method, [])) for known in self._known)
        return tuple(
            replace(mark, chance=min(1.0, mark.chance * self._readings))
            for mark in found
            if mark is not None and mark.chance <= LARGEST_CHANCE
        )


def chance(bits: int, ones: int, wrong: int) -> float:
    """That at most `wrong` of `bits` differ, if the `ones` set bits lay anywhere: the hypergeometric tail."""
    missed = min(wrong // 2, ones, bits - ones)
    return sum(comb(ones, k) * comb(bits - ones, k) for k in range(missed + 1)) / comb(bits, ones)


def _best(known: _Known, spoken: list[Evidence]) -> ForeignMark | None:
    marks = (_agreement(known, _per_bit(evidence, known.bits.size)) for evidence in spoken)
    return min(marks, key=lambda mark: mark.chance, default=None)


def _agreement(known: _Known, evidence: Evidence) -> ForeignMark:
    ones = int(known.bits.sum())
    read = np.zeros_like(known.bits)
    read[np.argsort(-evidence, kind="stable")[:ones]] = 1
    wrong = int((read != known.bits).sum())
    return ForeignMark(known.writer, known.method, known.bits.size, wrong, chance(known.bits.size, ones, wrong))


def _per_bit(spoken: Evidence, bits: int) -> Evidence:
    """(bits,): the mean of what the blocks of each bit say; blocks beyond the last whole round are left out."""
    means: Evidence = spoken[: spoken.size // bits * bits].reshape(-1, bits).mean(axis=0)
    return means


def _largest(blocks: Floats) -> Floats:
    """(blocks,): per block the largest size of a value that is not the first."""
    values: Floats = np.abs(blocks.reshape(16, -1)[1:]).max(axis=0)
    return values


def _speaks(values: Floats) -> Floats:
    """In [-1, 1]: how near each value lies to 3/4 of the step (one) or to 1/4 of it (zero)."""
    spoken: Floats = -np.sin(values * np.float32(2 * np.pi / STEP))
    return spoken


class _RivaGan:
    """The decoder network inside invisible-watermark, run without the library, which would load torch."""

    def __init__(self) -> None:
        package = importlib.util.find_spec("imwatermark")
        if package is None or package.origin is None:
            raise ValueError("rivaGan payloads need the package invisible-watermark")
        os.putenv("ORT_DISABLE_TELEMETRY", "1")  # read when the library is loaded; without it, it calls home
        try:
            import onnxruntime
        except ImportError as missing:
            raise ValueError("rivaGan payloads need the package onnxruntime") from missing
        model = Path(package.origin).with_name("rivagan_decoder.onnx")
        self._session: Any = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])

    def evidence(self, pixels: Pixels) -> Evidence:
        """(32,), higher for a one. The network wants (1, 3, 1, height, width), blue first, in [-1, 1]."""
        frame = pixels[..., ::-1].astype(np.float32).transpose(2, 0, 1)[None, :, None] / 127.5 - 1
        said: Evidence = self._session.run(None, {"frame": frame})[0][0]
        return said
