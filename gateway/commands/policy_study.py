"""`fluxgate policy explain | test`: what a policy would do, and whether it still does what it should."""

import asyncio
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
import typer
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from rich.table import Table

from gateway.commands.options import DEFAULT_DATA_DIR, AsJson, DataDir, configured, stop, wide_console
from gateway.settings import load_settings
from gateway.stations.rulebook import Rulebook, jurisdiction_files, stacked
from moderation.errors import PartUnusable
from moderation.registers.named_people import NamedPeople, People
from moderation.registers.reading import read_register
from policies.comparison import classifiers_named, ladder
from policies.evaluate import evaluate
from policies.findings import Category, Finding, Stage
from policies.loading import load_policy
from policies.policy import Policy

PolicyName = Annotated[str, typer.Argument(help="demo, default, strict, or a file.")]
Overlaid = Annotated[Path | None, typer.Option("--overlay", help="An overlay file to lay over the policy.")]
Jurisdictions = Annotated[
    list[str] | None, typer.Option("--jurisdiction", help="A shipped profile to lay over it first; repeatable.")
]
Tenant = Annotated[str, typer.Option(help="Whose grants count; without it nobody's.")]
Asked = Annotated[int | None, typer.Option("--tolerance", min=0, max=6, help="The safety_tolerance asked for.")]
Level = Annotated[int, typer.Option("--level", min=0, max=3, help="Assurance level of the caller, 0 to 3.")]


def studied(
    policy: str, overlay: Path | None, tenant: str, tolerance: int | None, jurisdictions: list[str] | None = None
) -> Policy:
    """The policy that would decide about the tenant. Raises `PolicyError`, or `BootError` for no such jurisdiction."""
    base = load_policy(policy)
    files = (*jurisdiction_files(jurisdictions or ()), *((overlay,) if overlay else ()))
    return Rulebook(base, {tenant: stacked(base, files, tenant)}).policy_for(tenant, tolerance)


def explain(
    policy: PolicyName,
    category: Annotated[list[Category] | None, typer.Option(help="Only this category; may be given again.")] = None,
    stage: Annotated[Stage | None, typer.Option(help="Only this stage.")] = None,
    level: Level = 1,
    overlay: Overlaid = None,
    jurisdiction: Jurisdictions = None,
    tenant: Tenant = "",
    tolerance: Asked = None,
    as_json: AsJson = False,
) -> None:
    """Say what happens at which score: for each category, stage and classifier, the verdict and the rule behind it."""
    found = studied(policy, overlay, tenant, tolerance, jurisdiction)
    rows: list[dict[str, Any]] = [
        {"category": name.value, "stage": where.value, "classifier": classifier, "steps": steps}
        for name in category or Category
        for where in ([stage] if stage else Stage)
        for classifier in classifiers_named(found)
        if len(steps := _said(found, name.value, where, classifier, level)) > 1 or steps[0]["verdict"] != "allow"
    ]
    purposes = purposes_of(found) if Category.IMPERSONATION in (category or Category) else {}
    if as_json:
        typer.echo(orjson.dumps({"policy": found.name, "level": level, "rows": rows, "purposes": purposes}).decode())
        return
    table = Table("category", "stage", "classifier", f"from score, at level {level}")
    for row in rows:
        said = ", ".join(
            f"{step['score']:g} {step['verdict']}" + (f" ({', '.join(step['rules'])})" if step["rules"] else "")
            for step in row["steps"]
        )
        table.add_row(row["category"], row["stage"], row["classifier"], said)
    wide_console().print(table)
    for purpose, rank in purposes.items():
        typer.echo(f"A public figure named for the purpose {purpose} scores {rank:g} (named_people).")


def purposes_of(policy: Policy) -> dict[str, float]:
    """Purpose of its registers of people → rank. Ends the command for a malformed register."""
    uses = (use for use in policy.classifiers if use.part == NamedPeople.name)
    tables = [table for use in uses for table in NamedPeople.Options.model_validate(use.options).data]
    try:
        registers = [read_register(NamedPeople.name, People, table) for table in tables if "language" not in table]
    except PartUnusable as failure:
        stop(str(failure))
    return {purpose.id: purpose.score for register in registers for purpose in register.purpose}


def _said(policy: Policy, category: str, stage: Stage, classifier: str, level: int) -> list[dict[str, Any]]:
    return [
        {"score": step.score, "verdict": step.verdict.word, "rules": list(step.rules)}
        for step in ladder(policy, category, stage, classifier, level)
    ]


