"""`fluxgate generate`: one picture from the command line, through the same house as every other."""

import asyncio
import logging
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from gateway.commands.options import DEFAULT_DATA_DIR, AsJson, DataDir, stop
from gateway.commands.vocabulary import show_vocabulary
from gateway.settings import load_settings

_FORMATS = {
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".webp": "webp",
    ".avif": "avif",
    ".tiff": "tiff",
    ".tif": "tiff",
}


generate_app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@generate_app.command("generate")
def generate(
    prompt: Annotated[str, typer.Argument(help="What to draw, in words.", show_default=False)] = "",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write: .png, .jpg, .webp, .avif or .tiff.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Equal seeds draw equal pixels; each file carries a mark of its own.")
    ] = None,
    width: Annotated[int | None, typer.Option(help="Pixels; default: the model's.")] = None,
    height: Annotated[int | None, typer.Option(help="Pixels; default: the model's.")] = None,
    steps: Annotated[int | None, typer.Option(help="Denoising steps; default: the model's.")] = None,
    guidance: Annotated[float | None, typer.Option(help="Guidance scale, for models that use it.")] = None,
    model: Annotated[str | None, typer.Option(help="A folder or hub id; default: as in the settings.")] = None,
    policy: Annotated[str | None, typer.Option(help="demo, default, strict, or a policy file.")] = None,
    vocabulary: Annotated[
        bool,
        typer.Option("--vocabulary", help="List what the model can draw, if it knows few words, and draw nothing."),
    ] = False,
    level: Annotated[int, typer.Option(min=0, max=3, help="Assurance level to ask with.")] = 0,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Draw one picture: screened, marked, signed and logged like any other. No server is needed.

    Makes the data folder if it is missing. Equal seeds draw equal pixels, but no two files are equal: each gets an
    invisible mark and a signature of its own after drawing.

    Exit codes: 0 written, 1 stopped by the policy, 2 unusable request or setting, 3 failed here.
    """
    if vocabulary:
        show_vocabulary(load_settings(data_dir, {"model": model}), as_json=as_json)
        raise typer.Exit
    if not prompt or output is None:
        stop('name a prompt and a file to write: fluxgate generate "a red apple" -o apple.png')
    form = _FORMATS.get(output.suffix.lower())
    if form is None:
        stop(f"--output {output}: the name must end in {', '.join(_FORMATS)}")
    if not output.parent.is_dir():
        stop(f"--output {output}: there is no folder {output.parent}")
    said = {
        "prompt": prompt,
        "seed": seed,
        "width": width,
        "height": height,
        "steps": steps,
        "guidance": guidance,
    }
    # Aliases are names for callers; those in the file may stand for another model than the one chosen here.
    settings = load_settings(data_dir, {"model": model, "policy": policy}).model_copy(update={"aliases": {}})
    logging.getLogger("fluxgate.boot").setLevel(logging.ERROR)  # accepted gaps are the server's and /health's to say
    result, data = asyncio.run(_draw(settings, said, form, level, quiet=as_json))
    if data is not None:
        output.write_bytes(data)
        result["file"] = str(output)
    _report(result, as_json)
    raise typer.Exit({"delivered": 0, "held": 1, "refused": 1, "failed": 3}[result["outcome"]])


async def _draw(
    settings: Any, said: dict[str, Any], form: str, level: int, *, quiet: bool
) -> tuple[dict[str, Any], bytes | None]:
    from gateway.auth.identity import Assurance, Principal, Scope
    from gateway.desk import Desk
    from gateway.exchange import Delivered
    from gateway.jobs import Jobs
    from gateway.problems import problem_of_outcome
    from gateway.store.data_folder import open_data_folder
    from gateway.wiring import wire
    from gateway.wishes import Wish

    console = Console(stderr=True, quiet=quiet)
    with Progress(
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console
    ) as bar:
        task = bar.add_task("Loading the classifiers and the model", total=None)
        house = await asyncio.to_thread(lambda: wire(open_data_folder(settings.data_dir, settings)))
        jobs = Jobs(house)
        try:
            await house.dispatcher.start()
            await jobs.start(take_over=False)
            desk = Desk(house, jobs)
            (request,) = desk.complete([Wish(said, output_format=form)], "cli", "cli", {"guidance": "--guidance"})
            bar.update(task, description="Screening, drawing, sealing", total=request.drawing.steps)
            # Whoever can open the data folder is the operator; the log names the caller as such.
            who = Principal("operator", "operator", frozenset({Scope.GENERATE}), Assurance(level))
            work = await desk.accept(who, [request])
            waiting = asyncio.ensure_future(work)
            while not waiting.done():
                bar.update(task, completed=work.steps_done)
                await asyncio.wait((waiting,), timeout=0.1)
            (outcome,) = waiting.result()
            bar.update(task, completed=request.drawing.steps)
        finally:
            await jobs.close()
            await house.close()
    result: dict[str, Any] = {
        "outcome": type(outcome).__name__.lower(),
        "request_id": request.id,
        "seed": request.drawing.seed,
        "log_index": outcome.receipt.index,
    }
    problem = problem_of_outcome(outcome)
    if problem is None and isinstance(outcome, Delivered):
        result |= {"content_id": outcome.image.content_id, "sha256": outcome.image.sha256, "model": outcome.image.model}
        result |= outcome.told.to_dict()
        return result, desk.file(outcome)
    if problem is not None:
        result |= {"code": problem.code, "detail": problem.detail, "remedy": problem.remedy}
        if problem.statement:
            result["statement_of_reasons"] = problem.statement.to_dict()
    return result, None


def _report(result: dict[str, Any], as_json: bool) -> None:
    if as_json:
        import orjson

        typer.echo(orjson.dumps(result, option=orjson.OPT_INDENT_2).decode())
    elif result["outcome"] == "delivered":
        typer.echo(f"{result['file']}: {result['content_id']}, seed {result['seed']}, log entry {result['log_index']}")
        if "revised_prompt" in result:
            typer.echo(f"Drawn instead: {result['revised_prompt']}")
        for note in result.get("notes", ()):
            typer.echo(note["message"])
        typer.echo(f"Check it with: fluxgate verify {result['file']}")
    else:
        typer.echo(f"No picture: {result['detail']}", err=True)
        if result["remedy"]:
            typer.echo(result["remedy"], err=True)
        typer.echo(f"Request {result['request_id']}, log entry {result['log_index']}.", err=True)
