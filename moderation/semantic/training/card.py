"""Puts a run's figures into the model card, between two marks, so that the card cannot say what was not measured."""

from pathlib import Path
from typing import Any

FIRST, LAST = "<!-- figures: written by train.py -->", "<!-- end of figures -->"


def update(path: Path, told: dict[str, Any]) -> None:
    """Replaces what stands between the marks. `told`: as in evaluation.json. Raises `ValueError` without marks."""
    before, _, rest = path.read_text("utf-8").partition(FIRST)
    _, mark, after = rest.partition(LAST)
    if not mark:
        raise ValueError(f"{path.name} has no marks for the figures")
    path.write_text("\n".join([before + FIRST, "", *_lines(told), LAST + after]), "utf-8")


def _lines(told: dict[str, Any]) -> list[str]:
    lines = [
        "| set (harmful + harmless) | AUROC (95 %) | AUPRC | reference's AUROC | recall at 5 % refused | at 15 % |",
        "|---|---|---|---|---|---|",
    ]
    for name, one in told["ranking"].items():
        value, low, high = one["auroc"]
        lines.append(
            f"| {name} ({one['texts'][0]} + {one['texts'][1]}) | {value:.3f} ({low:.3f} to {high:.3f}) | "
            f"{one['auprc'][0]:.3f} | {one['auroc_reference']:.3f} | {one['recall_at_5%_refused']:.1%} | "
            f"{one['recall_at_15%_refused']:.1%} |"
        )
    for channel, key, table in (
        ("image prompts", "thresholds", "at_or_above"),
        ("chat texts", "chat_thresholds", "chat_at_or_above"),
    ):
        limits = told[key]
        said = ", ".join(f"{verdict} {limit:.4f}" for verdict, limit in limits.items())
        lines += ["", f"Proposed thresholds for {channel}: {said}. Shares at or above each:", ""]
        lines += [f"| set | texts | {' | '.join(limits)} |", "|---|---|" + "---|" * len(limits)]
        for name, row in told[table].items():
            lines.append(f"| {name} | {row['texts']} | {' | '.join(f'{row[verdict]:.2%}' for verdict in limits)} |")
    both = told["int8_beside_reference"]
    equal = ", ".join(f"{verdict} {share:.2%}" for verdict, share in both["equal_decisions"].items())
    return [
        *lines,
        "",
        f"int8 beside the float32 reference on {both['texts']} texts: correlation of logits {both['correlation']:.4f}, "
        f"equal decisions: {equal}.",
        "",
    ]
