"""Options that every command shares, spelled once."""

from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from gateway.settings import DATA_DIR_VARIABLE

DEFAULT_DATA_DIR = Path("fluxgate-data")
_LEAST_TABLE_WIDTH = 140

DataDir = Annotated[
    Path,
    typer.Option("--data-dir", envvar=DATA_DIR_VARIABLE, help="Folder with the gateway's keys, database and pictures."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def operator_errors() -> tuple[type[Exception], ...]:
    """What an operator can mend, with words that say how. Imported late: most commands start without these packages."""
    from gateway.errors import GatewayError
    from gateway.parts import BootError
    from gateway.server import PortTaken
    from gateway.settings import SettingsError
    from inference.errors import InferenceError
    from policies.errors import PolicyError
    from provenance.errors import ProvenanceError

    return (BootError, GatewayError, InferenceError, PolicyError, PortTaken, ProvenanceError, SettingsError)


def existing(data_dir: Path) -> Path:
    """The folder, if it is one: commands that only read do not make it. Ends the command otherwise."""
    if not data_dir.is_dir():
        stop(f"there is no data folder {data_dir}: name it with --data-dir; `fluxgate serve` or `demo` makes one")
    return data_dir


def wide_console() -> Console:
    """A console for tables. Terminals narrower than this wrap lines, which beats cutting ids."""
    return Console(width=max(Console().width, _LEAST_TABLE_WIDTH))


def stop(message: str, code: int = 2) -> NoReturn:
    """Ends the command with a message on standard error."""
    typer.echo(f"fluxgate: {message}", err=True)
    raise typer.Exit(code)
