"""Small SVG plots of a report, written by hand: no plotting library, nothing fetched, readable in light and dark."""

from collections.abc import Mapping, Sequence

WIDTH, HEIGHT, EDGE = 360, 260, 36
COLOURS = ("#1f6feb", "#d1242f", "#1a7f37", "#9a6700")


def roc_plot(curves: Mapping[str, Sequence[Sequence[float]]]) -> str:
    """Harmful caught over harmless refused, one line per subject."""
    body = [_line([(0, 0), (1, 1)], "#999", dashed=True)]
    for number, (name, points) in enumerate(curves.items()):
        colour = COLOURS[number % len(COLOURS)]
        body.append(_line([(x, y) for x, y in points], colour))
        body.append(_label(EDGE + 60, HEIGHT - EDGE - 14 - 16 * number, name, colour))
    return _frame("ROC", "harmless refused", "harmful caught", body)


def histogram_plot(name: str, counts: Mapping[str, Sequence[int]]) -> str:
    """Shares of harmless and harmful texts over the score."""
    body = []
    for number, (kind, bins) in enumerate(counts.items()):
        total, colour = max(1, sum(bins)), COLOURS[1 - number % 2]
        highest = max(max(each) / max(1, sum(each)) for each in counts.values()) or 1.0
        steps = []
        for place, count in enumerate(bins):
            height = count / total / highest
            steps += [(place / len(bins), height), ((place + 1) / len(bins), height)]
        body.append(_line(steps, colour))
        body.append(_label(WIDTH // 2, EDGE + 6 + 16 * number, kind, colour))
    return _frame(name, "score", "share of texts", body)


def _line(points: Sequence[tuple[float, float]], colour: str, *, dashed: bool = False) -> str:
    across, up = WIDTH - 2 * EDGE, HEIGHT - 2 * EDGE
    path = " ".join(f"{EDGE + x * across:.1f},{HEIGHT - EDGE - y * up:.1f}" for x, y in points)
    dash = ' stroke-dasharray="4 4"' if dashed else ""
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.6"{dash}/>'


def _label(x: float, y: float, words: str, colour: str) -> str:
    return f'<text x="{x}" y="{y}" fill="{colour}" font-size="12">{_escaped(words)}</text>'


def _frame(title: str, across: str, up: str, body: Sequence[str]) -> str:
    right, bottom = WIDTH - EDGE, HEIGHT - EDGE
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'font-family="sans-serif" role="img" aria-label="{_escaped(title)}">'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>'
        f'<path d="M{EDGE} {EDGE}V{bottom}H{right}" fill="none" stroke="#555"/>'
        f"{_label(EDGE, EDGE - 12, title, '#222')}{_label(right - 100, HEIGHT - 10, across, '#555')}"
        f'<text x="14" y="{HEIGHT / 2}" fill="#555" font-size="12" text-anchor="middle" '
        f'transform="rotate(-90 14 {HEIGHT / 2})">{_escaped(up)}</text>'
        f"{''.join(body)}</svg>\n"
    )


def _escaped(words: str) -> str:
    return words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
