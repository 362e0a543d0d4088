"""The command line. Each command lives in a file of `gateway/commands`; here they are named and errors become words."""

import logging
import os
import sys
from typing import Annotated

# Everything runs from local files; a hub is asked only when a model is named that is not one.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# The matrices of watermark detection are small: shared out over cores they take twice the CPU time and more.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import typer

from gateway.commands.certificate import certificate_app
from gateway.commands.demo import demo
from gateway.commands.generate import generate
from gateway.commands.keys import keys_app
from gateway.commands.log import log_app
from gateway.commands.moderation import moderation_app
from gateway.commands.options import operator_errors
from gateway.commands.policy import policy_app
from gateway.commands.registers import registers_app
from gateway.commands.retries import retries_app
from gateway.commands.serve import serve_command
from gateway.commands.train_probe import train_probe
from gateway.commands.verify import VerifyCommand, verify_command
from gateway.commands.watermark import watermark_app
from gateway.version import SYSTEM, SYSTEM_VERSION

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="A self-hosted gateway for FLUX image generation: every request screened, every picture marked, signed and "
    "logged, or it does not leave.",
    epilog="Start here: [bold]fluxgate demo[/bold]",
)
app.command("serve")(serve_command)
app.command("demo")(demo)
app.command("generate")(generate)
app.command("verify", cls=VerifyCommand)(verify_command)
app.add_typer(log_app, name="log")
app.add_typer(keys_app, name="keys")
app.add_typer(policy_app, name="policy")
app.add_typer(moderation_app, name="moderation")
app.add_typer(certificate_app, name="certificate")
app.add_typer(watermark_app, name="watermark")
app.command(
    "train-probe",
    epilog="Example: fluxgate train-probe pictures --out probe.json --model ViT-B-32 --weights laion2b_s34b_b79k",
)(train_probe)
app.add_typer(registers_app, name="registers")
app.add_typer(retries_app, name="retries")


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
    except operator_errors() as failure:
        typer.echo(f"fluxgate: {failure}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
