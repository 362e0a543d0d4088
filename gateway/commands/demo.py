"""`fluxgate demo`: the main job, from nothing, with every claim checked."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.commands.options import AsJson, stop

demo_app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@demo_app.command("demo")
def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder to leave everything in.")] = Path("fluxgate-demo"),
    data_dir: Annotated[Path | None, typer.Option("--data-dir", help="Data folder; default: OUT/data.")] = None,
    as_json: AsJson = False,
) -> None:
    """Watch three prompts go through the whole house: one delivered, two refused, every claim checked.

    Makes a data folder, starts the real server on a free loopback port and sends it real requests. Leaves the sealed
    picture, its manifest, its receipt, the log and a page of the run. Exits 0 only if everything was checked and held.
    """
    from gateway.demo.account import Account
    from gateway.demo.run import run
    from gateway.demo.server import ServerDidNotStart

    account = Account(as_json)
    data_dir = data_dir or out / "data"
    try:
        held = run(out, data_dir, account)
    except ServerDidNotStart as failure:
        stop(str(failure), 1)
    if not as_json:
        account.console.print(
            f"\n[bold]{'Everything held.' if held else 'Something did not hold: see above.'}[/bold] Look at:\n"
            f"  {out}/index.html            this run as a page\n"
            f"  {out}/image.png             the sealed picture\n"
            f"  {out}/manifest.json         its C2PA manifest\n"
            f"  {out}/receipt.json          its log entry with the inclusion proof\n"
            "Then try:\n"
            f"  fluxgate verify {out}/stripped.jpg --data-dir {data_dir}\n"
            f"  fluxgate log verify --folder {out}/log --receipt {out}/receipt.json\n"
            f"  fluxgate log list --data-dir {data_dir}\n"
            f"  fluxgate serve --data-dir {data_dir}\n"
            f'  fluxgate generate "a fox and a red balloon at night" -o fox.png --data-dir {data_dir}'
        )
    raise typer.Exit(0 if held else 1)
