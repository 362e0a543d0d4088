"""What is written: a pilot that repeats with every tile, and a data layer whose sign changes from tile to tile. Pure.

The pilot (24 sinusoids) repeats exactly, so it makes sharp spectral lines by which scale, rotation and position are
found again. The data layer does not repeat: each tile carries it with a keyed sign, so averaging a picture's own tiles
cancels it instead of revealing it. The signs repeat after 8 x 8 tiles, which a picture of up to 1024 x 1024 (and any
larger one, whose tiles grow with it) does not reach; a reader of a crop tries the 64 places it may have come from.

Pilot frequencies are the same for every key, so that one spectral search serves all keys; phases, signs, code
permutation and scrambler are keyed. Tile size, band, energies and tilt are measured choices: the report beside
`watermark_report` shows what they reach.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from provenance.marks.tile import keystream
from provenance.marks.tile.code import LENGTH, Bits, Floats
from provenance.marks.tile.transforms import irfft2

TILE: Final = 128
"""Side of a tile in canonical pixels: those of the picture, or of its 1024 x 1024 equivalent if it is larger."""

PLANE_TILE: Final = TILE // 2
"""Reading works at half the canonical resolution: the band ends below its Nyquist frequency."""

PERIOD: Final = 8
"""The data signs repeat after this many tiles in each direction."""

_BAND: Final = (7.0, 30.0)  # cycles per tile: 0.055 to 0.234 cycles per pixel
_PILOT_BAND: Final = (8.0, 20.0)
_PILOTS: Final = 24
_PILOT_ENERGY: Final = 0.4  # synchronisation fails long before the code does
_TILT: Final = -0.3
_JPEG: Final = TILE // 8  # multiples of this in both directions are harmonics of JPEG's 8 x 8 blocks


def _half_plane() -> npt.NDArray[np.intp]:
    """(n, 2) of (ky, kx): every usable frequency once."""
    ky, kx = np.mgrid[-31:32, 0:32]
    radius = np.hypot(ky, kx)
    usable = (radius >= _BAND[0]) & (radius <= _BAND[1]) & ((kx > 0) | (ky > 0))
    usable &= (ky % _JPEG != 0) | (kx % _JPEG != 0)
    return np.stack([ky[usable], kx[usable]], 1)


def _pilot_bins() -> npt.NDArray[np.intp]:
    """(24, 2): one frequency in each 7.5 degrees, at radii that are drawn once for all keys."""
    bins = _half_plane()
    radius = np.hypot(bins[:, 0], bins[:, 1])
    angle = np.degrees(np.arctan2(bins[:, 0], bins[:, 1])) % 180
    fit = (radius >= _PILOT_BAND[0]) & (radius <= _PILOT_BAND[1]) & np.all(bins % _JPEG != 0, axis=1)
    draws = keystream.uniform(b"", "pilot frequencies", _PILOTS)
    chosen = []
    for sector, draw in enumerate(draws):
        inside = np.flatnonzero(fit & (angle // (180 / _PILOTS) == sector))
        chosen.append(bins[inside[int(draw * len(inside))]])
    return np.array(chosen)


PILOTS: Final = _pilot_bins()
"""(24, 2) of (ky, kx), cycles per tile."""

_ALL: Final = _half_plane()
DATA: Final = _ALL[~(_ALL[:, None] == PILOTS[None]).all(2).any(1)]
"""(about 1300, 2) of (ky, kx): the frequencies of the data layer. Each holds two slots, cosine and sine."""

DATA_AMPLITUDE: Final[Floats] = (np.hypot(DATA[:, 0], DATA[:, 1]) / 16).astype(np.float32) ** np.float32(_TILT)

_DEPTH: Final = -(-2 * len(DATA) // LENGTH)


@dataclass(frozen=True)
class Pattern:
    """Everything one key decides. `key_id`: its public name. `key`: at least 16 secret bytes."""

    key_id: str
    key: bytes

    @cached_property
    def pilot_phases(self) -> npt.NDArray[np.complex64]:
        """(24,) unit phasors."""
        phases = 2j * np.pi * keystream.uniform(self.key, "pilot phases", _PILOTS)
        return np.asarray(np.exp(phases), np.complex64)

    @cached_property
    def tile_signs(self) -> Floats:
        """(8, 8): the sign of the data layer in each tile; as many of either, so that their sum holds nothing."""
        rank = keystream.permutation(self.key, "tile signs", PERIOD * PERIOD)
        return np.where(rank % 2 == 0, 1, -1).astype(np.float32).reshape(PERIOD, PERIOD)

    @cached_property
    def _slot_bits(self) -> npt.NDArray[np.intp]:
        """(slots,): which code bit each slot carries; every bit has two or three slots."""
        return keystream.permutation(self.key, "slots", 2 * len(DATA)) % LENGTH

    @cached_property
    def slot_signs(self) -> Floats:
        """(slots,): the keyed sign of each slot."""
        return keystream.signs(self.key, "slot signs", 2 * len(DATA))

    @cached_property
    def scrambler(self) -> Bits:
        """(1024,): added to the code bits, so that equal marks of two keys have nothing in common."""
        return keystream.bits(self.key, "scrambler", LENGTH)

    @cached_property
    def gather(self) -> npt.NDArray[np.intp]:
        """(depth, 1024): the slots of each code bit; the number of slots stands for "none"."""
        order = np.argsort(self._slot_bits, kind="stable")
        bit = self._slot_bits[order]
        rank = np.arange(len(bit)) - np.searchsorted(bit, bit)
        table = np.full((_DEPTH, LENGTH), len(bit), np.intp)
        table[rank, bit] = order
        return table

    def tiles(self, code_word: Bits, emphasis: Floats | None = None) -> tuple[Floats, Floats]:
        """The pilot tile and the data tile, each (128, 128); their sum has unit variance.

        `code_word`: (1024,) bits. `emphasis`: (1024,), how strongly to say each bit; all alike if not given.
        """
        spoken = 1 - 2.0 * (code_word ^ self.scrambler)
        if emphasis is not None:
            spoken = spoken * emphasis
        slots = spoken[self._slot_bits] * self.slot_signs
        data = (slots[0::2] + 1j * slots[1::2]) * DATA_AMPLITUDE
        return (
            _synthesise(PILOTS, self.pilot_phases) * np.float32(np.sqrt(_PILOT_ENERGY)),
            _synthesise(DATA, data) * np.float32(np.sqrt(1 - _PILOT_ENERGY)),
        )


def _synthesise(bins: npt.NDArray[np.intp], values: npt.NDArray[Any]) -> Floats:
    """The (128, 128) tile of unit variance with these Fourier coefficients."""
    spectrum = np.zeros((TILE, TILE // 2 + 1), np.complex64)
    spectrum[bins[:, 0] % TILE, bins[:, 1]] = values
    spectrum[:, 0] *= 2  # the other columns stand for their mirror images too
    tile = irfft2(spectrum, (TILE, TILE))
    return np.asarray(tile / tile.std(), np.float32)
