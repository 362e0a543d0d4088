"""How long the tile scheme searches by the number of its keys, and how often it finds a mark where there is none."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from provenance.errors import MarkUnreadable
from provenance.marks.tile_watermark import TileKey, TileWatermark
from provenance.marks.watermarkers import Pixels
from provenance.watermark_report.attacks import ATTACKS, Attack
from provenance.watermark_report.measuring import MARK
from provenance.watermark_report.pictures import Picture

COUNTS = (1, 10, 100)
_POOL_KEYS = 10
_SHOWN = ("none", "resize x0.5", "rotate 15")
_TIMED_PICTURES = 3


@dataclass(slots=True)
class Timing:
    """CPU milliseconds of every search with `keys` keys, of which the last one had marked. `read`: by attack."""

    keys: int
    read: dict[str, list[float]] = field(default_factory=dict)
    found: int = 0
    searched: int = 0
    unmarked: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Pool:
    """Searches of unmarked pictures with several keys at once."""

    keys: int
    searches: int = 0
    found: int = 0
    milliseconds: list[float] = field(default_factory=list)


def _part(numbers: Sequence[int]) -> TileWatermark:
    """The part with keys made up for measuring."""
    keys = (TileKey.model_validate({"id": f"measuring-{n}", "hex": f"{n:064x}"}) for n in numbers)
    return TileWatermark(TileWatermark.Options(keys=tuple(keys)))


def time_keys(pictures: Sequence[Picture], progress: Callable[[str], None]) -> list[Timing]:
    """Reads marks of the oldest key, and unmarked pictures, with each number of keys of `COUNTS`."""
    attacks = [attack for attack in ATTACKS if attack.name in _SHOWN]
    timings = []
    for count in COUNTS:
        reader = _part(range(count))
        oldest = _part([count - 1])
        timing = Timing(count)
        for picture in pictures[:_TIMED_PICTURES]:
            progress(picture.name)
            timing.unmarked.append(_search(reader, picture.pixels)[1])
            try:
                marked = oldest.embed(picture.pixels, MARK, 1.0)
            except MarkUnreadable:
                continue
            for attack in attacks:
                found, took = _search(reader, attack.apply(marked, np.random.default_rng(picture.place)))
                timing.read.setdefault(attack.name, []).append(took)
                timing.found += found == MARK
                timing.searched += 1
        timings.append(timing)
    return timings


def search_unmarked(pictures: Sequence[Picture], attacks: Sequence[Attack], progress: Callable[[str], None]) -> Pool:
    """Looks with ten keys for marks in unmarked pictures, each after every one of `attacks`."""
    reader = _part(range(_POOL_KEYS))
    pool = Pool(_POOL_KEYS)
    for picture in pictures:
        progress(picture.name)
        for attack in attacks:
            found, took = _search(reader, attack.apply(picture.pixels, np.random.default_rng([picture.place, 3])))
            pool.searches += 1
            pool.found += found is not None
            pool.milliseconds.append(took)
    return pool


def _search(reader: TileWatermark, pixels: Pixels) -> tuple[bytes | None, float]:
    before = time.process_time()
    found = reader.detect(pixels)
    return (None if found is None else found.mark), (time.process_time() - before) * 1000
