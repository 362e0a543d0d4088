"""`fluxgate policy diff`: what a change of a policy changes."""

from dataclasses import asdict
from typing import Annotated, Any

import orjson
import typer
from rich.table import Table

from gateway.commands.options import AsJson, wide_console
from gateway.commands.policy_study import Asked, Jurisdictions, Overlaid, PolicyName, Tenant, studied
from policies.asking import Asking, askings
from policies.comparison import Difference, differences
from policies.loading import load_policy


def diff(
    old: PolicyName,
    new: PolicyName,
    no_softer: Annotated[bool, typer.Option("--no-softer", help="Exit with 1 if anything gets softer.")] = False,
    overlay: Overlaid = None,
    jurisdiction: Jurisdictions = None,
    tenant: Tenant = "",
    tolerance: Asked = None,
    as_json: AsJson = False,
) -> None:
    """Say what changes from one policy to another: who is asked, and every verdict by category, stage, level and score.

    Options or data of a classifier that differ count as softer unless data is only added: what they change, only
    `fluxgate moderation evaluate` can tell.

    Overlay, tenant and tolerance are the second's: name one policy twice to see what they change. Rules on trial change
    nothing.

    Exit codes: 0, or with --no-softer 1 if the second lets anything pass that the first did not.
    """
    one, other = load_policy(old), studied(new, overlay, tenant, tolerance, jurisdiction)
    found, asked = differences(one, other), askings(one, other)
    softer = sum(each.softer for each in found) + sum(each.softer for each in asked)
    if as_json:
        rows = {"differences": [_row(each) for each in found], "classifiers": [asdict(each) for each in asked]}
        typer.echo(orjson.dumps({**rows, "softer": softer}).decode())
    else:
        _print(found, asked)
        count = len(found) + len(asked)
        typer.echo(f"{count} differences, {softer} of them softer." if count else "The two decide alike.")
    raise typer.Exit(1 if no_softer and softer else 0)


def _print(found: tuple[Difference, ...], asked: tuple[Asking, ...]) -> None:
    if asked:
        table = Table("classifier", "of", "change", "")
        for each in asked:
            table.add_row(each.classifier, each.kind, each.change, "[red]softer[/red]" if each.softer else "")
        wide_console().print(table)
    if found:
        table = Table("category", "stage", "classifier", "levels", "scores", "was", "becomes", "")
        for group in _by_levels(found):
            first = group[0]
            levels = ", ".join(str(each.assurance) for each in group)
            end = "1]" if first.below >= 1.0 else f"{first.below:g})"
            table.add_row(
                first.category, first.stage.value, first.classifier, levels, f"[{first.score:g}, {end}",
                first.old.word, first.new.word, "[red]softer[/red]" if first.softer else "harder",
            )  # fmt: skip
        wide_console().print(table)


def _row(each: Difference) -> dict[str, Any]:
    return {
        "category": each.category, "stage": each.stage.value, "classifier": each.classifier, "level": each.assurance,
        "from": each.score, "below": each.below, "old": each.old.word, "new": each.new.word, "softer": each.softer,
    }  # fmt: skip


def _by_levels(found: tuple[Difference, ...]) -> list[list[Difference]]:
    groups: dict[tuple[Any, ...], list[Difference]] = {}
    for each in found:
        key = (each.category, each.stage, each.classifier, each.score, each.below, each.old, each.new)
        groups.setdefault(key, []).append(each)
    return list(groups.values())
