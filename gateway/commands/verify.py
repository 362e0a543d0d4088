"""`fluxgate verify`: what a file's credential, watermark and record say."""

from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.markup import escape

from gateway.commands.options import DEFAULT_DATA_DIR, AsJson, DataDir

_COULD_NOT_CHECK = 3


def verify_command(
    file: Annotated[Path, typer.Argument(help="A PNG, JPEG or WebP file from anywhere.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    anchor: Annotated[
        Path | None, typer.Option(help="PEM of the root to trust; default: the data folder's own.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check a picture: was it made here, and is it unchanged? Nothing is sent anywhere and nothing is kept.

    Without the data folder of the gateway that made it only the file itself can speak. Finding nothing proves nothing
    about how a picture was made.

    Exit codes: 0 ours and intact, 1 no mark of ours found, 2 ours but altered or invalid, 3 could not be checked.
    """
    try:
        data = file.read_bytes()
    except OSError as failure:
        _say({"verdict": "uncheckable", "summary": f"The file cannot be read: {failure.strerror}."}, as_json)
        raise typer.Exit(_COULD_NOT_CHECK) from failure
    found, code = _check(data, data_dir, anchor)
    _say(found, as_json)
    raise typer.Exit(code)


def _check(data: bytes, data_dir: Path, anchor: Path | None) -> tuple[dict[str, Any], int]:
    from gateway.data_folder import open_data_folder
    from gateway.looks import Looks
    from gateway.marks import foreign_marks, watermarkers
    from gateway.pictures import Pictures
    from gateway.settings import load_settings
    from gateway.store.blobs import Blobs
    from gateway.verifying import Verifier, to_dict
    from provenance.encoding import Limits
    from provenance.reading import ManifestReader

    settings = load_settings(data_dir)
    own = data_dir / "keys" / "ca.pem"
    trusted = anchor or (own if own.is_file() else None)
    folder = open_data_folder(data_dir, settings) if own.is_file() else None
    limits = Limits(settings.max_upload_bytes, settings.max_upload_pixels)
    reader = ManifestReader(trusted.read_text("ascii") if trusted else "")
    looks, originals = (Looks(folder.engine), Pictures(Blobs(folder.blob_url))) if folder else (None, None)
    marks, foreign = watermarkers(settings, folder), foreign_marks(settings)
    found = Verifier(reader, marks, limits, looks, originals, foreign).check(data)
    return to_dict(found), found.exit_code


def _say(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
        return
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"[bold]{escape(found['verdict'].replace('_', ' '))}[/bold]: {escape(found['summary'])}")
    for name, layer in found.get("layers", {}).items():
        sure = f" Confidence {layer['confidence']:.7g}." if layer["confidence"] else ""
        console.print(f"  {name:<10} {escape(layer['explanation'])}{sure}")
