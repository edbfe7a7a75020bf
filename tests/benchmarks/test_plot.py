"""The picture of a result file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner

from benchmarks.plot import MAX_TICKS, WIDTH, Axis, draw, main
from tests.benchmarks.reports import report

SVG = "{http://www.w3.org/2000/svg}"


def content(**changes: Any) -> dict[str, Any]:
    """Return the invented report as its JSON says it; `changes` are made to its first ratio."""
    found: dict[str, Any] = json.loads(report().to_json())
    ratios = [ratio for case in found["cases"] for ratio in case["ratios"]]
    for ratio in ratios:
        ratio["goal"] = None
    ratios[0] |= changes
    return found


def drawn(picture: str, tag: str, style: str) -> list[ET.Element]:
    """Return the elements of a style: parsing them shows that the picture is XML."""
    return [one for one in ET.fromstring(picture).iter(f"{SVG}{tag}") if one.get("class") == style]


def bars_of(picture: str, style: str) -> list[ET.Element]:
    """Return the bars, without the sample in the legend, which comes first."""
    return drawn(picture, "rect", style)[1:]


def texts(picture: str) -> list[str]:
    return [str(one.text) for one in ET.fromstring(picture).iter(f"{SVG}text")]


def test_there_is_a_bar_for_each_ratio() -> None:
    """With its whiskers, its name and its numbers; times have another colour than rates."""
    picture = draw(content())
    assert len(bars_of(picture, "rate")) == len(bars_of(picture, "time")) == 1
    assert len(drawn(picture, "path", "whisker")) == 1 + 2
    assert {"append", "50 connections", "memsidecar : Redis", "0.50  (0.50 to 0.50)", "growth"} <= set(texts(picture))


def test_half_and_double_are_equally_long() -> None:
    """Bars begin at 1 on an axis of logarithms: to the left below it, to the right above."""
    (half,), (double,) = (bars_of(draw(content()), style) for style in ("rate", "time"))
    assert float(half.attrib["width"]) == pytest.approx(float(double.attrib["width"]), abs=0.2)
    begin = float(double.attrib["x"])
    assert float(half.attrib["x"]) + float(half.attrib["width"]) == pytest.approx(begin, abs=0.2)


def test_marks_are_where_their_values_are() -> None:
    """A floor of half of Redis lies at the end of the bar that is there, and an aim of 1 at its beginning."""
    picture = draw(content(goal={"direction": "at least", "floor": 0.5, "aim": 1.0}))
    (bar,) = bars_of(picture, "rate")
    _, floor = drawn(picture, "line", "floor")
    _, aim = drawn(picture, "line", "aim")
    assert float(floor.attrib["x1"]) == float(bar.attrib["x"])
    assert float(aim.attrib["x1"]) == pytest.approx(float(bar.attrib["x"]) + float(bar.attrib["width"]), abs=0.2)
    assert {"floor", "aim"} <= set(texts(picture))


def test_marks_that_no_ratio_has_are_not_explained() -> None:
    """The legend names only what is drawn."""
    assert not {"floor", "aim"} & set(texts(draw(content())))


def test_text_is_escaped() -> None:
    """Whatever a case is called, it is text."""
    odd = content()
    odd["cases"][0]["name"] = name = "</text><script>alert('&')</script>"
    picture = draw(odd)
    assert name in texts(picture)
    assert not list(ET.fromstring(picture).iter(f"{SVG}script"))


def test_no_text_covers_another() -> None:
    """Long names go on in the next line, and everything keeps clear of everything else and of the edges."""
    long = content(label="a rather long name of a ratio " * 6)
    long["cases"][1]["name"] = "a case with many parameters, each of them spelled out; " * 5
    root = ET.fromstring(draw(long))
    boxes = []
    for one in root.iter(f"{SVG}text"):
        x, y, width = float(one.attrib["x"]), float(one.attrib["y"]), 6.5 * len(str(one.text))
        left = x - width / 2 if one.get("text-anchor") == "middle" else x
        boxes.append((left, left + width, y - 10, y + 2))
    assert min(box[0] for box in boxes) >= 0
    assert max(box[1] for box in boxes) <= WIDTH
    assert max(box[3] for box in boxes) <= float(root.attrib["height"])
    for number, (left, right, top, bottom) in enumerate(boxes):
        for other in boxes[number + 1 :]:
            assert right <= other[0] or other[1] <= left or bottom <= other[2] or other[3] <= top


def test_both_modes_have_colours() -> None:
    """What has a colour for light has one for dark, too."""
    style = next(ET.fromstring(draw(content())).iter(f"{SVG}style")).text or ""
    light, dark = style.split("@media (prefers-color-scheme: dark)")
    coloured = [line.split("{")[0].strip() for line in light.splitlines() if "#" in line]
    assert len(coloured) > 5
    assert all(f"  {selector} {{" in dark for selector in coloured)


def test_a_run_without_ratios_says_so() -> None:
    """There is a picture nevertheless, so none of an earlier run is left beside the results."""
    picture = draw(content() | {"cases": []})
    assert "This run compared nothing." in texts(picture)
    assert not drawn(picture, "line", "grid")


@pytest.mark.parametrize(
    ("values", "some"),
    [
        ([0.5], [0.5, 1.0]),
        ([0.9, 1.1], [1.0]),
        ([0.02, 10.0], [0.02, 1.0, 10.0]),
        ([0.0001, 1_000.0], [0.001, 1.0, 100.0]),
        ([0.0, 2.0], [1.0, 2.0]),
        ([], [1.0]),
    ],
)
def test_the_axis_has_room_for_all(values: list[float], some: list[float]) -> None:
    """Every value lies on it, 1 and other round numbers are named, and not more than have room; 0 is at its end."""
    axis = Axis(values, 100, 500)
    assert all(100 <= axis.at(value) <= 500 for value in values)
    ticks = axis.ticks()
    assert len(ticks) <= MAX_TICKS
    assert set(some) <= {round(tick, 6) for tick in ticks}
    assert axis.at(0.0) == 100


def test_a_file_is_drawn_beside_itself(tmp_path: Path) -> None:
    """The command line takes any result file, and names one that is none."""
    file = tmp_path / "run.json"
    file.write_text(json.dumps(content()), encoding="utf-8")
    assert CliRunner().invoke(main, [str(file)]).exit_code == 0
    assert (tmp_path / "run.svg").read_text(encoding="utf-8") == draw(content())
    file.write_text("{}", encoding="utf-8")
    done = CliRunner().invoke(main, [str(file)])
    assert done.exit_code == 1
    assert "run.json is no result" in done.stderr
