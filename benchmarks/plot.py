"""A picture of a result file: a bar for each ratio, as SVG, which `make bench` writes beside the JSON.

The axis is logarithmic and the bars begin at 1, so that half and double are equally long. Whiskers reach from the
least to the most of the rounds. It reads the JSON and not a `Report`, so that files of earlier runs can be drawn
(`python -m benchmarks.plot FILE`), too; which ratios there are is up to the scenarios. Figures and rates are not
drawn: they are in `tables`. Colours follow the reader's light or dark mode.
"""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import click

WIDTH = 960
LABELS, VALUES = 340, 180
"""Pixels for the names at the left, and for the numbers at the right, with their gaps."""

MARGIN = 20
LINE, ROW, CASE_GAP, SCENARIO_GAP = 15, 22, 8, 16
"""Heights: of a line of text, of a bar with what belongs to it, above a case, above a scenario."""

BAR = 11
FONT_SIZE = 12
LABEL_CHARACTERS = 46
"""After which a label goes on in the next line: 12 pixels high, a character is 7 wide at most on the average."""

PAGE_CHARACTERS = 115
"""The same for a line over the whole width."""

LEAST_BAR = 2.0
"""Pixels of a bar: at exactly 1 it would be invisible."""

PADDING = 1.15
"""Free space at both ends of the axis, as a factor: a bar that ends at the edge looks cut off."""

LEAST_SPAN = 4.0
"""Of the axis, as a factor: ratios that are all near 1 should look as if they were."""

MAX_TICKS = 9
"""Numbers on the axis that have room beside one another."""

MARKS = ("floor", "aim")
"""Fields of a ratio that name a value: least that is promised, most that is promised, what is striven for."""

STYLE = """
svg { font-family: system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; font-size: 12px; }
.page { fill: #ffffff; }
text { fill: #1f2328; }
.title { font-size: 16px; font-weight: 600; }
.scenario { font-size: 14px; font-weight: 600; }
.case { font-weight: 600; }
.quiet { fill: #59636e; }
.grid { stroke: #d8dee4; stroke-width: 1; }
.one { stroke: #818b98; stroke-width: 1.5; }
.rate { fill: #4a8fd6; }
.time { fill: #d39a3a; }
.whisker { stroke: #1f2328; stroke-width: 1.25; fill: none; }
.floor { stroke: #cf222e; stroke-width: 2.5; }
.aim { stroke: #1a7f37; stroke-width: 2.5; stroke-dasharray: 3 2; }
@media (prefers-color-scheme: dark) {
  .page { fill: #0d1117; }
  text { fill: #e6edf3; }
  .quiet { fill: #9198a1; }
  .grid { stroke: #2a313a; }
  .one { stroke: #6e7681; }
  .rate { fill: #3c78bd; }
  .time { fill: #a87420; }
  .whisker { stroke: #e6edf3; }
  .floor { stroke: #ff7b72; }
  .aim { stroke: #56d364; }
}
"""


@dataclass(frozen=True, slots=True)
class Bar:
    """One ratio.

    Args:
        label: what is compared with what.
        marks: values of `MARKS` that the ratio has.
    """

    scenario: str
    case: str
    label: str
    is_rate: bool
    median: float
    least: float
    most: float
    marks: Mapping[str, float]

    @property
    def lines(self) -> list[str]:
        """The label, in lines that fit."""
        return textwrap.wrap(self.label, LABEL_CHARACTERS)

    @property
    def height(self) -> int:
        """Pixels that it takes."""
        return ROW + LINE * (len(self.lines) - 1)

    def values(self) -> Iterator[float]:
        """Return all that the axis must have room for."""
        yield from (self.median, self.least, self.most, *self.marks.values())


def bars(content: Mapping[str, Any]) -> list[Bar]:
    """Return the ratios of a result file, in its order."""
    return [_bar(case, ratio) for case in content["cases"] for ratio in case["ratios"]]


def _bar(case: Mapping[str, Any], ratio: Mapping[str, Any]) -> Bar:
    spread = ratio["ratio"]
    return Bar(
        scenario=case["scenario"],
        case=case["name"],
        label=ratio["label"] or f"{ratio['subject']} : {ratio['reference']}",
        is_rate=ratio["quantity"] == "rate",
        median=spread["median"],
        least=spread["least"],
        most=spread["most"],
        marks={name: value for name in MARKS if (value := (ratio.get("goal") or {}).get(name)) is not None},
    )


