"""The picture of the dashboard: scales, legends, and what is chosen for it. `test_live` asks the same queries."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from tests.monitoring.chart import COLOURS, HEIGHT, TOP, Line, page, panel, shown, ticks
from tests.monitoring.picture import SHOWN, called, chosen, lines_of
from tests.monitoring.prometheus import Series

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.25, "s", "250 ms"),
        (0.00002, "s", "20 µs"),
        (12, "s", "12 s"),
        (0, "s", "0"),
        (1_500_000, "bytes", "1.43 MiB"),
        (1_024, "Bps", "1 KiB/s"),
        (0.125, "percentunit", "12.5 %"),
        (12_000, "short", "12k"),
        (0.5, "ops", "0.5/s"),
        (3, "reqps", "3/s"),
        (0.01, "currencyUSD", "0.01 $"),
    ],
)
def test_values(value: float, unit: str, text: str) -> None:
    """A value has a unit that suits its size."""
    assert shown(value, unit) == text


@pytest.mark.parametrize(
    ("highest", "expected"),
    [
        (0, [0, 1]),
        (1, [0, 0.5, 1]),
        (3.9, [0, 1, 2, 3, 4]),
        (70, [0, 20, 40, 60, 80]),
        (0.04, [0, 0.01, 0.02, 0.03, 0.04]),
    ],
)
def test_ticks(highest: float, expected: list[float]) -> None:
    """The numbers at the left are round, begin with 0, and the last one is not below what is shown."""
    assert ticks(highest) == pytest.approx(expected)


def test_a_panel() -> None:
    """Each series is one path, from left to right, within the plot; and is named in its colour."""
    lines = [Line("one", [(10.0, 0.0), (20.0, 4.0)]), Line("two", [(10.0, 2.0)]), Line("none", [])]
    root = ET.fromstring(page([panel("A title", "short", lines, 10.0, 20.0)], "All"))
    paths = [each.attrib for each in root.iter(f"{SVG}path")]
    assert [each["stroke"] for each in paths] == list(COLOURS[:2])
    assert paths[0]["d"] == f"M58 {TOP + 130}.0L458.0 {TOP}.0".replace("M58 ", "M58.0 ")
    texts = [each.text for each in root.iter(f"{SVG}text")]
    assert {"All", "A title", "one", "two", "0", "4"} <= set(texts)


def test_panels_stand_side_by_side() -> None:
    """Two in a row; the page is as high as its rows."""
    empty = [panel(f"{number}", "s", [], 0.0, 1.0) for number in range(3)]
    root = ET.fromstring(page(empty, "All"))
    places = [each.attrib["transform"] for each in root.iter(f"{SVG}g")]
    assert places == ["translate(12 34)", "translate(494 34)", f"translate(12 {34 + HEIGHT + 12})"]
    assert root.attrib["height"] == str(34 + 2 * (HEIGHT + 12) + 12)


def test_what_is_drawn_is_on_the_dashboard() -> None:
    """Each panel of the picture is one of the dashboard's, and its series are called as there."""
    panels = chosen()
    assert len(panels) == len(SHOWN)
    assert called("{{command}} {{outcome}}", {"command": "MEMREAD", "outcome": "ok"}) == "MEMREAD ok"
    answer = [Series({"command": "MEMREAD"}, [(1.0, 2.0)]), Series({"command": "MEMINFO"}, [])]
    assert lines_of(panels[0], [answer]) == [Line("MEMREAD", [(1.0, 2.0)])]
