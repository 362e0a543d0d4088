"""`python -m tests.benchmarks.seal_workers`: how many more pictures two workers seal than one, threads and processes.

Wall time of a batch, in turns, as a ratio to one thread; and, of one picture, how much of the time c2pa holds, which
calls back into Python for every read and write and so keeps other threads waiting.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import cv2

from provenance.encoding import encode
from provenance.labels import attach, packet
from provenance.manifest import definition
from provenance.sealing import SealingParts, seal
from provenance.watermarkers import Pixels
from tests.benchmarks import operator
from tests.benchmarks.interleaved import interleave
from tests.benchmarks.seal import photograph

_parts: SealingParts | None = None
_pixels: Pixels | None = None


def begin(folder: Path, side: int) -> None:
    """In every process that seals."""
    global _parts, _pixels
    cv2.setNumThreads(1)
    _parts = operator.sealing(folder)
    _pixels = photograph(side)
    _pixels.flags.writeable = False


def seal_one(number: int) -> int:
    """The size of a sealed PNG."""
    assert _parts is not None
    assert _pixels is not None
    return len(seal(_parts, _pixels, operator.claim(mark=number.to_bytes(8, "big"))).data)


def shares(rounds: int) -> dict[str, float]:
    """Median CPU milliseconds of the steps that are c2pa's, and of all."""
    assert _parts is not None
    assert _pixels is not None
    parts, pixels, claim = _parts, _pixels, operator.claim()
    height, width = pixels.shape[:2]
    labelled = attach(encode(pixels, "image/png", 90), "image/png", packet(claim), width=width, height=height)
    manifest = definition(claim, parts.watermarker.algorithm)
    data, _ = parts.signer.sign(manifest, "image/png", labelled)
    rivals: dict[str, Callable[[], object]] = {
        "sign": lambda: parts.signer.sign(manifest, "image/png", labelled),
        "read back": lambda: parts.reader.read(data, "image/png"),
        "all": lambda: seal(parts, pixels, claim),
    }
    return {name: timing.median for name, timing in interleave(rivals, rounds).items()}


def main() -> int:
    """Prints the figures."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--pictures", type=int, default=24)
    arguments.add_argument("--side", type=int, default=1024)
    arguments.add_argument("--json", action="store_true")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name:
        operator.found(Path(name))
        begin(Path(name), chosen.side)
        spent: dict[str, list[float]] = {}
        with (
            ThreadPoolExecutor(2) as threads,
            ProcessPoolExecutor(1, get_context("spawn"), begin, (Path(name), chosen.side)) as one,
            ProcessPoolExecutor(2, get_context("spawn"), begin, (Path(name), chosen.side)) as two,
        ):
            rivals: dict[str, Callable[[], object]] = {
                "1 thread": lambda: [seal_one(number) for number in range(chosen.pictures)],
                "2 threads": lambda: list(threads.map(seal_one, range(chosen.pictures))),
                "1 process": lambda: list(one.map(seal_one, range(chosen.pictures))),
                "2 processes": lambda: list(two.map(seal_one, range(chosen.pictures))),
            }
            for counted in [False] + [True] * chosen.rounds:
                for kind, run in rivals.items():
                    before = time.perf_counter()
                    run()
                    if counted:
                        spent.setdefault(kind, []).append(time.perf_counter() - before)
        c2pa_ms = shares(chosen.rounds)
    medians = {kind: statistics.median(times) for kind, times in spent.items()}
    ratios = {kind: medians["1 thread"] / median for kind, median in medians.items()}
    if chosen.json:
        print(json.dumps({"seconds": medians, "ratios": ratios, "c2pa_cpu_ms": c2pa_ms}))
    else:
        for kind, ratio in ratios.items():
            print(f"{kind:12} {chosen.pictures / medians[kind]:6.1f} pictures/s   {ratio:5.2f} times one thread")
        held = (c2pa_ms["sign"] + c2pa_ms["read back"]) / c2pa_ms["all"]
        print(f"c2pa's share of a seal: {held:.0%} of {c2pa_ms['all']:.1f} ms CPU")
    return 0


if __name__ == "__main__":
    sys.exit(main())
