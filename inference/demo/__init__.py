"""The model that comes along, so that a machine without a checkpoint can draw."""

import shutil
from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
"""The trained small model, a folder in diffusers' layout; read only."""


def demo_model_folder(scratch: Path) -> Path:
    """The embedded model's folder, ready for the engine `flux`; its sheet tells whether it is trained.

    `scratch`: a folder of the caller's for models that are built on the spot (about 3 MB, half a second); kept between
    calls and then reused as it is, whole or not at all.
    """
    folder = scratch / "untrained"
    if not folder.is_dir():
        # Imported here: builds with torch and diffusers, which the gateway does not load before it must.
        from inference.demo.untrained import build

        partial = scratch / "untrained.partial"
        if partial.exists():
            shutil.rmtree(partial)
        build(partial).replace(folder)
    return folder
