"""`fluxgate train-probe`: teaches the part `probe` what an operator's own pictures show."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import orjson
import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from gateway.commands.options import AsJson, stop, wide_console

if TYPE_CHECKING:
    from moderation.classifiers import Pixels


train_probe_app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@train_probe_app.command(
    "train-probe",
    epilog="Example: fluxgate train-probe pictures --out probe.json --model ViT-B-32 --weights laion2b_s34b_b79k",
)
def train_probe(
    folder: Annotated[
        Path, typer.Argument(help="Has a folder per category, named as in the taxonomy, and one named harmless.")
    ],
    out: Annotated[Path, typer.Option(help="The probe file. Report, plot and cache go to the same folder.")],
    model: Annotated[
        str, typer.Option(help="As in the part's options: an open_clip architecture, a config file, a folder.")
    ],
    weights: Annotated[
        str | None, typer.Option(help="A local file or a pretrained tag; default: the model folder's own.")
    ] = None,
    sha256: Annotated[str | None, typer.Option(help="Refuse weights of another digest.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 …")] = "cpu",
    dtype: Annotated[Literal["fp32", "bf16", "fp16"], typer.Option(help="Precision of the model.")] = "fp32",
    cache: Annotated[
        Path | None, typer.Option(help="Where embeddings are kept between runs; default: OUT.cache.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Which pictures are held out and how the others are cut.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Train linear probes on labelled folders of PNG, JPEG and WebP pictures, and measure them.

    Put at least 30 pictures into FOLDER/weapons, FOLDER/gore … and FOLDER/harmless, hundreds for figures worth having;
    a picture of two categories goes into both. Harmless ones should be of the kind your users make, near misses among
    them: toy guns, red paint. A fifth of each is never trained on; AUROC, recall and thresholds are measured on it.

    A run that was stopped goes on where it was: what the model saw is kept in the cache, without pictures or names.
    There is no training for csae and ncii, whose pictures must not be collected.

    A policy can then use the part `probe` together with `clip`. The report says what to write into the policy.

    Exit codes: 0 written, 2 the folders or the model cannot be used.
    """
    from pydantic import ValidationError

    from gateway.parts import find_part
    from moderation.errors import PartUnusable
    from moderation.probes.files import write_probe
    from moderation.probes.pictures import TrainingRefused, labelled_files, look_at
    from moderation.probes.report import probe_figures, write_report
    from moderation.probes.training import train

    if not out.parent.is_dir():
        stop(f"there is no folder {out.parent} to write to")
    try:
        files = labelled_files(folder)  # before the model: it takes seconds to load
        eyes = find_part("image_classifiers", "probe").open_eyes(
            model=model, weights=weights, sha256=sha256, device=device, dtype=dtype
        )
        with Progress(console=Console(stderr=True), disable=as_json) as progress:
            bar = progress.add_task("Looking at pictures", total=len(files))
            seen = look_at(
                files,
                eyes,
                cache or out.with_name(out.name + ".cache"),
                read=_read,
                decode=_decode,
                dtype=dtype,
                progress=lambda: progress.advance(bar),
            )
        trained = train(seen, eyes, Path(model).name, seed)
    except ValidationError as failure:
        stop(failure.errors(include_input=False)[0]["msg"])
    except (PartUnusable, TrainingRefused) as failure:
        stop(str(failure))
    figures = probe_figures(trained, seen)
    try:
        write_probe(trained.probe, out)
        written = (out, *write_report(figures, trained.probe, seen, out))
    except OSError as failure:
        stop(f"{out} or its report cannot be written: {failure.strerror}")
    if as_json:
        shown = {name: {key: one[key] for key in one if key != "roc"} for name, one in figures.items()}
        counts = {"pictures": len(seen.digests), "looked_at": seen.looked_at, "skipped": seen.skipped}
        typer.echo(orjson.dumps({**counts, "categories": shown}).decode())
        return
    table = Table("category", "held out", "AUROC", "recall at 1 % of harmless", "at 5 %")
    for name, one in figures.items():
        recalls = (f"{each['recall']:.0%} from {each['threshold']:.4f}" for each in one["thresholds"])
        table.add_row(name, f"{one['harmful']} + {one['harmless']}", f"{one['auroc']:.3f}", *recalls)
    wide_console().print(table)
    for why, count in sorted(seen.skipped.items()):
        typer.echo(f"{count} files passed over: {why}")
    typer.echo(f"Wrote {', '.join(path.name for path in written)} to {out.parent}.")


def _read(path: Path) -> bytes:
    """Bounded like a picture that is sent in."""
    from moderation.probes.pictures import PictureSkipped
    from provenance.files.encoding import FileBounds

    most = FileBounds().max_bytes
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as failure:
        raise PictureSkipped("cannot be read") from failure
    if len(data) > most:
        raise PictureSkipped(f"more than {most} bytes")
    return data


def _decode(data: bytes) -> "Pixels":
    """The decoder for pictures from anywhere: too many pixels are refused before a codec runs."""
    from moderation.probes.pictures import PictureSkipped
    from provenance.errors import UnreadableImage
    from provenance.files.encoding import FileBounds, decode

    try:
        return decode(data, FileBounds())
    except UnreadableImage as failure:
        reasons = {"pixels": f"more than {FileBounds().max_pixels} pixels", "frames": "animated"}
        raise PictureSkipped(reasons.get(failure.field, "no readable picture")) from failure
