"""Writes a measurement as Markdown, HTML, JSON and SVG: the record a regulator or a customer is shown."""

import csv
import html
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from moderation.evaluation.measuring import Figures
from moderation.evaluation.plots import histogram_plot, roc_plot

Rows = list[Sequence[str]]
STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#1b1b1b}"
    "table{border-collapse:collapse;margin:1rem 0}td,th{border:1px solid #ccc;padding:.25rem .6rem;text-align:left}"
    "th{background:#f4f4f4}code{overflow-wrap:anywhere}svg{margin:.5rem}"
)


def write_report(found: Figures, out: Path, *, made: Mapping[str, str]) -> list[Path]:
    """Writes report.md, report.html, figures.json and the plots into `out` (made if missing); the paths written.

    Two subjects compared add differing.csv: the texts, by file and row, which only one of them refuses.

    `made`: facts about the run (date, version, files), shown at the top.
    """
    out.mkdir(parents=True, exist_ok=True)
    plots = _plots(found)
    blocks = list(_blocks(found, made))
    files = {
        "report.md": _markdown(blocks, plots),
        "report.html": _html(blocks, plots),
        "figures.json": json.dumps({"made": dict(made), **found}, indent=1) + "\n",
        **plots,
    }
    if "comparison" in found:
        files["differing.csv"] = _csv(found["comparison"]["differing"])
    for name, content in files.items():
        (out / name).write_text(content, encoding="utf-8")
    return [out / name for name in files]


def _plots(found: Figures) -> dict[str, str]:
    subjects = found["subjects"]
    plots = {"roc.svg": roc_plot({name: one["roc"] for name, one in subjects.items() if "roc" in one})}
    for number, (name, one) in enumerate(subjects.items(), 1):
        plots[f"scores-{number}.svg"] = histogram_plot(name, one["histogram"])
    return plots


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    written = io.StringIO()
    writer = csv.DictWriter(written, ("file", "row", "harmful", "category", "language", "first", "second"))
    writer.writeheader()
    writer.writerows(rows)
    return written.getvalue()


Block = tuple[str, Any]  # ("title"|"heading"|"text", str) or ("table", Rows with a head)


def _blocks(found: Figures, made: Mapping[str, str]) -> Iterator[Block]:
    texts = found["texts"]
    yield "title", "How prompts are screened: measured"
    yield (
        "table",
        [("fact", "value"), *made.items(), ("texts", f"{texts['harmful']} harmful, {texts['harmless']} harmless")],
    )
    yield (
        "text",
        (
            "Shares carry Wilson intervals, areas bootstrap intervals, all at 95 %. Refused means a score at or above "
            "the threshold. No text is shown here."
        ),
    )
    for name, one in found["subjects"].items():
        yield "heading", name
        yield "text", f"Threshold {one['threshold']:g}." + (f" Policy digest {one['policy']}." if one["policy"] else "")
        yield "table", [_HEAD, _row("all", one["all"])]
        for title in ("sources", "languages", "categories"):
            if one[title]:
                yield "text", f"By {title}:"
                yield "table", [_HEAD, *(_row(value, group) for value, group in one[title].items())]
        if "verdicts" in one:
            yield "text", "Verdicts:"
            kinds = ("harmful", "harmless")
            reached = [(word, *(_share(each[kind]) for kind in kinds)) for word, each in one["verdicts"].items()]
            yield "table", [("verdict", *kinds), *reached]
        if "proposed" in one:
            yield "text", "Thresholds for a wanted false-alarm rate on these harmless texts:"
            head = ("wanted", "threshold", "harmless refused", "recall", "precision")
            yield "table", [head, *(_proposed(each) for each in one["proposed"])]
        if one.get("proposed_by_category"):
            yield (
                "text",
                "Thresholds per category, each of which alone refuses that share of these harmless texts at most:",
            )
            own = one["proposed_by_category"]
            columns = ("category", *(f"{float(rate):.2%}" for rate in next(iter(own.values()))))
            yield "table", [columns, *((name, *(f"{at:.4f}" for at in rates.values())) for name, rates in own.items())]
        if "zone" in one:
            low, high = one["zone"]["scores"]
            yield "text", f"Scores from {low:g} to below {high:g}, where a second classifier would be asked:"
            rows = [(title, *map(_in_zone, kinds.values())) for title, kinds in one["zone"]["asked"].items()]
            yield "table", [("texts", "harmful", "harmless"), *rows]
        if one["evasion"]:
            yield "text", "Disguises of harmful texts that are refused undisguised:"
            rows = [(way, _share(each["recall_lost"])) for way, each in one["evasion"].items()]
            yield "table", [("disguise", "recall lost"), *rows]
        spent = one["latency_ms"]
        yield "text", f"Latency per text: {spent['p50']} ms median, {spent['p95']} ms p95, {spent['p99']} ms p99."
    if "comparison" in found:
        both = found["comparison"]
        yield "heading", f"{both['first']} beside {both['second']}"
        yield (
            "text",
            (
                f"Equal decisions: {_share(both['equal_decisions'])}. By chance: how often two that refuse equally "
                "often would differ so (McNemar's exact test). Which texts these are, by file and row: differing.csv."
            ),
        )
        columns = ("texts", f"refused only by {both['first']}", f"refused only by {both['second']}", "by chance")
        yield "table", [columns, *((kind, *_only(both, kind)) for kind in ("harmful", "harmless"))]


