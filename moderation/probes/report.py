"""What new probes are worth, measured on the pictures that were held out: a page of Markdown and an SVG plot."""

import hashlib
from pathlib import Path
from typing import Any

import numpy

from moderation.evaluation.figures import Scores, areas, at_threshold, roc, threshold_for
from moderation.evaluation.plots import roc_plot
from moderation.probes.files import ProbeFile
from moderation.probes.pictures import Labelled
from moderation.probes.training import Mask, Trained

FALSE_ALARMS = (0.01, 0.05)
"""Shares of harmless pictures that thresholds are proposed for."""

_TOO_FEW = 100
"""Harmless pictures below which one per cent of them is less than one."""


def probe_figures(trained: Trained, seen: Labelled) -> dict[str, Any]:
    """For each category, on the held-out pictures: numbers, areas with intervals, thresholds with what they do.

    Harmful are the category's pictures, harmless those without any label; `any` is the highest score of all categories.
    """
    held: Mask = trained.held_out
    labels = [each for each, out in zip(seen.labels, held, strict=True) if out]
    harmless = numpy.array([not each for each in labels])
    scored = {
        category: probe.probabilities(seen.embeddings[held])
        for category, probe in sorted(trained.probe.categories.items())
    }
    groups = {category.value: (scored[category], [category in each for each in labels]) for category in scored}
    groups["any"] = numpy.max(list(scored.values()), axis=0), [bool(each) for each in labels]
    return {
        name: _figures(scores[numpy.array(harmful)], scores[harmless]) for name, (scores, harmful) in groups.items()
    }


def _figures(positives: Scores, negatives: Scores) -> dict[str, Any]:
    area, _ = areas(positives, negatives)
    thresholds = []
    for wanted in FALSE_ALARMS:
        found = at_threshold(positives, negatives, threshold_for(negatives, wanted))
        thresholds.append(
            {
                "wanted": wanted,
                "threshold": found.threshold,
                "recall": found.recall.value,
                "recall_interval": found.recall.interval,
                "refused_harmless": found.refused.value,
            }
        )
    return {
        "harmful": len(positives),
        "harmless": len(negatives),
        "auroc": area.value,
        "auroc_interval": (area.low, area.high),
        "thresholds": thresholds,
        "roc": list(zip(*roc(positives, negatives), strict=True)),
    }


def write_report(figures: dict[str, Any], probe: ProbeFile, seen: Labelled, out: Path) -> tuple[Path, Path]:
    """Writes `OUT.report.md` and `OUT.roc.svg` beside `out`, which is written already; raises `OSError`."""
    page, plot = out.with_name(out.name + ".report.md"), out.with_name(out.name + ".roc.svg")
    plot.write_text(roc_plot({name: one["roc"] for name, one in figures.items()}), "utf-8")
    skipped = ", ".join(f"{count} {why}" for why, count in sorted(seen.skipped.items())) or "none"
    rows = [
        f"| {name} | {one['harmful']} | {_area(one)} | {' | '.join(_at(each) for each in one['thresholds'])} |"
        for name, one in figures.items()
    ]
    harmless = figures["any"]["harmless"]
    first = next(iter(figures))
    digest = hashlib.sha256(out.read_bytes()).hexdigest()
    page.write_text(
        f"""# Probes {out.name}

Model {probe.model}, weights `sha256:{probe.weights_sha256}`, seed {probe.seed}. Trained on
{", ".join(f"{each.pictures} pictures of {category.value}" for category, each in sorted(probe.categories.items()))} and
{probe.harmless_pictures} harmless ones, less the fifth that was held out. Files passed over: {skipped}.

Measured on the held-out pictures, {harmless} harmless ones among them; intervals at 95 %. A threshold is the smallest
score that at most the given share of harmless pictures reaches; *any* is the highest score of all categories.

| category | pictures | AUROC | 1 % of harmless: threshold, recall | 5 % of harmless: threshold, recall |
|---|---|---|---|---|
{chr(10).join(rows)}
{_caution(harmless)}
![ROC]({plot.name})

A policy asks for it so, with `model` and `weights` as in training:

    [[classifier]]
    kind = "image"
    part = "probe"
    options = {{ model = "…", weights = "…", probe = "{out.name}", probe_sha256 = "{digest}" }}

A level speaks about all categories of the part, so its score is that of *any*:

    [levels.sure]
    probe = {figures["any"]["thresholds"][0]["threshold"]:.4f}

A rule with a threshold speaks about one:

    [[rule]]
    id = "probe-{first.replace("_", "-")}"
    verdict = "hold"
    categories = ["{first}"]
    stages = ["input_image", "output_image"]
    classifier = "probe"
    threshold = {figures[first]["thresholds"][0]["threshold"]:.4f}

Pictures of the same series in training and among the held-out ones flatter these figures.
""",
        "utf-8",
    )
    return page, plot


def _area(one: dict[str, Any]) -> str:
    low, high = one["auroc_interval"]
    return f"{one['auroc']:.3f} ({low:.3f} to {high:.3f})"


def _at(each: dict[str, Any]) -> str:
    low, high = each["recall_interval"]
    return f"{each['threshold']:.4f}, {each['recall']:.0%} ({low:.0%} to {high:.0%})"


def _caution(harmless: int) -> str:
    if harmless >= _TOO_FEW:
        return ""
    return (
        f"\nWith {harmless} harmless pictures held out, 1 % of them is less than one: that threshold lies just above "
        "the highest score seen, and how many others reach it is not known. Add harmless pictures.\n"
    )
