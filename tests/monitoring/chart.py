"""A line chart as SVG: series over time, with round numbers at the left. Pure.

Like `benchmarks.plot` it follows the reader's light or dark mode; that one draws bars of ratios, this one a panel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

WIDTH, HEIGHT = 470, 202
"""Pixels of one chart, with its title and legend."""

LEFT, RIGHT, TOP = 58, 12, 30
PLOT_HEIGHT = 130
LEGEND_LINE = 14
LEGEND_CHARACTERS = 58
"""In one line of the legend; what does not fit into two lines is left out."""

LEGEND_CHARACTER = 7.6
"""Pixels of one, if it is a capital."""

LEGEND_LINES = 2
TICKS = 4

COLOURS = ("#4a8fd6", "#d39a3a", "#3fa45b", "#c2554d", "#8a63c9", "#2fa3a3", "#b8589b", "#7d8590")

STYLE = """
svg { font-family: system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; font-size: 11px; }
.page { fill: #ffffff; }
.panel { fill: none; stroke: #d8dee4; }
text { fill: #1f2328; }
.title { font-size: 13px; font-weight: 600; }
.quiet { fill: #59636e; }
.grid { stroke: #d8dee4; stroke-width: 1; }
.line { fill: none; stroke-width: 1.5; stroke-linejoin: round; }
@media (prefers-color-scheme: dark) {
  .page { fill: #0d1117; }
  .panel { stroke: #2a313a; }
  text { fill: #e6edf3; }
  .quiet { fill: #9198a1; }
  .grid { stroke: #2a313a; }
}
"""

_SCALES: dict[str, tuple[tuple[float, str], ...]] = {
    "s": ((1.0, " s"), (1e-3, " ms"), (1e-6, " µs")),
    "bytes": ((2.0**30, " GiB"), (2.0**20, " MiB"), (2.0**10, " KiB"), (1.0, " B")),
    "percentunit": ((0.01, " %"),),
    "currencyUSD": ((1.0, " $"),),
}
_PLAIN = ((1e6, "M"), (1e3, "k"), (1.0, ""))


@dataclass(frozen=True, slots=True)
class Line:
    """A series: its name, and its points as (seconds, value)."""

    name: str
    points: Sequence[tuple[float, float]]


def shown(value: float, unit: str) -> str:
    """Return a value as a reader likes it: `250 ms`, `1.5 MiB`, `12k`; `unit` is one of Grafana's."""
    scales = _SCALES.get({"Bps": "bytes"}.get(unit, unit), _PLAIN)
    factor, suffix = next((scale for scale in scales if abs(value) >= scale[0]), scales[-1])
    rate = "/s" if unit in ("Bps", "ops", "reqps") else ""
    return f"{value / factor:.3g}{suffix}{rate}" if value else f"0{rate}"


def ticks(highest: float) -> list[float]:
    """Return round numbers from 0 up to the first that is not below `highest`: in steps of 1, 2 or 5 times a power of
    ten."""
    if highest <= 0:
        return [0.0, 1.0]
    power = 10.0 ** math.floor(math.log10(highest / TICKS))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power * TICKS >= highest)
    return [number * step for number in range(math.ceil(round(highest / step, 9)) + 1)]


def panel(title: str, unit: str, lines: Sequence[Line], start: float, end: float) -> ET.Element:
    """Return a chart of `WIDTH` by `HEIGHT` that begins at 0, 0; the time goes from `start` to `end`."""
    group = ET.Element("g")
    _element(group, "rect", "panel", x=0.5, y=0.5, width=WIDTH - 1, height=HEIGHT - 1, rx=4)
    _text(group, 12, 19, title, "title")
    scale = ticks(max((value for line in lines for _, value in line.points), default=0.0))
    bottom = TOP + PLOT_HEIGHT

    def x_at(time: float) -> float:
        return round(LEFT + (time - start) / (end - start) * (WIDTH - LEFT - RIGHT), 1)

    def y_at(value: float) -> float:
        return round(bottom - max(value, 0.0) / scale[-1] * PLOT_HEIGHT, 1)

    for value in scale:
        _element(group, "line", "grid", x1=LEFT, x2=WIDTH - RIGHT, y1=y_at(value), y2=y_at(value))
        _text(group, LEFT - 6, y_at(value) + 4, shown(value, unit), "quiet", "end")
    for number, line in enumerate(lines):
        path = "".join(
            f"{'L' if place else 'M'}{x_at(time)} {y_at(value)}" for place, (time, value) in enumerate(line.points)
        )
        if path:
            _element(group, "path", "line", d=path, stroke=COLOURS[number % len(COLOURS)])
    _legend(group, lines, bottom + 20)
    return group


def page(panels: Sequence[ET.Element], title: str, columns: int = 2) -> str:
    """Return a page with charts side by side, as SVG text."""
    gap, head = 12, 34
    rows = -(-len(panels) // columns)
    width, height = columns * WIDTH + (columns + 1) * gap, head + rows * (HEIGHT + gap) + gap
    root = ET.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {width} {height}", "role": "img"})
    root.set("width", str(width))
    root.set("height", str(height))
    ET.SubElement(root, "title").text = title
    ET.SubElement(root, "style").text = STYLE
    _element(root, "rect", "page", width=width, height=height)
    _text(root, gap, 23, title, "title")
    for number, each in enumerate(panels):
        row, column = divmod(number, columns)
        each.set("transform", f"translate({gap + column * (WIDTH + gap)} {head + row * (HEIGHT + gap)})")
        root.append(each)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def _legend(group: ET.Element, lines: Sequence[Line], top: float) -> None:
    used, row = 0, 0
    for number, line in enumerate(lines):
        length = len(line.name) + 4
        if used and used + length > LEGEND_CHARACTERS:
            used, row = 0, row + 1
        if row == LEGEND_LINES:
            return
        x, y = 12 + used * LEGEND_CHARACTER, top + row * LEGEND_LINE
        _element(group, "rect", "", x=x, y=y - 5, width=10, height=3, fill=COLOURS[number % len(COLOURS)])
        _text(group, x + 14, y, line.name, "quiet")
        used += length


def _element(parent: ET.Element, name: str, style: str, **places: float | str) -> None:
    told = {key: each if isinstance(each, str) else f"{each:g}" for key, each in places.items()}
    ET.SubElement(parent, name, {**({"class": style} if style else {}), **told})


def _text(parent: ET.Element, x: float, y: float, text: str, style: str, anchor: str = "start") -> None:
    element = ET.SubElement(parent, "text", {"class": style, "x": f"{x:g}", "y": f"{y:g}", "text-anchor": anchor})
    element.text = text
