"""What a data folder is recognised by. Imports nothing, so that a command line is read without loading the gateway."""

from pathlib import Path
from typing import Final

DATA_DIR_VARIABLE: Final = "FLUXGATE_DATA_DIR"
SETTINGS_FILE: Final = "fluxgate.toml"


def holds_gateway(path: Path) -> bool:
    """True if a gateway keeps its keys in this folder: a mistyped name must not make a second gateway."""
    return any((path / "keys").glob("*.key"))
