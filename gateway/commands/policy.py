"""`fluxgate policy`: reads a policy the way the gateway does, and says what it would do."""

import logging
from dataclasses import asdict
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.table import Table

from gateway.commands.options import DEFAULT_DATA_DIR, AsJson, DataDir, configured, wide_console
from gateway.commands.policy_diff import diff
from gateway.commands.policy_study import Asked, Jurisdictions, Overlaid, Tenant, explain, run_cases, studied
from gateway.settings import load_settings

policy_app = typer.Typer(
    add_completion=False, no_args_is_help=True, rich_markup_mode="rich", help="Read and check policies."
)
policy_app.command(epilog="Example: fluxgate policy explain default --category weapons --level 2")(explain)
policy_app.command(
    epilog="Example: fluxgate policy diff default default --overlay school.toml --tenant acme --no-softer"
)(diff)
policy_app.command("test", epilog="Example: fluxgate policy test cases.toml --policy my-policy.toml")(run_cases)


@policy_app.callback()
def policies() -> None:
    """Read and check policies."""


@policy_app.command(epilog="Example: fluxgate policy check my-policy.toml")
def check(
    policy: Annotated[
        str | None, typer.Argument(help="demo, default, strict, or a file; default: the settings' own.")
    ] = None,
    overlay: Overlaid = None,
    jurisdiction: Jurisdictions = None,
    tenant: Tenant = "",
    tolerance: Asked = None,
    build: Annotated[bool, typer.Option(help="Also build its classifiers, as a start of the gateway would.")] = True,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Check a policy: can it be loaded, is every category looked for, which gaps does it accept and why.

    The overlays and the canary of the settings are checked with it, as at a start.
    Exit codes: 0 the gateway would start on it, 2 it would not, and why.
    """
    from gateway.stations.rulebook import rulebook
    from gateway.wiring import check_coverage, describe_gaps, refuse_uncovered, screening_of
    from policies.loading import load_policy

    settings = load_settings(configured(data_dir), {"policy": policy})
    logging.getLogger("fluxgate.boot").setLevel(logging.ERROR)  # the gaps are printed below
    found = studied(settings.policy_name, overlay, tenant, tolerance, jurisdiction)
    canary = load_policy(settings.canary_policy) if settings.canary_policy else None
    base = load_policy(settings.policy_name)
    book = rulebook(base, settings.overlays, canary, settings.canary_share, settings.jurisdictions)
    if build:
        screening = screening_of(settings, found, book.readings)
        try:
            check_coverage(found, screening)
            for own in book.others:
                refuse_uncovered(own, screening)
        finally:
            screening.close()
    sources = (*found.floor, *found.rules, *found.shadows)
    rules = [
        {
            "id": rule.id,
            "verdict": rule.verdict.word,
            "floor": rule in found.floor,
            "shadow": rule in found.shadows,
            "categories": sorted(rule.categories),
            "stages": sorted(stage.value for stage in rule.stages),
            "beside_person": rule.beside is not None,
            "assurance": [rule.min_assurance, rule.below_assurance - 1],
            "thresholds": {**dict(rule.thresholds), **({} if rule.other is None else {"other": rule.other})},
        }
        for rule in sources
    ]
    said = {
        "name": found.name,
        "version": found.version,
        "digest": found.digest,
        "classifiers": [
            {"kind": use.kind, "part": use.part, "asked": use.asked and asdict(use.asked)} for use in found.classifiers
        ],
        "rules": rules,
        "grants": [
            {"rule": grant.rule, "verdict": grant.least.word, "tenants": sorted(grant.tenants)}
            for grant in found.grants
        ],
        "tolerance_steps": [
            {"step": each.step, "levels": dict(each.levels), "tenants": sorted(each.tenants)}
            for each in found.tolerance_steps
        ],
        "accepted_gaps": describe_gaps(found),
        "classifiers_built": build,
    }
    if as_json:
        typer.echo(orjson.dumps(said, option=orjson.OPT_INDENT_2).decode())
        return
    console = Console()
    console.print(f"[bold]{found.name}[/bold] version {found.version}, {found.digest}", soft_wrap=True)
    table = Table("rule", "verdict", "categories", "stages", "levels", "from score")
    for rule, source in zip(rules, sources, strict=True):
        low, high = source.min_assurance, source.below_assurance - 1
        scores = ", ".join(f"{name} {score:g}" for name, score in rule["thresholds"].items())  # type: ignore[attr-defined]
        verdict = source.verdict.word + (" (floor)" if rule["floor"] else " (shadow)" if rule["shadow"] else "")
        stages = ", ".join(sorted(stage.value for stage in source.stages)) + (" beside a person" * bool(source.beside))
        table.add_row(source.id, verdict, ", ".join(sorted(source.categories)), stages, f"{low}-{high}", scores)
    wide_console().print(table)
    for use in found.classifiers:
        if zone := use.asked:
            where = f"{zone.after} scores {zone.low:g} to {zone.high:g}"
            console.print(f"Second stage: {use.part} where {where}, for {zone.seconds:g} s.", soft_wrap=True)
    for grant in found.grants:
        tenants = ", ".join(sorted(grant.tenants))
        console.print(f"Granted: {grant.rule} down to {grant.least.word}, for {tenants}.", soft_wrap=True)
    for step in found.tolerance_steps:
        levels = ", ".join(f"{word} read at {other}" for word, other in step.levels)
        console.print(f"Tolerance {step.step}: {levels}, for {', '.join(sorted(step.tenants)) or 'everybody'}.")
    for gap in describe_gaps(found):
        categories = ", ".join(gap["categories"])
        console.print(f"Accepted gap at {gap['stage']}: {categories}. {gap['reason']}", soft_wrap=True)
    console.print("The gateway would start on it." if build else "Loaded; its classifiers were not built.")