class GivenFinding(BaseModel):
    """A finding as a case gives it."""

    model_config = ConfigDict(extra="forbid")

    category: Category | Literal["unanswered"]
    score: float = Field(ge=0.0, le=1.0)
    classifier: str = Field(min_length=1)


class Case(BaseModel):
    """One unit test of a policy: words for its real classifiers, or findings as if they had reported them."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,80}$")
    prompt: str | None = None
    findings: tuple[GivenFinding, ...] = ()
    stage: Stage = Stage.PROMPT
    level: int = Field(default=1, ge=0, le=3)
    expect: Literal["allow", "flag", "hold", "refuse"]
    rule: str | None = None
    shadow: str | None = None

    @model_validator(mode="after")
    def _one_subject(self) -> "Case":
        if (self.prompt is None) == (not self.findings):
            raise ValueError("give a prompt or findings, one of the two")
        if self.prompt is not None and self.stage is not Stage.PROMPT:
            raise ValueError("a prompt is decided at the stage prompt")
        return self


class Cases(BaseModel):
    """The file: `[[case]]` tables."""

    model_config = ConfigDict(extra="forbid")

    case: tuple[Case, ...] = Field(min_length=1)


def run_cases(
    cases: Annotated[Path, typer.Argument(help="TOML file with [[case]] tables; see policies/README.md.")],
    policy: Annotated[
        str | None, typer.Option(help="demo, default, strict, or a file; default: the settings'.")
    ] = None,
    overlay: Overlaid = None,
    jurisdiction: Jurisdictions = None,
    tenant: Tenant = "",
    tolerance: Asked = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Run a policy's unit tests: prompts through its real classifiers, or given findings, against the verdict wanted.

    Names cases by id and never prints a prompt. Exit codes: 0 all as expected, 1 some not, 2 the file is not usable.
    """
    settings = load_settings(configured(data_dir), {"policy": policy})
    found = studied(settings.policy_name, overlay, tenant, tolerance, jurisdiction)
    wanted = _read(cases)
    results = asyncio.run(_results(settings, found, wanted))
    wrong = [result for result in results if not result["ok"]]
    if as_json:
        typer.echo(orjson.dumps({"policy": found.name, "digest": found.digest, "cases": results}).decode())
    else:
        for result in wrong:
            typer.echo(
                f"FAILED {result['id']}: expected {result['expected']}, is {result['verdict']} {result['rules']}"
            )
        typer.echo(f"{len(results) - len(wrong)} of {len(results)} cases as expected under {found.name}.")
    raise typer.Exit(1 if wrong else 0)


def _read(file: Path) -> tuple[Case, ...]:
    try:
        return Cases.model_validate(tomllib.loads(file.read_text("utf-8"))).case
    except (OSError, tomllib.TOMLDecodeError) as failure:
        stop(f"{file} cannot be read as TOML: {failure}")
    except ValidationError as failure:
        faults = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in failure.errors())
        stop(f"{file} is not usable: {faults}")


async def _results(settings: Any, policy: Policy, cases: tuple[Case, ...]) -> list[dict[str, Any]]:
    from gateway.wiring import screening_of

    screening = screening_of(settings, policy) if any(case.prompt is not None for case in cases) else None
    try:
        results = []
        for case in cases:
            findings: tuple[Finding, ...] = tuple(
                Finding(str(given.category), given.score, case.stage, given.classifier, "") for given in case.findings
            )
            if case.prompt is not None and screening is not None:
                findings = await screening.prompt(case.prompt)
            decision = evaluate(policy, findings, stage=case.stage, assurance=case.level)
            rules = sorted({reason.rule for reason in decision.reasons if reason.verdict is decision.verdict})
            shadows = sorted({reason.rule for reason in decision.shadows})
            expected = case.expect + (f" by {case.rule}" if case.rule else "")
            expected += f" with {case.shadow} on trial" if case.shadow else ""
            ok = (
                decision.verdict.word == case.expect and case.rule in (None, *rules) and case.shadow in (None, *shadows)
            )
            said = {"verdict": decision.verdict.word, "rules": rules, "shadows": shadows}
            results.append({"id": case.id, "ok": ok, "expected": expected, **said})
        return results
    finally:
        if screening is not None:
            screening.close()
