"""What keeps libraries from opening connections and writing files that no setting names. Set before their import.

Held by `tests/walk/test_silence.py`, which watches the system calls of a running gateway.
"""

import os
import tempfile
from pathlib import Path
from typing import Final

VARIABLES: Final = {
    # onnxruntime 1.32 looks up hosts and keeps a device id and a queue of events in the home folder.
    "ORT_DISABLE_TELEMETRY": "1",
    # huggingface_hub, diffusers and transformers; the last two read the older name as well.
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    # Ray, for engine parts that are built on it; anything else that asks.
    "RAY_USAGE_STATS_ENABLED": "0",
    "DO_NOT_TRACK": "1",
}


def keep() -> None:
    """Sets them for this process and those it starts; no value that was set before lets a library call home."""
    os.environ.update(VARIABLES)


def keep_within(data_dir: Path) -> None:
    """Temporary files of this process and its children go into the data folder; torch makes a folder when imported."""
    folder = data_dir.resolve() / "tmp"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.environ.update(TMPDIR=str(folder), TORCHINDUCTOR_CACHE_DIR=str(folder))
    tempfile.tempdir = None  # decided again, by TMPDIR
