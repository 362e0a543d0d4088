"""Runs rivals in turns and compares CPU time, so that a noisy neighbour disturbs all of them alike."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """CPU milliseconds of one rival over all rounds."""

    least: float
    median: float

    def __str__(self) -> str:
        return f"{self.least:8.1f} / {self.median:8.1f} ms"


def interleave(rivals: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Timing]:
    """Every rival once per round, after one round that does not count. Process CPU time, all threads included."""
    spent: dict[str, list[float]] = {name: [] for name in rivals}
    for counted in [False] + [True] * rounds:
        for name, run in rivals.items():
            before = time.process_time()
            run()
            if counted:
                spent[name].append((time.process_time() - before) * 1000)
    return {name: Timing(min(times), statistics.median(times)) for name, times in spent.items()}
