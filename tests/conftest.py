"""Shared fixtures; every test runs offline and without a GPU."""

import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import hypothesis
import pytest

from gateway import torchvision_ops

torchvision_ops.install()

# Deadlines are wall-clock times, and no test asserts one: a busy machine is not a fault.
hypothesis.settings.register_profile("house", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("house")

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The public data folder beside the repository; tests that need it are skipped, by name, where it is missing."""
    if not DATA.is_dir():
        pytest.skip(f"{DATA} is not here: this test needs the public data folder")
    return DATA
