"""`fluxgate verify`: what credential, watermark and record of files say."""

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table
from typer.core import TyperCommand

from gateway.commands.options import (
    DEFAULT_DATA_DIR,
    AsJson,
    DataDir,
    is_configured,
    operator_errors,
    stop,
    wide_console,
)

if TYPE_CHECKING:
    from gateway.verifying.folders import Checked

_USAGE = 2


class VerifyCommand(TyperCommand):
    """Whose 2 is a statement about an image: a command line that cannot be understood ends with 3."""

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """See `Command.make_context` of click."""
        try:
            return super().make_context(*arguments, **options)
        except Exception as failure:
            if getattr(failure, "exit_code", None) == _USAGE:  # whichever click it is that typer brings
                failure.exit_code = 3  # type: ignore[attr-defined]
            raise


verify_app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@verify_app.command("verify", cls=VerifyCommand)
def verify_command(
    files: Annotated[list[Path], typer.Argument(help="Picture files from anywhere, or folders of them.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    anchor: Annotated[
        Path | None, typer.Option(help="PEM of the root to trust; default: the data folder's own.")
    ] = None,
    manifest: Annotated[Path | None, typer.Option(help="The separate manifest (.c2pa) of a single file.")] = None,
    processes: Annotated[int | None, typer.Option(min=1, help="For many files; default: one for each core.")] = None,
    map_file: Annotated[
        Path | None,
        typer.Option("--map", help="Write a PNG of the one image here, with what changed outlined and tinted."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check pictures: were they made here, and are they unchanged? Nothing is sent anywhere and nothing is kept.

    Without the data folder of the gateway that made it only the file itself can speak. Finding nothing proves nothing
    about how a picture was made.

    Exit codes: 0 ours and intact, 1 not shown to be ours, 2 ours but altered, 3 could not be checked. Of several files,
    the highest.
    """
    try:
        count = processes or os.cpu_count() or 1
        code = _verify(files, data_dir, anchor, manifest, count, map_file=map_file, as_json=as_json)
    except typer.Exit:
        raise
    except Exception as failure:  # noqa: BLE001  1 and 2 are statements about an image: no failure may make one
        stop(f"the check failed: {_why(failure)}", 3)
    raise typer.Exit(code)


def _verify(
    files: list[Path],
    data_dir: Path,
    anchor: Path | None,
    manifest: Path | None,
    processes: int,
    *,
    map_file: Path | None,
    as_json: bool,
) -> int:
    """Prints what can be said, and returns the highest exit code."""
    from gateway.verifying.folders import check_files, pictures_in

    if anchor is None and data_dir != DEFAULT_DATA_DIR and not is_configured(data_dir):
        typer.echo(f"fluxgate: there is no gateway in {data_dir}, so only the file itself is checked", err=True)
    found = pictures_in(files)
    if not found:
        stop("no picture file is in there", 3)
    if map_file is not None and len(found) > 1:
        stop("--map belongs to one file", 3)
    checking = check_files(found, data_dir, anchor, processes, _beside(manifest, len(found)))
    one = len(found) == 1 and not files[0].is_dir()
    hidden = one or as_json or not Console(stderr=True).is_terminal
    checked = list(
        track(checking, "checking", len(found), console=Console(stderr=True), disable=hidden, transient=True)
    )
    if as_json:
        said: Any = checked[0].found if one else [{"file": str(each.path), **each.found} for each in checked]
        typer.echo(orjson.dumps(said, option=orjson.OPT_INDENT_2).decode())
    elif one:
        _say(checked[0].found)
    else:
        _tabulate(checked)
    if map_file is not None:
        _draw(checked[0], map_file)
    return max(each.exit_code for each in checked)


def _why(failure: Exception) -> str:
    """Our own errors, in their words; of anything else its kind, since its words may quote the file."""
    said = str(failure) if isinstance(failure, operator_errors()) else ""
    return said or f"internal error ({type(failure).__name__})"


def _draw(checked: "Checked", map_file: Path) -> None:
    """Writes the map; where nothing was compared there is none, which is said."""
    from provenance.files.encoding import FileBounds, decode, encode
    from provenance.looks.change_map import drawn

    if checked.change_map is None:
        typer.echo(f"{map_file} was not written: the image was not compared with an original.", err=True)
        return
    pixels = decode(checked.path.read_bytes(), FileBounds())
    map_file.write_bytes(encode(drawn(pixels, checked.change_map), "image/png", 95))


def _beside(manifest: Path | None, files: int) -> bytes | None:
    if manifest is None:
        return None
    if files > 1:
        stop("--manifest belongs to one file", 3)
    try:
        return manifest.read_bytes()
    except OSError as failure:
        stop(f"{manifest} cannot be read: {failure.strerror}", 3)


def _say(found: dict[str, Any]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"[bold]{escape(found['verdict'].replace('_', ' '))}[/bold]: {escape(found['summary'])}")
    for name, layer in found.get("layers", {}).items():
        sure = f" Confidence {layer['confidence']:.7g}." if layer["confidence"] else ""
        console.print(f"  {name:<10} {escape(layer['explanation'])}{sure}")


def _tabulate(checked: "list[Checked]") -> None:
    table = Table("file", "verdict", "credential", "watermark", "record")
    for each in checked:
        layers = each.found.get("layers")
        row = ("", "", "")
        if layers:
            row = (layers["metadata"]["state"], layers["watermark"]["mark"] or "", layers["record"]["content_id"] or "")
        table.add_row(*map(escape, (str(each.path), each.found["verdict"], *row)))
    console = wide_console()
    console.print(table)
    counts = Counter(each.found["verdict"] for each in checked)
    console.print(f"{len(checked)} files: " + ", ".join(f"{count} {name}" for name, count in counts.most_common()))
