"""`fluxgate serve`: the gateway itself."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from gateway.commands.options import DEFAULT_DATA_DIR, DataDir
from gateway.silence import keep_within

serve_app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@serve_app.command("serve")
def serve_command(
    data_dir: DataDir = DEFAULT_DATA_DIR,
    host: Annotated[str | None, typer.Option(help="Address to listen on. Default: 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one. Default: 8080.")] = None,
    model: Annotated[
        str | None,
        typer.Option(help="A folder in diffusers' layout or a hub id, such as black-forest-labs/FLUX.1-schnell."),
    ] = None,
    policy: Annotated[str | None, typer.Option(help="demo, default, strict, or a policy file.")] = None,
    provider: Annotated[str | None, typer.Option(help="Who runs this gateway. Every manifest names it.")] = None,
) -> None:
    """Serve the API until interrupted. Makes the data folder, its keys and its database where they are missing.

    Write every other setting into DATA_DIR/fluxgate.toml or a FLUXGATE_… variable; see gateway/REFERENCE.md.
    """
    keep_within(data_dir)  # before torch is imported
    from gateway.telemetry import configure_logging

    configure_logging()
    log = logging.getLogger("fluxgate.boot")
    log.info("starting on data folder %s: loading libraries", data_dir)
    from gateway.serving.server import serve
    from gateway.settings import load_settings

    overrides = {"host": host, "port": port, "model": model, "policy": policy, "provider": provider}
    settings = load_settings(Path(data_dir), overrides)

    def announce(url: str) -> None:
        typer.echo(f"Fluxgate answers at {url} (API description: {url}/docs)")
        if settings.is_demo_model:
            typer.echo("The small demonstration model draws. For FLUX itself: fluxgate serve --model FOLDER_OR_HUB_ID")
        typer.echo(f"Make a key with: fluxgate keys create --data-dir {data_dir} --tenant NAME")

    serve(settings, announce)
