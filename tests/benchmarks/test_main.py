"""The whole harness, as `make bench` runs it: real processes, tiny durations, and no look at any figure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from benchmarks.__main__ import main
from benchmarks.haproxy import maybe_find_haproxy
from benchmarks.harness import FLUSH_SCENARIOS, SCENARIOS
from benchmarks.nutcracker import maybe_find_nutcracker
from benchmarks.rows import (
    COUNTING,
    FLUSH_HOLD,
    FLUSH_P99,
    FORWARD,
    HAPROXY,
    IDLE_SILENT,
    IDLE_USED,
    NUTCRACKER,
    READ_HUGE,
    REST_RESIDENT,
    REST_RESIDENT_RATIO,
    ROWS,
)

ROOT = Path(__file__).resolve().parents[2]

LIMIT_S = 100.0
"""It takes some 15 seconds; more is a hang."""


def bench(*arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | ({} if path is None else {"PATH": path})
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def short(tmp_path: Path, scenarios: Sequence[str]) -> dict[str, Any]:
    """Run scenarios with the smallest sizes, check that tables, Markdown, picture and JSON came out."""
    output, markdown = tmp_path / "out.json", tmp_path / "out.md"
    files = ("--output", str(output), "--markdown", str(markdown))
    tiny = ("--rounds", "1", "--seconds", "0.04", "--messages", "2000", "--memories", "30")
    chosen = (word for name in scenarios for word in ("--scenario", name))
    done = bench("--quick", *tiny, "--generator", "own", *files, *chosen)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(output.read_text(encoding="utf-8"))
    assert list(dict.fromkeys(case["scenario"] for case in report["cases"])) == scenarios
    assert report["parameters"]["rounds"] == 1
    assert {"python", "redis", "cores", "token_engine"} <= set(report["facts"])
    for case in report["cases"]:
        for contender in case["contenders"]:
            (one,) = contender["rounds"]
            assert one["requests"] > 0
            if case["scenario"] != "counting":  # which has no times of single texts
                assert one["p50_ms"] <= one["p99_ms"]
            assert contender["rate"]["median"] == one["rate"]
        names = {contender["name"] for contender in case["contenders"]}
        assert {ratio[side] for ratio in case["ratios"] for side in ("subject", "reference")} <= names
        assert case["ratios"] or case["figures"] or case["scenario"] == "ceiling"
    ElementTree.parse(output.with_suffix(".svg"))
    for name in scenarios:
        assert f"### {name}" in markdown.read_text(encoding="utf-8")
        assert name in done.stdout
    return report


def test_a_whole_run(tmp_path: Path) -> None:
    """Every scenario without flushes runs against real servers, and tables, Markdown, a picture and JSON come out; each
    row of the scorecard that can be measured here and in a short time is there.
    """
    report = short(tmp_path, [name for name in SCENARIOS if name not in FLUSH_SCENARIOS])
    elsewhere = [READ_HUGE, *FLUSH_P99.values(), *FLUSH_HOLD.values()]
    elsewhere += [] if maybe_find_haproxy() else [row for (*_, proxy), row in FORWARD.items() if proxy == HAPROXY]
    elsewhere += [] if maybe_find_nutcracker() else [row for (*_, proxy), row in FORWARD.items() if proxy == NUTCRACKER]
    if "tiktoken" in report["facts"]["token_engine"]:
        elsewhere.append(COUNTING)
    if sys.platform != "linux":
        elsewhere += [IDLE_SILENT, IDLE_USED, REST_RESIDENT, REST_RESIDENT_RATIO]
    found = [(line["row"], line["against"]) for line in report["scorecard"]]
    assert found == [(row.name, row.against) for row in ROWS if row not in elsewhere]


@pytest.mark.parametrize("scenario", FLUSH_SCENARIOS)
def test_a_run_with_flushes(tmp_path: Path, scenario: str) -> None:
    """So does every scenario with flushes, for both engines; and what only a flush can give is there, but on the
    scorecard nothing that a small memory would flatter.
    """
    report = short(tmp_path, [scenario])
    holds = [row.name for row in FLUSH_HOLD.values()]
    assert [line["row"] for line in report["scorecard"]] == (holds if scenario == "flush-latency" else [])
    figures = {
        (case["parameters"]["engine"], figure["name"]): figure for case in report["cases"] for figure in case["figures"]
    }
    for engine in ("local", "temporal"):
        if scenario == "flush-latency":
            assert figures[engine, "messages removed"]["spread"]["least"] > 900
            hold = figures[engine, "longest hold of Redis during a flush"]
            assert (hold["verdict"] == "MISSED") is (hold["spread"]["most"] > hold["goal"]["floor"])
        else:
            assert figures[engine, "time to the last commit"]["spread"]["median"] > 0
            assert figures[engine, "marks started"]["spread"]["median"] == 30
    if scenario == "flush-storm":
        assert figures["temporal", "workflow runs per flush"]["spread"]["median"] == 1
        assert figures["temporal", "calls of Temporal per flush"]["spread"]["median"] > 3


def test_the_scenarios_are_listed() -> None:
    """`--list` names them and starts nothing."""
    done = bench("--list")
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(SCENARIOS)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--scenario", "sleep"), "'sleep' is not one of"),
        (("--rounds", "0"), "0 is not in the range"),
        (("--seconds", "0"), "0.0 is not in the range"),
        (("--output", "run.svg"), "run.svg would be the picture"),
    ],
)
def test_wrong_options(arguments: tuple[str, ...], complaint: str) -> None:
    """A mistake on the command line is named, with click's exit code, before anything starts."""
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 2
    assert complaint in done.stderr


def test_a_generator_that_is_not_there(tmp_path: Path) -> None:
    """Asking for redis-benchmark where there is none says what to install."""
    done = bench("--scenario", "forward", "--generator", "redis-benchmark", path=str(tmp_path))
    assert done.returncode == 1
    assert "redis-benchmark was not found" in done.stderr
    assert "--generator own" in done.stderr
