"""Writes what was measured: REPORT.md, REPORT.html and SVG plots, from numbers alone."""

import statistics
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from provenance.watermark_report.attacks import Attack
from provenance.watermark_report.keys import Pool, Timing
from provenance.watermark_report.measuring import Cell, Measured, Quality
from provenance.watermark_report.plots import bars
from provenance.watermark_report.statistics import wilson

_KINDS = {"photo": "photographs", "art": "flat art"}

Table = tuple[Sequence[str], Sequence[Sequence[str]]]


def write_report(
    folder: Path,
    measured: Sequence[Measured],
    attacks: Sequence[Attack],
    command: str,
    notes: Sequence[str],
    timings: Sequence[Timing] = (),
    pool: Pool | None = None,
) -> None:
    """Three kinds of files in `folder`, which is made if it is not there. `notes`: paragraphs for the introduction."""
    folder.mkdir(parents=True, exist_ok=True)
    parts: list[str | Table] = ["# What the watermarks survive", *notes, f"Made by `{command}`."]
    parts += [
        "Each cell is the share of pictures whose exact mark was read, with Wilson's 95 % interval; one attack of each "
        "kind per picture. Times are CPU milliseconds of one process, median; they swing with what else the machine "
        "does, so compare them within a run.",
        "## Quality and time",
        _quality(measured),
        "## False marks",
        _false_marks(measured, pool),
    ]
    if timings:
        parts += ["## Time by number of keys, 1024 x 1024", _keys(timings)]
    for kind, title in _KINDS.items():
        for size in dict.fromkeys((run.width, run.height) for run in measured):
            runs = [run for run in measured if (run.width, run.height) == size and kind in run.quality]
            if not runs:
                continue
            name = f"{kind}-{size[0]}x{size[1]}"
            parts += [f"## {title.capitalize()}, {size[0]} x {size[1]}", _survival(runs, kind, attacks)]
            folder.joinpath(f"{name}.svg").write_text(_plot(runs, kind, attacks, f"{title}, {size[0]} x {size[1]}"))
            parts.append(f"![Shares read]({name}.svg)")
    folder.joinpath("REPORT.md").write_text(_markdown(parts), "utf-8")
    folder.joinpath("REPORT.html").write_text(_html(parts), "utf-8")


def _quality(measured: Sequence[Measured]) -> Table:
    rows = []
    for run in measured:
        for kind, quality in run.quality.items():
            rows.append([run.scheme, f"{run.width} x {run.height}", _KINDS[kind], *_qualities(quality)])
    head = ["scheme", "size", "pictures", "marked", "PSNR dB least / mean", "SSIM mean", "flat RMS worst", "embed ms"]
    return head, rows


def _qualities(quality: Quality) -> list[str]:
    marked = f"{len(quality.psnr)} of {len(quality.psnr) + len(quality.refused)}"
    if not quality.psnr:
        return [marked, "", "", "", ""]
    return [
        marked,
        f"{min(quality.psnr):.1f} / {statistics.fmean(quality.psnr):.1f}",
        f"{statistics.fmean(quality.ssim):.4f}",
        f"{max(quality.flat):.2f}" if quality.flat else "no flat area",
        f"{statistics.median(quality.milliseconds):.1f}",
    ]


def _false_marks(measured: Sequence[Measured], pool: Pool | None) -> Table:
    rows = []
    for run in measured:
        _, high = wilson(run.false_marks, run.searches)
        found = f"{run.false_marks} of {run.searches}"
        rows.append(
            [run.scheme, f"{run.width} x {run.height}", found, f"{high:.1e}", _spread(run.unmarked_milliseconds)]
        )
    if pool is not None:
        _, high = wilson(pool.found, pool.searches)
        found = f"{pool.found} of {pool.searches}"
        rows.append([f"tile, {pool.keys} keys at once", "512 x 512", found, f"{high:.1e}", _spread(pool.milliseconds)])
    return ["scheme", "size", "found in unmarked", "measured rate below (97.5 %)", "ms to say no, median / most"], rows


def _survival(runs: Sequence[Measured], kind: str, attacks: Sequence[Attack]) -> Table:
    head = ["attack", "goal"]
    for run in runs:
        head += [run.scheme, "held out", "ms"] if run is runs[0] else [run.scheme]
    rows = []
    for attack in attacks:
        row = [attack.name, "" if attack.goal is None else f"{100 * attack.goal:g} %"]
        for run in runs:
            cell = run.cells.get((kind, attack.name), Cell())
            row.append(_share(cell.count()))
            if run is runs[0]:
                row += [_share(cell.count(lambda place: place % 2 == 1)), _median(cell.milliseconds)]
        rows.append(row)
    return head, rows


def _share(count: tuple[int, int]) -> str:
    right, total = count
    if not total:
        return ""
    low, high = wilson(right, total)
    return f"{100 * right / total:.0f} % ({right}/{total}; {100 * low:.0f}-{100 * high:.0f})"


def _median(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.0f}" if values else ""


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.0f} / {max(values):.0f}" if values else ""


def _keys(timings: Sequence[Timing]) -> Table:
    attacks = list(timings[0].read)
    rows = []
    for timing in timings:
        took = [_median(timing.read[name]) for name in attacks]
        rows.append([str(timing.keys), f"{timing.found} of {timing.searched}", *took, _spread(timing.unmarked)])
    return ["keys", "read", *(f"ms, {name}" for name in attacks), "ms to say no, median / most"], rows


def _plot(runs: Sequence[Measured], kind: str, attacks: Sequence[Attack], title: str) -> str:
    rows = []
    for attack in attacks:
        values: list[tuple[float, float, float] | None] = []
        for run in runs:
            right, total = run.cells.get((kind, attack.name), Cell()).count()
            values.append((right / total, *wilson(right, total)) if total else None)
        rows.append((attack.name, values))
    return bars(f"Exact mark read: {title}", rows, [run.scheme for run in runs])


def _markdown(parts: Iterable[str | Table]) -> str:
    out = []
    for part in parts:
        if isinstance(part, str):
            out.append(part)
        else:
            head, rows = part
            lines = [head, ["---"] * len(head), *rows]
            out.append("\n".join("| " + " | ".join(line) + " |" for line in lines))
    return "\n\n".join(out) + "\n"


_STYLE = (
    "body{font:15px/1.5 sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;display:block;overflow-x:auto}"
    "td,th{border:1px solid #ddd;padding:.2rem .5rem;text-align:left}"
)


def _html(parts: Iterable[str | Table]) -> str:
    title, style = "What the watermarks survive", _STYLE
    out = [f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{style}</style>']
    for part in parts:
        if not isinstance(part, str):
            head, rows = part
            out.append("<table><tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in head) + "</tr>")
            out += ["<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows]
            out.append("</table>")
        elif part.startswith("#"):
            level = len(part) - len(part.lstrip("#"))
            out.append(f"<h{level}>{escape(part.lstrip('# '))}</h{level}>")
        elif part.startswith("!["):
            source = part.split("(")[1].rstrip(")")
            out.append(f'<img src="{escape(source)}" alt="Shares read">')
        else:
            out.append(f"<p>{escape(part)}</p>")
    return "\n".join(out) + "\n"