class Axis:
    """Where a ratio lies.

    Args:
        values: all that must have room; those that are not above 0 have none and are drawn at the left end.
        left, right: pixels.
    """

    def __init__(self, values: Sequence[float], left: float, right: float) -> None:
        found = [value for value in values if value > 0] + [1.0]
        stretch = max(1.0, math.sqrt(LEAST_SPAN * min(found) / max(found))) * PADDING
        self._low, self._high = math.log(min(found) / stretch), math.log(max(found) * stretch)
        self.left, self.right = left, right

    def at(self, value: float) -> float:
        """Return the pixel of a ratio."""
        share = (math.log(value) - self._low) / (self._high - self._low) if value > 0 else 0.0
        return round(self.left + share * (self.right - self.left), 1)

    def ticks(self) -> list[float]:
        """Return round numbers that lie on the axis: 1, 2, 5, 10, …, or powers of ten where those are too many."""
        first, last = (math.floor(edge / math.log(10)) for edge in (self._low, self._high))
        for steps in ((1, 2, 5), (1, 3), (1,)):
            found = [step * 10.0**power for power in range(first, last + 1) for step in steps]
            found = [value for value in found if self._low <= math.log(value) <= self._high]
            if len(found) <= MAX_TICKS:
                break
        return found


def draw(content: Mapping[str, Any]) -> str:
    """Return the picture of a result file as SVG text.

    Args:
        content: what its JSON says.
    """
    found = bars(content)
    picture = _Picture(Axis([value for bar in found for value in bar.values()], MARGIN + LABELS, WIDTH - VALUES))
    picture.head(found, _conditions(content))
    top = picture.y
    for scenario, of_scenario in groupby(found, key=lambda bar: bar.scenario):
        picture.skip(SCENARIO_GAP)
        picture.text(MARGIN, scenario, "scenario")
        for case, of_case in groupby(of_scenario, key=lambda bar: bar.case):
            picture.skip(CASE_GAP)
            for line in textwrap.wrap(case, PAGE_CHARACTERS):
                picture.text(MARGIN, line, "case")
            for bar in of_case:
                picture.bar(bar)
    picture.skip(CASE_GAP)
    if found:
        picture.grid(top)
    return picture.finished()


