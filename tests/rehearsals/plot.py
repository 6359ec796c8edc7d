"""A plot of figures over time as an SVG, one panel below the other: no library is worth it for lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_WIDTH, _PANEL, _LEFT, _TOP, _LEGEND = 900, 180, 70, 40, 190
_COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#777777", "#000000", "#dd8800")


class Line(NamedTuple):
    """A figure at each instant; None where it was not known."""

    name: str
    values: Sequence[float | None]


def write_plot(path: Path, at_s: Sequence[float], panels: Mapping[str, Sequence[Line]], title: str) -> None:
    """Write panels over one axis of time.

    Args:
        path: Where the plot goes.
        at_s: The instants, in s, rising.
        panels: The lines of each panel, by what they show.
        title: What all of it is.
    """
    height = _TOP + len(panels) * (_PANEL + _TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-size="12">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="24" font-size="15">{escape(title)}</text>',
    ]
    for number, (name, lines) in enumerate(panels.items()):
        parts += _panel(name, lines, at_s, _TOP + number * (_PANEL + _TOP))
    path.write_text("\n".join([*parts, "</svg>", ""]))


def _panel(name: str, lines: Sequence[Line], at_s: Sequence[float], top: int) -> list[str]:
    right, bottom = _WIDTH - _LEGEND, top + _PANEL
    most = max((value for line in lines for value in line.values if value is not None), default=0) or 1
    until_s = max(at_s, default=0) or 1
    parts = [
        f'<path d="M{_LEFT},{top + 20}V{bottom}H{right}" fill="none" stroke="#999999"/>',
        f'<text x="{_LEFT}" y="{top + 12}">{escape(name)}</text>',
        f'<text x="{_LEFT - 6}" y="{top + 28}" text-anchor="end">{most:,.0f}</text>',
        f'<text x="{_LEFT - 6}" y="{bottom}" text-anchor="end">0</text>',
        f'<text x="{right}" y="{bottom + 14}" text-anchor="end">{until_s / 60:.0f} min</text>',
    ]
    for number, line in enumerate(lines):
        colour = _COLOURS[number % len(_COLOURS)]
        points = " ".join(
            f"{_LEFT + (right - _LEFT) * at / until_s:.1f},{bottom - (_PANEL - 20) * value / most:.1f}"
            for at, value in zip(at_s, line.values, strict=True)
            if value is not None
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}"/>')
        parts.append(f'<text x="{right + 8}" y="{top + 28 + 14 * number}" fill="{colour}">{escape(line.name)}</text>')
    return parts
