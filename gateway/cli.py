"""The command line. Each command lives in a file of `gateway/commands`; here they are named and errors become words."""

import logging
import os
import sys
from typing import Annotated, ClassVar

# Everything runs from local files; a hub is asked only when a model is named that is not one.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# The matrices of watermark detection are small: shared out over cores they take twice the CPU time and more.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import typer

from gateway.commands.lazy import LazyGroup
from gateway.version import SYSTEM, SYSTEM_VERSION


class Commands(LazyGroup):
    """Every command, with the file that holds it."""

    panels: ClassVar = {
        "Run the gateway": {
            "demo": "gateway.commands.demo:demo_app",
            "serve": "gateway.commands.serve:serve_app",
            "keys": "gateway.commands.keys:keys_app",
            "certificate": "gateway.commands.certificate:certificate_app",
            "retries": "gateway.commands.retries:retries_app",
        },
        "Make and check images": {
            "generate": "gateway.commands.generate:generate_app",
            "verify": "gateway.commands.verify:verify_app",
        },
        "Audit the log": {
            "log": "gateway.commands.log:log_app",
        },
        "Write and measure policies": {
            "policy": "gateway.commands.policy:policy_app",
            "registers": "gateway.commands.registers:registers_app",
            "moderation": "gateway.commands.moderation:moderation_app",
            "train-probe": "gateway.commands.train_probe:train_probe_app",
        },
        "Measure the watermark": {
            "watermark": "gateway.commands.watermark:watermark_app",
        },
    }


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="A self-hosted gateway for FLUX image generation: every request screened, every picture marked, signed and "
    "logged, or it does not leave.",
    epilog="Start here: [bold]fluxgate demo[/bold]",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"{SYSTEM} {SYSTEM_VERSION}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options before the command."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")


def main() -> None:
    """Console script. What an operator can mend is said in one line; anything else is a bug and shows its traceback."""
    # Processes that we start import nothing from the folder that the caller happens to stand in.
    os.environ.setdefault("PYTHONSAFEPATH", "1")
    try:
        app()
    except Exception as failure:
        from gateway.commands.options import operator_errors

        if not isinstance(failure, operator_errors()):
            raise
        typer.echo(f"fluxgate: {failure}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
