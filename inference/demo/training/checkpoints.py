"""Where a training run keeps its state, so that a killed one goes on where it was."""

import os
from pathlib import Path
from typing import Any

import torch


def save_checkpoint(state: dict[str, Any], path: Path) -> None:
    """Writes `state` whole or not at all: a kill in between leaves the one before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """The state saved at `path`, None if there is none."""
    if not path.is_file():
        return None
    # Tensors, numbers and text only: a checkpoint from elsewhere runs no code here.
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state
