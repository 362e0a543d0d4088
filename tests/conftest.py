"""Shared fixtures; every test runs offline and without a GPU."""

import os
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
if "PYTEST_XDIST_WORKER" in os.environ:  # one core a worker; set before torch and OpenCV count cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
import pytest

from gateway.parts import torchvision_ops

torchvision_ops.install()

# Deadlines are wall-clock times, and no test asserts one: a busy machine is not a fault.
hypothesis.settings.register_profile("house", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("house")

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
VECTORS = Path(__file__).parent / "conformance" / "vectors"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The public data folder beside the repository; tests that need it are skipped, by name, where it is missing."""
    if not DATA.is_dir():
        pytest.skip(f"{DATA} is not here: this test needs the public data folder")
    return DATA


@pytest.fixture(scope="session")
def vectors() -> Path:
    """The conformance vectors that come with the repository."""
    return VECTORS


@pytest.fixture(scope="session")
def published() -> Callable[[Path | str], Path]:
    """Where a published file is: with the repository, else in the public data folder; skips, by name, without both."""

    def find(path: Path | str) -> Path:
        for root in (VECTORS, DATA):
            if (root / path).exists():
                return root / path
        pytest.skip(f"{path} is not here: this test needs the public data folder")

    return find


@pytest.fixture
def settings_folder(tmp_path: Path) -> Path:
    """A data folder with settings in it and no gateway yet: enough for commands that only read settings."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "fluxgate.toml").touch()
    return folder
