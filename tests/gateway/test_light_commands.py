"""Who checks an image or a log waits for what checks it, not for what draws and screens."""

import subprocess
import sys
from pathlib import Path

import pytest

from provenance.files.encoding import encode
from tests.provenance.pictures import make_picture

HEAVY = ("torch", "diffusers", "transformers", "open_clip", "onnxruntime", "scipy.stats", "alembic", "fastapi", "httpx")
LIGHT = """
import sys
from gateway.cli import main
try:
    main()
except SystemExit as ended:
    code = ended.code or 0
print("loaded", *(name for name in {heavy!r} if name in sys.modules))
sys.exit(code)
"""


def loaded(heavy: tuple[str, ...], *arguments: str) -> tuple[list[str], int]:
    """Which of `heavy` a command has imported when it ends, and its exit code."""
    done = subprocess.run(
        [sys.executable, "-c", LIGHT.format(heavy=heavy), *arguments], capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
    return done.stdout.splitlines()[-1].split()[1:], done.returncode


@pytest.mark.parametrize("command", [["verify"], ["log", "verify"], ["serve"]], ids=" ".join)
def test_help_loads_neither_models_nor_the_database(command: list[str]) -> None:
    assert loaded((*HEAVY, "sqlalchemy", "pydantic_settings", "cv2"), *command, "--help") == ([], 0)


def test_checking_an_image_loads_no_model_library(tmp_path: Path) -> None:
    file = tmp_path / "foreign.png"
    file.write_bytes(encode(make_picture(), "image/png", 95))
    assert loaded(HEAVY, "verify", str(file), "--data-dir", str(tmp_path / "none")) == ([], 1)


def test_checking_a_log_loads_no_model_library(tmp_path: Path) -> None:
    assert loaded((*HEAVY, "cv2"), "log", "verify", "--folder", str(tmp_path), "--vkey", "none") == ([], 2)
