"""Options that every command shares, spelled once."""

from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from gateway.folder import DATA_DIR_VARIABLE, SETTINGS_FILE, holds_gateway

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
    from inference.errors import InferenceError
    from policies.errors import PolicyError
    from provenance.errors import ProvenanceError

    return (GatewayError, InferenceError, PolicyError, ProvenanceError)


def existing(data_dir: Path) -> Path:
    """The folder, if a gateway is in it: only `serve`, `demo` and `generate` make one. Ends the command otherwise."""
    if not holds_gateway(data_dir):
        stop(
            f"there is no gateway in {data_dir}: name the gateway's folder with --data-dir; "
            "`fluxgate serve --data-dir FOLDER` makes one"
        )
    return data_dir


def is_configured(data_dir: Path) -> bool:
    """True if a gateway is in the folder, or at least the settings of one."""
    return holds_gateway(data_dir) or (data_dir / SETTINGS_FILE).is_file()


def configured(data_dir: Path) -> Path:
    """The folder, for commands that read only its settings; the default one may be missing, a named one may not."""
    if data_dir != DEFAULT_DATA_DIR and not is_configured(data_dir):
        stop(f"there is no gateway in {data_dir}, and no {SETTINGS_FILE}: name its folder with --data-dir")
    return data_dir


def wide_console() -> Console:
    """A console for tables. Terminals narrower than this wrap lines, which beats cutting ids."""
    return Console(width=max(Console().width, _LEAST_TABLE_WIDTH))


def stop(message: str, code: int = 2) -> NoReturn:
    """Ends the command with a message on standard error."""
    typer.echo(f"fluxgate: {message}", err=True)
    raise typer.Exit(code)
