"""The scorecard of a run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.rows import APPEND_P50, APPEND_SCRIPT, FLUSH_HOLD, READ, READ_LARGE
from benchmarks.scenario import Figure
from benchmarks.scorecard import cells, from_json, markdown, scorecard, unmeasured
from tests.benchmarks.reports import report

ROOT = Path(__file__).resolve().parents[2]


def test_lines_are_in_the_order_of_the_rows() -> None:
    """Whatever the order of the cases, and only what was measured is there."""
    lines = scorecard(report().cases[::-1])
    assert [line.row for line in lines] == [
        row.name for row in (APPEND_SCRIPT, APPEND_P50, READ, READ_LARGE, FLUSH_HOLD["local"])
    ]


def test_two_figures_for_one_row_are_a_mistake() -> None:
    """Otherwise the later one would hide the earlier one."""
    cases = report().cases
    again = replace(cases[2], figures=[Figure("another", [1.0], "ms", FLUSH_HOLD["local"])])
    with pytest.raises(ValueError, match="claimed twice"):
        scorecard([*cases, again])


def test_cells_tell_figure_goal_and_verdict() -> None:
    """A ratio has no unit; what has no reference has none; the direction stands at floor and aim."""
    script, p50, read, *_, hold = scorecard(report().cases)
    assert cells(script)[1:] == ["the script on Redis", "0.500", "0.500-0.500", "≥ 0.8", "≥ 1", "MISSED"]
    assert cells(p50)[2:] == ["1 ms", "1-1", "≤ 0.2", "≤ 0.12", "MISSED"]
    assert cells(read)[1:] == ["-", "1 ms", "1-1", "≤ 5", "≤ 2", "aim reached"]
    assert cells(hold)[2:] == ["4.50 ms", "2-6.25", "≤ 5", "-", "MISSED"]


def test_what_was_not_measured_is_named() -> None:
    """The same words as in the table, with what it would have been compared with."""
    missing = unmeasured(scorecard(report().cases))
    assert "SET, 50 connections, pipeline 16 (nutcracker)" in missing
    assert READ.name not in missing


def test_the_json_of_a_run_gives_the_same_markdown() -> None:
    """So the table of docs/speed.md can be made from a file, later."""
    found = report()
    text = markdown(scorecard(found.cases))
    assert markdown(from_json(json.loads(found.to_json()))) == text
    assert text.splitlines()[1] == "| --- | --- | ---: | ---: | ---: | ---: | --- |"


def test_an_earlier_format_is_refused() -> None:
    """With what to do about it."""
    with pytest.raises(ValueError, match="format 1 has no scorecard; run the benchmarks again"):
        from_json({"format": 1, "cases": []})


def test_an_earlier_run_is_shown_by_the_command_line(tmp_path: Path) -> None:
    """`python -m benchmarks.scorecard FILE` prints the Markdown, and tells which file it could not read."""

    def show(path: Path) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-m", "benchmarks.scorecard", str(path)]
        environment = os.environ | {"PYTHONIOENCODING": "utf-8"}
        return subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    found = report()
    found.write(tmp_path / "run.json")
    assert show(tmp_path / "run.json").stdout == markdown(scorecard(found.cases))
    missing = show(tmp_path / "none.json")
    assert missing.returncode == 1
    assert missing.stderr.startswith(f"{tmp_path / 'none.json'}: ")
