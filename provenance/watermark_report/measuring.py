"""Marks every picture with every scheme, does to it what the attacks say, and counts what is read."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from provenance.errors import MarkUnreadable
from provenance.marks.watermarkers import Watermarker
from provenance.watermark_report.attacks import Attack
from provenance.watermark_report.pictures import Picture
from provenance.watermark_report.statistics import flat_rms, psnr_db, ssim

MARK = bytes.fromhex("f1a9c0de5eed0042")


@dataclass(slots=True)
class Cell:
    """One scheme, kind and attack. `outcomes`: for each picture its place and whether the exact mark was read."""

    outcomes: list[tuple[int, bool]] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)
    wrong: int = 0

    def count(self, places: Callable[[int], bool] = lambda place: True) -> tuple[int, int]:
        """How many were read, of how many."""
        chosen = [read for place, read in self.outcomes if places(place)]
        return sum(chosen), len(chosen)


@dataclass(slots=True)
class Quality:
    """What marking did to the pictures of one kind. `refused`: names of those that could not be marked."""

    psnr: list[float] = field(default_factory=list)
    ssim: list[float] = field(default_factory=list)
    flat: list[float] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Measured:
    """One scheme at one size. `cells`: by (kind, attack name). `false_marks`: found in unmarked pictures, of
    `searches`."""

    scheme: str
    width: int
    height: int
    quality: dict[str, Quality] = field(default_factory=dict)
    cells: dict[tuple[str, str], Cell] = field(default_factory=dict)
    searches: int = 0
    false_marks: int = 0
    unmarked_milliseconds: list[float] = field(default_factory=list)


def measure(
    label: str,
    scheme: Watermarker,
    pictures: Iterable[Picture],
    attacks: Sequence[Attack],
    *,
    width: int,
    height: int,
    progress: Callable[[str], None],
) -> Measured:
    """Runs the whole table for one scheme. Times are CPU time of this process, all threads included."""
    measured = Measured(label, width, height)
    for picture in pictures:
        progress(picture.name)
        _unmarked(measured, scheme, picture, attacks)
        quality = measured.quality.setdefault(picture.kind, Quality())
        before = time.process_time()
        try:
            marked = scheme.embed(picture.pixels, MARK, scheme.strengths[0])
        except MarkUnreadable:
            quality.refused.append(picture.name)
            continue
        quality.milliseconds.append((time.process_time() - before) * 1000)
        quality.psnr.append(psnr_db(picture.pixels, marked))
        quality.ssim.append(ssim(picture.pixels, marked))
        flat = flat_rms(picture.pixels, marked)
        quality.flat += [] if flat is None else [flat]
        for attack in attacks:
            cell = measured.cells.setdefault((picture.kind, attack.name), Cell())
            attacked = attack.apply(marked, np.random.default_rng([picture.place, 1]))
            before = time.process_time()
            found = scheme.detect(attacked)
            cell.milliseconds.append((time.process_time() - before) * 1000)
            cell.outcomes.append((picture.place, found is not None and found.mark == MARK))
            cell.wrong += found is not None and found.mark != MARK
    return measured


_SHOWN_UNMARKED = 8


def _unmarked(measured: Measured, scheme: Watermarker, picture: Picture, attacks: Sequence[Attack]) -> None:
    """Searches the unmarked picture, as it is and after a few attacks, another few for each picture."""
    start = picture.place * _SHOWN_UNMARKED
    chosen = [attacks[(start + n) % len(attacks)] for n in range(min(_SHOWN_UNMARKED, len(attacks)))]
    versions = [picture.pixels]
    versions += [attack.apply(picture.pixels, np.random.default_rng([picture.place, 2])) for attack in chosen]
    for pixels in versions:
        before = time.process_time()
        found = scheme.detect(pixels)
        measured.unmarked_milliseconds.append((time.process_time() - before) * 1000)
        measured.searches += 1
        measured.false_marks += found is not None
