"""`python -m tests.benchmarks.seal_workers`: how many more pictures two workers seal than one, threads and processes.

A worker's time is spent running, waiting for a core, or waiting for something else, which here is the interpreter's
lock. The kernel tells the three apart for each thread (schedstat), so that a noisy machine does not spoil the figure:
workers do as much more than one as the time they lose to the lock allows. Wall time is printed beside it. And of one
picture, how much of the CPU time is c2pa's, which calls back into Python for every read and write. Linux only.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import cv2

from provenance.credentials.manifest import definition
from provenance.files.encoding import encode
from provenance.labels import attach, packet
from provenance.marks.watermarkers import Pixels
from provenance.sealing import SealerSetup, seal
from tests.benchmarks import operator
from tests.benchmarks.interleaved import interleave
from tests.benchmarks.seal import photograph

_parts: SealerSetup | None = None
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


def seal_several(count: int) -> tuple[float, float]:
    """Seconds that this worker ran, and that it waited for anything but a core."""
    ran, queued = _scheduled()
    began = time.perf_counter()
    for number in range(count):
        seal_one(number)
    wall = time.perf_counter() - began
    ran, queued = (after - before for before, after in zip((ran, queued), _scheduled(), strict=True))
    return ran, max(0.0, wall - ran - queued)


def _scheduled() -> tuple[float, float]:
    """Seconds that this thread has run, and has been ready and waiting for a core (proc(5), schedstat)."""
    ran, queued, _ = Path("/proc/thread-self/schedstat").read_text().split()
    return int(ran) / 1e9, int(queued) / 1e9


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
    arguments.add_argument("--pictures", type=int, default=8)
    arguments.add_argument("--side", type=int, default=1024)
    arguments.add_argument("--json", action="store_true")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name:
        operator.found(Path(name))
        begin(Path(name), chosen.side)
        kinds: dict[str, tuple[Executor, int]] = {
            "1 thread": (ThreadPoolExecutor(1), 1),
            "2 threads": (ThreadPoolExecutor(2), 2),
            "4 threads": (ThreadPoolExecutor(4), 4),
            "1 process": (ProcessPoolExecutor(1, get_context("spawn"), begin, (Path(name), chosen.side)), 1),
            "2 processes": (ProcessPoolExecutor(2, get_context("spawn"), begin, (Path(name), chosen.side)), 2),
        }
        walls: dict[str, list[float]] = {kind: [] for kind in kinds}
        times: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
        for counted in [False] + [True] * chosen.rounds:
            for kind, (pool, workers) in kinds.items():
                before = time.perf_counter()
                done = list(pool.map(seal_several, [chosen.pictures] * workers))
                if counted:
                    walls[kind].append((time.perf_counter() - before) / workers / chosen.pictures)
                    times[kind] += done
        for pool, _ in kinds.values():
            pool.shutdown()
        c2pa_ms = shares(chosen.rounds)
    ratios = {}
    for kind, (_, workers) in kinds.items():
        ran, kept = (sum(column) for column in zip(*times[kind], strict=True))
        ratios[kind] = workers * ran / (ran + kept)
    least = {kind: min(seconds) * 1000 for kind, seconds in walls.items()}
    if chosen.json:
        print(json.dumps({"ratios": ratios, "wall_ms_a_picture": least, "c2pa_cpu_ms": c2pa_ms}))
    else:
        for kind, ratio in ratios.items():
            print(f"{kind:12} do the work of {ratio:.2f} that never wait; wall, least: {least[kind]:.1f} ms a picture")
        held = (c2pa_ms["sign"] + c2pa_ms["read back"]) / c2pa_ms["all"]
        print(f"c2pa's share of a seal: {held:.0%} of {c2pa_ms['all']:.1f} ms CPU")
    return 0


if __name__ == "__main__":
    sys.exit(main())
