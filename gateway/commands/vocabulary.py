"""`fluxgate generate --vocabulary`: what the served model can draw, if it knows few words."""

import orjson
import typer

from gateway.settings import Settings
from inference.demo import WEIGHTS
from inference.flux.weights import locate
from inference.vocabulary import read_vocabulary


def show_vocabulary(settings: Settings, *, as_json: bool) -> None:
    """Prints it. Raises `WeightsError` if the model cannot be found."""
    words = read_vocabulary(WEIGHTS if settings.is_demo_model else locate(settings.model).path)
    if as_json:
        typer.echo(orjson.dumps(words and words.described(), option=orjson.OPT_INDENT_2).decode())
    elif words is None:
        typer.echo("This model reads any words: it has no vocabulary.")
    else:
        shown = words.described()
        for title, listed in shown.items():
            typer.echo(f"{title.replace('_', ' ').capitalize()} ({len(listed)}): {', '.join(listed)}\n")
        most = f"Up to {words.most_things} things in one image, at one place."
        typer.echo(f"{most} Other words are put into the nearest of these, if one is near.")
