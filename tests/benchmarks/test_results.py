"""What is kept of a run."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.client import GENERATOR
from benchmarks.results import FORMAT
from benchmarks.robust import Spread
from benchmarks.rows import READ_LARGE
from benchmarks.scenario import MEMSIDECAR
from tests.benchmarks.reports import report


def test_ratios_are_medians_of_paired_rounds() -> None:
    """A round in which everything was ten times slower does not show in the ratio."""
    ratio, _ = report().cases[0].compared()
    assert ratio.rounds == [0.5, 0.5, 0.5]
    assert ratio.spread == Spread(0.5, 0.5, 0.5)


def test_differences_and_single_figures_are_of_each_round() -> None:
    """A difference keeps the unit; a figure without a reference is the contender's own."""
    _, difference = report().cases[0].compared()
    assert difference.rounds == [1.0, 1.0, 1.0]
    _, value = report().cases[1].compared()
    assert value.rounds == [1.0]


def test_a_missed_goal_is_told() -> None:
    """A median beyond the floor is marked; where a generator tells no latency there is no ratio of latencies."""
    growth, value = report().cases[1].compared()
    assert growth.spread.median == 2.0
    assert (growth.verdict, value.verdict) == ("MISSED", "aim reached")


def test_processor_time_is_per_request() -> None:
    """CPU time is divided by the requests, or by the seconds; a process that was not watched has none."""
    redis, sidecar = report().cases[0].contenders
    assert sidecar.cpu_us(MEMSIDECAR) == 0.02 / 500 * 1e6
    assert sidecar.busy(GENERATOR) == 0.95
    assert redis.cpu_us(MEMSIDECAR) is None
    assert redis.busy(GENERATOR) is None


def test_the_json_has_every_round(tmp_path: Path) -> None:
    """Medians and rounds are both in the file, and missing latencies are null."""
    path = tmp_path / "made" / "on the way" / "out.json"
    report().write(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    appending, reading, flushing = content["cases"]
    assert appending["contenders"][0]["rate"] == {"median": 1_000, "least": 100, "most": 1_200}
    assert [one["rate"] for one in appending["contenders"][1]["rounds"]] == [500, 50, 600]
    assert appending["ratios"][0]["rounds"] == [0.5, 0.5, 0.5]
    assert reading["contenders"][2]["p50_ms"] is None
    assert reading["ratios"][0]["ratio"] == {"median": 2.0, "least": 2.0, "most": 2.0}
    assert reading["ratios"][0]["goal"] == {"direction": "at most", "floor": 1.3, "aim": None, "every_round": False}
    assert [reading["ratios"][0][name] for name in ("row", "verdict")] == [READ_LARGE.name, "MISSED"]
    assert appending["differences"][0]["difference"]["median"] == 1.0
    assert reading["values"][0]["value"]["median"] == 1.0
    assert flushing["figures"][0]["rounds"] == [2.0, 4.5, 6.25]
    assert [figure["verdict"] for figure in flushing["figures"]] == ["MISSED", "no goal"]
    assert flushing["figures"][1]["goal"] is None
    assert [line["median"] for line in content["scorecard"]] == [0.5, 1.0, 1.0, 2.0, 4.5]
    assert content["format"] == FORMAT
    assert content["seconds"] == 12.5
