"""Mutated files never crash, hang or fool the verifier, nor make it fetch (`python -m tests.faults.fuzz`: more)."""

import os
from pathlib import Path

import pytest

from tests.faults.fuzz import fuzz

FILES = int(os.environ.get("FLUXGATE_FUZZ_FILES", "2000"))


@pytest.mark.parametrize("count", [60, pytest.param(FILES, marks=pytest.mark.slow)])
def test_mutated_files_are_judged_without_a_crash_a_hang_a_fetch_or_a_wrong_word(tmp_path: Path, count: int) -> None:
    outcome = fuzz(tmp_path, seed=2026, count=count)

    assert outcome.wrong == []
    assert outcome.files == count
    assert outcome.fetched == 0
    # The mutations reach behind the front door: some files still open, and are seen to be changed.
    assert outcome.verdicts["ours_altered"] > count / 5
