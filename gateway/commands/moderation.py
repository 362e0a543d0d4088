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

from gateway.commands.options import DEFAULT_DATA_DIR, AsJson, DataDir, configured, existing, stop, wide_console
from gateway.version import SYSTEM, SYSTEM_VERSION

if TYPE_CHECKING:
    from moderation.evaluation.scorers import Subject

moderation_app = typer.Typer(
    add_completion=False, no_args_is_help=True, rich_markup_mode="rich", help="Measure what screens prompts."
)


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
    zone: Annotated[
        tuple[float, float] | None,
        typer.Option(metavar="FROM TO", help="Also count the texts that a classifier scores in this grey zone."),
    ] = None,
    disguised: Annotated[int, typer.Option(min=0, help="Harmful texts the evasion suite tries; 0 skips it.")] = 100,
    sign: Annotated[
        bool, typer.Option("--sign", help="Record the report's digests in the log, and write the receipt.")
    ] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Score labelled texts and write a report: precision, recall, areas, over-refusal, disguises, latency.

    Subjects are measured in the order given, classifiers first; the first two are compared, text by text: two policies,
    two classifiers, or one of each. Without any, the settings' policy is measured. No text is printed or written. A
    signed report is the record of what was tried against the safeguards, and when: `fluxgate moderation check`. Exit
    codes: 0 written, 2 a file or subject cannot be used.
    """
    from moderation.evaluation.labelled import UnreadableLabels, read_labelled
    from moderation.evaluation.measuring import FALSE_ALARMS, measure
    from moderation.evaluation.report import write_report

    logging.getLogger("fluxgate.boot").setLevel(logging.ERROR)
    try:
        texts = [text for file in files for text in read_labelled(file)]
    except UnreadableLabels as failure:
        stop(str(failure))
    if sign:
        existing(data_dir)  # before the work, not after it
        if out.is_dir() and any(out.iterdir()):
            stop(f"{out} is not empty: a signed report is everything in its folder, so name a new one")
    subjects = _subjects(classifier or (), policy or (), configured(data_dir), assurance)
    with Progress(console=Console(stderr=True), disable=as_json) as progress:

        def watch(what: str) -> Callable[[Sequence[str]], Sequence[str]]:
            return lambda texts: progress.track(texts, description=what)  # type: ignore[return-value]

        wanted = false_alarms or FALSE_ALARMS
        found = measure(subjects, texts, wanted=wanted, disguised=disguised, zone=zone, watch=watch)
    made = {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "by": f"{SYSTEM} {SYSTEM_VERSION}",
        "files": ", ".join(file.name for file in files),
        **{subject.name: subject.digest for subject in subjects if subject.digest},
    }
    paths = write_report(found, out, made=made)
    if sign:
        paths.append(_signed(out, data_dir))
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


@moderation_app.command(epilog='Example: fluxgate moderation check report --vkey "$(cat log.vkey)"')
def check(
    folder: Annotated[Path, typer.Argument(help="A report that `fluxgate moderation evaluate --sign` wrote.")],
    vkey: Annotated[str | None, typer.Option(help="The log's public key; default: the data folder's own.")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Check a signed report: who signed it, when, and that no file of it was changed. Needs no network.

    Exit codes: 0 as signed, 1 not, 2 could not be checked.
    """
    from gateway.signing.reports import ReportChanged, check_report
    from provenance.log.receipts import ReceiptInvalid

    beside = data_dir / "keys" / "log.vkey"
    if vkey is None:
        if not beside.is_file():
            stop(f"there is no gateway in {data_dir}: name its folder with --data-dir, or the log's key with --vkey")
        vkey = beside.read_text("utf-8").strip()
    try:
        time = check_report(folder, vkey)
    except (ReportChanged, ReceiptInvalid) as failure:
        stop(str(failure), code=1)
    typer.echo(f"As signed by {vkey.split('+')[0]} at {time:%Y-%m-%d %H:%M:%S} UTC.")


def _signed(folder: Path, data_dir: Path) -> Path:
    from gateway.signing.provisioning import open_ledger
    from gateway.signing.reports import RECEIPT, sign_report
    from gateway.store.data_folder import open_data_folder

    sign_report(folder, open_ledger(open_data_folder(data_dir)), datetime.now(UTC), SYSTEM_VERSION)
    return folder / RECEIPT


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
    return found + [_judged(name, data_dir, assurance) for name in dict.fromkeys(names)]


def _judged(name: str, data_dir: Path, assurance: int) -> "Subject":
    """A policy's verdict on a prompt as a score: allow 0, flag 1/3, hold 2/3, refuse 1; held counts as refused.

    Screened as requests are: second stages are asked in their zones only, and what runs out of time is refused.
    """
    from gateway.settings import load_settings
    from gateway.wiring import screening_of
    from moderation.evaluation.scorers import VerdictSubject
    from policies import evaluate as policy_evaluation
    from policies.findings import Stage
    from policies.loading import BUILTIN_POLICIES, load_policy
    from policies.verdicts import Verdict

    settings = load_settings(data_dir, {"policy": name})
    policy = load_policy(settings.policy_name)
    screening = screening_of(settings, policy, kinds=("prompt",))

    def judge(text: str) -> float:
        found = screening.read(text)
        decision = policy_evaluation.evaluate(policy, found, stage=Stage.PROMPT, assurance=assurance)
        return decision.verdict / Verdict.REFUSE

    words = tuple(verdict.word for verdict in Verdict)
    # Files are told apart by their digests: two versions of one policy often have one name.
    known = name if name in BUILTIN_POLICIES else f"{Path(name).name} ({policy.digest.removeprefix('sha256:')[:8]})"
    return VerdictSubject(f"policy {known}", judge, Verdict.HOLD / Verdict.REFUSE, policy.digest, words)
