"""Bar charts as SVG text: what each scheme keeps of each attack. Pure."""

from collections.abc import Sequence
from html import escape

_COLOURS = ("#2563eb", "#f59e0b", "#9ca3af", "#10b981", "#a855f7")
_ROW, _BAR, _LEFT, _WIDE = 8, 9, 190, 420


def bars(
    title: str, rows: Sequence[tuple[str, Sequence[tuple[float, float, float] | None]]], names: Sequence[str]
) -> str:
    """Horizontal bars with 95 per cent whiskers. `rows`: label, and for each of `names` (share, low, high) or None."""
    step = _BAR * len(names) + _ROW
    height = 64 + step * len(rows)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _WIDE + 70}" height="{height}" '
        f'font-family="sans-serif" font-size="11" role="img" aria-label="{escape(title)}">',
        f'<rect width="100%" height="100%" fill="white"/><text x="8" y="16" font-size="13">{escape(title)}</text>',
    ]
    for place, name in enumerate(names):
        x = 8 + place * 150
        out.append(f'<rect x="{x}" y="24" width="10" height="10" fill="{_COLOURS[place % len(_COLOURS)]}"/>')
        out.append(f'<text x="{x + 14}" y="33">{escape(name)}</text>')
    for per_cent in range(0, 101, 25):
        at = _LEFT + _WIDE * per_cent / 100
        out.append(f'<line x1="{at}" x2="{at}" y1="42" y2="{height - 14}" stroke="#e5e7eb"/>')
        out.append(f'<text x="{at}" y="{height - 2}" text-anchor="middle" fill="#6b7280">{per_cent} %</text>')
    for number, (label, values) in enumerate(rows):
        top = 46 + number * step
        out.append(f'<text x="{_LEFT - 6}" y="{top + step / 2}" text-anchor="end">{escape(label)}</text>')
        for place, value in enumerate(values):
            if value is not None:
                out += _bar(value, top + place * _BAR, _COLOURS[place % len(_COLOURS)])
    return "\n".join([*out, "</svg>\n"])


def _bar(value: tuple[float, float, float], y: float, colour: str) -> list[str]:
    share, low, high = (_WIDE * part for part in value)
    middle = y + (_BAR - 2) / 2
    return [
        f'<rect x="{_LEFT}" y="{y}" width="{share:.1f}" height="{_BAR - 2}" fill="{colour}"/>',
        f'<line x1="{_LEFT + low:.1f}" x2="{_LEFT + high:.1f}" y1="{middle}" y2="{middle}" stroke="#111827"/>',
    ]
