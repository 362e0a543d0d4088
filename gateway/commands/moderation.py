"""`fluxgate moderation`: measures what screens prompts, on labelled texts of the operator's own."""

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from gateway.commands.options import DEFAULT_DATA_DIR, AsJson, DataDir, stop, wide_console
from gateway.version import SYSTEM, SYSTEM_VERSION

if TYPE_CHECKING:
    from moderation.evaluation.scorers import Subject

moderation_app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="Measure what screens prompts.")


@moderation_app.callback()
def moderation() -> None:
    """Measure what screens prompts."""


@moderation_app.command(
    epilog="Example: fluxgate moderation evaluate prompts.csv --out report --policy default --classifier semantic"
)
def evaluate(
    files: Annotated[
        list[Path], typer.Argument(help="CSV or JSON Lines (.gz too): text, label, optionally category, language.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for report.md, report.html, figures.json and plots.")],
    classifier: Annotated[
        list[str] | None, typer.Option(help="A prompt classifier's part name, or name=threshold; may be repeated.")
    ] = None,
    policy: Annotated[
        list[str] | None, typer.Option(help="A whole policy: demo, default, strict, or a file; may be repeated.")
    ] = None,
    false_alarms: Annotated[
        list[float] | None, typer.Option(min=0.0, max=1.0, help="Propose thresholds for this rate; may be repeated.")
    ] = None,
    assurance: Annotated[int, typer.Option(min=0, max=3, help="The caller's level when a policy judges.")] = 1,
    disguised: Annotated[int, typer.Option(min=0, help="Harmful texts the evasion suite tries; 0 skips it.")] = 100,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Score labelled texts and write a report: precision, recall, areas, over-refusal, disguises, latency.

    Subjects are measured in the order given, classifiers first; the first two are compared. Without any, the settings'
    policy is measured. No text is printed or written. Exit codes: 0 written, 2 a file or subject cannot be used.
    """
    from moderation.evaluation.labelled import UnreadableLabels, read_labelled
    from moderation.evaluation.measuring import FALSE_ALARMS, measure
    from moderation.evaluation.report import write_report

    logging.getLogger("fluxgate.boot").setLevel(logging.ERROR)
    try:
        texts = [text for file in files for text in read_labelled(file)]
    except UnreadableLabels as failure:
        stop(str(failure))
    subjects = _subjects(classifier or (), policy or (), data_dir, assurance)
    with Progress(console=Console(stderr=True), disable=as_json) as progress:

        def watch(what: str) -> Callable[[Sequence[str]], Sequence[str]]:
            return lambda texts: progress.track(texts, description=what)  # type: ignore[return-value]

        found = measure(subjects, texts, wanted=false_alarms or FALSE_ALARMS, disguised=disguised, watch=watch)
    made = {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "by": f"{SYSTEM} {SYSTEM_VERSION}",
        "files": ", ".join(file.name for file in files),
        **{f"policy {subject.name}": subject.digest for subject in subjects if subject.digest},
    }
    paths = write_report(found, out, made=made)
    if as_json:
        typer.echo(orjson.dumps({"made": made, **found}).decode())
        return
    table = Table("subject", "threshold", "AUROC", "recall", "harmless refused", "median ms")
    for name, one in found["subjects"].items():
        everything = one["all"]
        table.add_row(
            name,
            f"{one['threshold']:g}",
            f"{everything['auroc']['value']:.3f}" if "auroc" in everything else "",
            f"{everything['recall']['value']:.1%}",
            f"{everything['refused_harmless']['value']:.1%}",
            f"{one['latency_ms']['p50']:.2f}",
        )
    wide_console().print(table)
    Console().print(f"Wrote {', '.join(path.name for path in paths)} to {out}.", soft_wrap=True)


def _subjects(classifiers: Sequence[str], policies: Sequence[str], data_dir: Path, assurance: int) -> "list[Subject]":
    """Classifiers with the options of the settings' policy, then policies. Raises `BootError`, `PolicyError`."""
    from gateway.parts import build_part
    from gateway.settings import load_settings
    from moderation.evaluation.scorers import ClassifierSubject
    from policies.findings import Stage
    from policies.loading import load_policy

    settings = load_settings(data_dir, {})
    chosen = load_policy(settings.policy_name)
    found: list[Subject] = []
    for named in classifiers:
        name, _, wanted = named.partition("=")
        use = next((use for use in chosen.classifiers if use.kind == "prompt" and use.part == name), None)
        part = build_part("prompt_classifiers", name, {**(use.options if use else {}), **settings.parts.get(name, {})})
        rules = [rule for rule in chosen.rules if Stage.PROMPT in rule.stages and name in dict(rule.thresholds)]
        hardest = max(rules, key=lambda rule: rule.verdict, default=None)
        threshold = float(wanted) if wanted else dict(hardest.thresholds)[name] if hardest else 0.5
        found.append(ClassifierSubject(named, [part], threshold))
    names = policies or (() if found else (str(settings.policy_name),))
    return found + [_judged(name, data_dir, assurance) for name in names]


def _judged(name: str, data_dir: Path, assurance: int) -> "Subject":
    """A policy's verdict on a prompt as a score: allow 0, flag 1/3, hold 2/3, refuse 1; held counts as refused."""
    from gateway.parts import build_part
    from gateway.settings import load_settings
    from moderation.evaluation.scorers import VerdictSubject
    from moderation.prompt_folding import fold
    from policies import evaluate as policy_evaluation
    from policies.findings import Stage
    from policies.loading import load_policy
    from policies.verdicts import Verdict

    settings = load_settings(data_dir, {"policy": name})
    policy = load_policy(settings.policy_name)
    parts = [
        build_part("prompt_classifiers", use.part, {**use.options, **settings.parts.get(use.part, {})})
        for use in policy.classifiers
        if use.kind == "prompt"
    ]

    def judge(text: str) -> float:
        folded = fold(text)
        findings = [finding for part in parts for finding in part.classify(folded)]
        decision = policy_evaluation.evaluate(policy, findings, stage=Stage.PROMPT, assurance=assurance)
        return decision.verdict / Verdict.REFUSE

    return VerdictSubject(f"policy {policy.name}", judge, Verdict.HOLD / Verdict.REFUSE, policy.digest)
