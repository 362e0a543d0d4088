"""The model that comes along, so that a machine without a checkpoint can draw: a small FLUX of pictograms."""

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
"""The trained small model, a folder in diffusers' layout; read only. `MODEL_CARD.md` tells what it can do."""