class _Picture:
    """An SVG that grows downwards; `y` is where the next thing goes."""

    def __init__(self, axis: Axis) -> None:
        self._axis = axis
        self._grid = ET.Element("g")  # filled last, when the height is known, and drawn first
        self._drawn = ET.Element("g")
        self.y = MARGIN

    def skip(self, pixels: int) -> None:
        self.y += pixels

    def text(self, x: float, text: str, style: str = "", anchor: str = "start") -> None:
        """Write one line, and go on below it."""
        self._write(self._drawn, x, self.y + FONT_SIZE, text, style, anchor)
        self.y += LINE + (2 if style == "scenario" else 0)

    def head(self, found: Sequence[Bar], conditions: str) -> None:
        self.text(MARGIN, "memsidecar, compared within each round", "title")
        self.skip(CASE_GAP)
        for line in textwrap.wrap(conditions, PAGE_CHARACTERS):
            self.text(MARGIN, line, "quiet")
        if not found:
            self.skip(CASE_GAP)
            self.text(MARGIN, "This run compared nothing.")
            return
        self.skip(CASE_GAP)
        self._legend(found)

    def bar(self, bar: Bar) -> None:
        middle = self.y + ROW / 2
        for number, line in enumerate(bar.lines):
            self._write(self._drawn, MARGIN + 12, middle + 4 + number * LINE, line)
        one, median = self._axis.at(1.0), self._axis.at(bar.median)
        width = max(abs(median - one), LEAST_BAR)
        self._rectangle(min(one, median), middle - BAR / 2, width, BAR, _colour(bar))
        self._whisker(self._axis.at(bar.least), self._axis.at(bar.most), middle)
        for name, value in bar.marks.items():
            self._line(self._drawn, self._axis.at(value), middle - 9, self._axis.at(value), middle + 9, name)
        text = f"{_number(bar.median)}  ({_number(bar.least)} to {_number(bar.most)})"
        self._write(self._drawn, self._axis.right + 14, middle + 4, text)
        self.y += bar.height

    def grid(self, top: float) -> None:
        """Draw the axis from `top` to here, with its numbers at both ends."""
        for value in self._axis.ticks():
            x = self._axis.at(value)
            self._line(self._grid, x, top + 4, x, self.y, "one" if value == 1 else "grid")
            for y in (top, self.y + FONT_SIZE + 2):
                self._write(self._grid, x, y, f"{value:g}", "quiet", "middle")
        self.y += LINE + 2

    def finished(self) -> str:
        height = str(round(self.y + MARGIN))
        root = ET.Element(
            "svg",
            {
                "xmlns": "http://www.w3.org/2000/svg",
                "viewBox": f"0 0 {WIDTH} {height}",
                "width": str(WIDTH),
                "height": height,
                "role": "img",
            },
        )
        ET.SubElement(root, "title").text = "Ratios of memsidecar to its references"
        ET.SubElement(root, "style").text = STYLE
        ET.SubElement(root, "rect", {"class": "page", "width": str(WIDTH), "height": height})
        root.extend([self._grid, self._drawn])
        ET.indent(root)
        return ET.tostring(root, encoding="unicode") + "\n"

    def _legend(self, found: Sequence[Bar]) -> None:
        x, middle = float(MARGIN), self.y + ROW / 2
        for style, text in (("rate", "rate: more is better"), ("time", "time: less is better")):
            if any(_colour(bar) == style for bar in found):
                self._rectangle(x, middle - BAR / 2, 18, BAR, style)
                x = self._legend_text(x, middle, text)
        self._whisker(x, x + 18, middle)
        x = self._legend_text(x, middle, "least to most of the rounds")
        for name in MARKS:
            if any(name in bar.marks for bar in found):
                self._line(self._drawn, x + 9, middle - 9, x + 9, middle + 9, name)
                x = self._legend_text(x, middle, name)
        self.y += ROW + LINE

    def _legend_text(self, x: float, middle: float, text: str) -> float:
        self._write(self._drawn, x + 24, middle + 4, text)
        return x + 24 + 7 * len(text) + 20

    def _whisker(self, left: float, right: float, middle: float) -> None:
        path = f"M{left} {middle - 4}v8M{left} {middle}H{right}M{right} {middle - 4}v8"
        ET.SubElement(self._drawn, "path", {"class": "whisker", "d": path})

    def _rectangle(self, x: float, y: float, width: float, height: float, style: str) -> None:
        place = {"x": f"{x:g}", "y": f"{y:g}", "width": f"{width:g}", "height": f"{height:g}"}
        ET.SubElement(self._drawn, "rect", {"class": style, **place})

    def _line(self, parent: ET.Element, x1: float, y1: float, x2: float, y2: float, style: str) -> None:
        place = {"x1": f"{x1:g}", "y1": f"{y1:g}", "x2": f"{x2:g}", "y2": f"{y2:g}"}
        ET.SubElement(parent, "line", {"class": style, **place})

    def _write(self, parent: ET.Element, x: float, y: float, text: str, style: str = "", anchor: str = "start") -> None:
        place = {"x": f"{x:g}", "y": f"{y:g}"}
        element = ET.SubElement(parent, "text", {"class": style or "label", **place, "text-anchor": anchor})
        element.text = text


def _colour(bar: Bar) -> str:
    return "rate" if bar.is_rate else "time"


def _number(value: float) -> str:
    return f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def _conditions(content: Mapping[str, Any]) -> str:
    """Return where and how it was measured; whatever a file does not tell is left out."""
    facts, parameters = content.get("facts", {}), content.get("parameters", {})
    told = (
        ("memsidecar {}", facts.get("memsidecar")),
        ("{}", facts.get("python")),
        ("Redis {}", facts.get("redis")),
        ("{}", facts.get("processor")),
        ("{} cores", facts.get("cores")),
        ("{} rounds", parameters.get("rounds")),
        ("{} s each", parameters.get("seconds")),
        ("{}", str(facts.get("time", ""))[:10] or None),
    )
    return ", ".join(form.format(value) for form, value in told if value is not None)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="SVG to write [beside FILE].")
def main(file: Path, output: Path | None) -> None:
    """Draw the ratios in FILE, a result of `make bench`."""
    try:
        picture = draw(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError) as problem:
        raise click.ClickException(f"{file} is no result of `make bench` ({problem!r})") from problem
    output = output or file.with_suffix(".svg")
    output.write_text(picture, encoding="utf-8")
    click.echo(output)


if __name__ == "__main__":
    main()
