"""`fluxgate watermark report`: measures any watermark scheme on any folder of pictures."""

import shlex
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.commands.options import stop

watermark_app = typer.Typer(add_completion=False, no_args_is_help=True, help="What watermarks survive.")

_MEASURING_KEY = {"id": "measuring", "hex": "6d6561737572696e67206f6e6c792c206e6f7420666f722075736500"}
"""For the report alone: schemes with keys are measured with this one, so that runs can be repeated."""

_LARGE = 1024 * 1024
_POOL_EVERY = 5


@watermark_app.callback()
def about() -> None:
    """What watermarks survive."""


@watermark_app.command("report")
def report(
    folder: Annotated[Path, typer.Argument(help="Pictures to measure on.")],
    scheme: Annotated[
        list[str],
        typer.Option(help="A part, with options after a colon (tile:psnr_db=44), or stock:dwtDct, stock:dwtDctSvd."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for REPORT.md, REPORT.html and the plots.")] = Path(
        "watermark-report"
    ),
    size: Annotated[list[str] | None, typer.Option(help="Width x height, such as 768x1344. Default 1024x1024.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many pictures of the folder.")] = None,
    art: Annotated[int, typer.Option(min=0, help="So many drawn pictures besides: flat colours, clean edges.")] = 0,
    attack: Annotated[list[str] | None, typer.Option(help="Only attacks whose name begins so.")] = None,
    rivals_every: Annotated[
        int, typer.Option(min=1, help="Measure other parts than the first on every so many-th picture only.")
    ] = 1,
    large_every: Annotated[
        int, typer.Option(min=1, help="Above 1024x1024: the first scheme only, on every so many-th picture.")
    ] = 1,
    keys: Annotated[
        bool, typer.Option("--keys", help="Also the tile scheme's time by number of keys, and its false marks.")
    ] = False,
    note: Annotated[list[str] | None, typer.Option(help="A paragraph for the introduction.")] = None,
) -> None:
    """Mark pictures, do to them what happens to pictures, and count what is read. Nothing leaves this machine.

    The columns "held out" count every second picture: those of the shipped report that no parameter was chosen on.
    """
    import cv2

    from provenance.watermark_report.attacks import ATTACKS
    from provenance.watermark_report.keys import search_unmarked, time_keys
    from provenance.watermark_report.measuring import measure
    from provenance.watermark_report.pictures import flat_art, photographs
    from provenance.watermark_report.writing import write_report

    if not folder.is_dir():
        stop(f"there is no folder {folder}")
    cv2.setNumThreads(1)
    attacks = [known for known in ATTACKS if attack is None or any(known.name.startswith(begun) for begun in attack)]
    if not attacks:
        stop(f"no attack begins so; there are: {', '.join(known.name for known in ATTACKS)}")
    sizes = [f"--size {given}" for given in size or []]
    schemes = [f"--scheme {shlex.quote(label)}" for label in scheme]
    narrowed = [f"--attack {shlex.quote(begun)}" for begun in attack or []]
    rivals = [f"--rivals-every {rivals_every}"] if rivals_every > 1 else []
    rivals += [f"--large-every {large_every}"] if large_every > 1 else []
    rivals += ["--keys"] if keys else []
    counts = rivals + ([] if limit is None else [f"--limit {limit}"]) + ([f"--art {art}"] if art else [])
    command = " ".join(["fluxgate watermark report FOLDER", *schemes, *sizes, *counts, *narrowed])
    measured = []
    for width, height in (_size(given) for given in size or ["1024x1024"]):
        pictures = [*photographs(folder, width, height, limit), *flat_art(art, width, height)]
        if not pictures:
            stop(f"{folder} holds no PNG, JPEG or WebP pictures")
        large = width * height > _LARGE
        for label in scheme[:1] if large else scheme:
            every = large_every if large else 1 if _part_name(label) == _part_name(scheme[0]) else rivals_every
            chosen = pictures[::every]
            with _bar(f"{label} {width}x{height}", len(chosen)) as bar:
                step = partial(_advance, bar)
                run = measure(label, _scheme(label), chosen, attacks, width=width, height=height, progress=step)
            measured.append(run)
            write_report(out, measured, attacks, command, note or [])  # after each run: they take minutes
    if keys:
        photos = [*photographs(folder, 1024, 1024, limit)]
        with _bar("1, 10 and 100 keys", 9) as bar:
            timings = time_keys(photos[::2], partial(_advance, bar))
        smaller = [*photographs(folder, 512, 512, limit)]
        with _bar("unmarked pictures", len(smaller)) as bar:
            pool = search_unmarked(smaller, ATTACKS[::_POOL_EVERY], partial(_advance, bar))
        write_report(out, measured, attacks, command, note or [], timings, pool)
    typer.echo(f"written: {out / 'REPORT.md'}, {out / 'REPORT.html'}")


def _size(given: str) -> tuple[int, int]:
    width, cross, height = given.lower().partition("x")
    if not (cross and width.isdigit() and height.isdigit() and min(int(width), int(height)) > 0):
        stop(f"a size is given as 1024x1024, not {given}")
    return int(width), int(height)


def _scheme(label: str) -> Any:
    """The part that a label such as `tile:psnr_db=44` means."""
    from gateway.parts import build_part
    from provenance.watermark_report.stock import StockWatermark

    name, _, rest = label.partition(":")
    if name == "stock":
        if rest not in ("dwtDct", "dwtDctSvd"):
            stop(f"the stock library is measured as stock:dwtDct or stock:dwtDctSvd, not {label}")
        return StockWatermark(rest)
    pairs = (pair.partition("=") for pair in rest.split(",") if pair)
    options: dict[str, Any] = {option: int(value) if value.isdigit() else value for option, _, value in pairs}
    if name == "tile":
        options["keys"] = [_MEASURING_KEY]
    return build_part("watermarkers", name, options)


def _part_name(label: str) -> str:
    return label.partition(":")[0]


def _bar(label: str, length: int) -> Any:
    return typer.progressbar(length=length, label=f"{label:<30}", file=sys.stderr)


def _advance(bar: Any, _picture: str) -> None:
    bar.update(1)