def _only(both: Figures, kind: str) -> tuple[str, ...]:
    chance = both[f"{kind}_by_chance"]
    said = f"{chance:.2g}" if chance >= 0.001 else "under 0.001"
    return str(both[f"{kind}_only_first"]), str(both[f"{kind}_only_second"]), said


_HEAD = ("texts", "AUROC", "AUPRC", "recall", "harmless refused", "precision", "F1")


def _row(name: str, group: Figures) -> tuple[str, ...]:
    harmful, harmless = group["recall"]["of"], group["refused_harmless"]["of"]
    return (
        f"{name} ({harmful} + {harmless})",
        _area(group.get("auroc")),
        _area(group.get("auprc")),
        _share(group["recall"]) if harmful else "",
        _share(group["refused_harmless"]) if harmless else "",
        _share(group["precision"]) if harmful else "",
        f"{group['f1']:.3f}" if harmful else "",
    )


def _proposed(each: Figures) -> tuple[str, ...]:
    shares = (_share(each[name]) for name in ("refused_harmless", "recall", "precision"))
    return (f"{each['wanted']:.2%}", f"{each['threshold']:.4f}", *shares)


def _in_zone(share: Figures) -> str:
    return f"{_share(share)} of {share['of']}" if share["of"] else ""


def _share(share: Figures) -> str:
    low, high = share["interval"]
    return f"{share['value']:.1%} ({low:.1%} to {high:.1%})"


def _area(area: Figures | None) -> str:
    return f"{area['value']:.3f} ({area['interval'][0]:.3f} to {area['interval'][1]:.3f})" if area else ""


def _markdown(blocks: Sequence[Block], plots: Mapping[str, str]) -> str:
    lines: list[str] = []
    for kind, content in blocks:
        if kind == "table":
            head, *rows = content
            lines += [_piped(head), _piped(["---"] * len(head)), *map(_piped, rows)]
        else:
            lines.append({"title": "# ", "heading": "## ", "text": ""}[kind] + content)
        lines.append("")
        if kind == "title":
            lines += [" ".join(f"![{Path(name).stem}]({name})" for name in plots), ""]
    return "\n".join(lines)


def _piped(row: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |"


def _html(blocks: Sequence[Block], plots: Mapping[str, str]) -> str:
    parts: list[str] = []
    for kind, content in blocks:
        if kind == "table":
            head, *rows = content
            body = "".join(f"<tr>{_cells(row)}</tr>" for row in rows)
            parts.append(f"<table><tr>{_cells(head, 'th')}</tr>{body}</table>")
        else:
            tag = {"title": "h1", "heading": "h2", "text": "p"}[kind]
            parts.append(f"<{tag}>{html.escape(content)}</{tag}>")
        if kind == "title":
            parts += plots.values()
    title = html.escape(blocks[0][1])
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def _cells(row: Sequence[str], tag: str = "td") -> str:
    return "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row)
