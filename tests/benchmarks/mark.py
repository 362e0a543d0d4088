"""`python -m tests.benchmarks.mark`: CPU time to mark and to read, the tile scheme beside invisible-watermark.

One thread, the same 1024 x 1024 picture, rivals in turns. Fails on a ratio, never on a time: the tile scheme must mark
and read, wherever the picture is scaled or turned, in a fraction of what the stock `dwtDctSvd` needs for a picture that
nothing has happened to.
"""

import argparse
import json
import sys
from collections.abc import Callable

import cv2
import numpy as np

from provenance.marks.tile_watermark import TileWatermark
from provenance.watermark_report.attacks import ATTACKS
from provenance.watermark_report.stock import StockWatermark
from tests.benchmarks.interleaved import interleave
from tests.benchmarks.seal import photograph

GOALS = {"embed": 12.0, "detect aligned": 8.0, "detect turned": 2.0, "detect scaled": 2.0, "say no mark": 1.5}
"""Times stock `dwtDctSvd`: its embedding for ours, its decoding for our reading."""

MARK = bytes.fromhex("0123456789abcdef")


def main() -> int:
    """Prints the figures; returns 1 if a goal is missed."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--json", action="store_true")
    chosen = arguments.parse_args()
    cv2.setNumThreads(1)
    pixels = photograph(1024)
    pixels.flags.writeable = False
    ours = TileWatermark(TileWatermark.Options.model_validate({"keys": [{"id": "bench", "hex": "5a" * 32}]}))
    stock = StockWatermark("dwtDctSvd")
    marked = ours.embed(pixels, MARK, 1.0)
    attacked = {attack.name: attack.apply(marked, np.random.default_rng(0)) for attack in ATTACKS}
    stock_marked = stock.embed(pixels, MARK, 1.0)
    rivals: dict[str, Callable[[], object]] = {
        "stock embed": lambda: stock.embed(pixels, MARK, 1.0),
        "stock detect": lambda: stock.detect(stock_marked),
        "embed": lambda: ours.embed(pixels, MARK, 1.0),
        "detect aligned": lambda: ours.detect(marked),
        "detect turned": lambda: ours.detect(attacked["rotate 15"]),
        "detect scaled": lambda: ours.detect(attacked["resize x0.5"]),
        "say no mark": lambda: ours.detect(pixels),
    }
    timings = interleave(rivals, chosen.rounds)
    ratios = {
        name: timings["stock embed" if name == "embed" else "stock detect"].median / timings[name].median
        for name in GOALS
    }
    if chosen.json:
        figures = {name: {"least_ms": timing.least, "median_ms": timing.median} for name, timing in timings.items()}
        sys.stdout.write(json.dumps({"timings": figures, "ratios": ratios, "goals": GOALS}) + "\n")
    else:
        for name, timing in timings.items():
            goal = f"   {ratios[name]:5.1f} times less than stock (goal {GOALS[name]:g})" if name in GOALS else ""
            sys.stdout.write(f"{name:<16} least / median {timing}{goal}\n")
    return int(any(ratios[name] < goal for name, goal in GOALS.items()))


if __name__ == "__main__":
    sys.exit(main())
