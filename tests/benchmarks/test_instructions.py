"""Counts of instructions: what is sent, what is kept, and a whole run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.instructions import Count, main, table, to_json
from benchmarks.result_file import Key, Kind, read_results
from benchmarks.results import FORMAT
from benchmarks.robust import Spread
from tests.benchmarks.reports import report
from tests.support.requirements import require_program

ROOT = Path(__file__).resolve().parents[2]

COUNTS = [
    Count("memsidecar", "MEMAPPEND", {"connections": 1, "pipeline": 1}, [363_000.0, 362_000.0, 364_000.0]),
    Count("redis", "append.lua", {"connections": 1, "pipeline": 1}, [144_000.0]),
]


def test_a_result_file_holds_every_round(tmp_path: Path) -> None:
    """It has the form of the other results, so `bench-compare` reads it."""
    path = tmp_path / "instructions.json"
    path.write_text(to_json(COUNTS, report().facts, rounds=3, seconds=1.5), encoding="utf-8")
    content = json.loads(path.read_text(encoding="utf-8"))
    assert (content["format"], content["cases"], content["seconds"]) == (FORMAT, [], 1.5)
    assert content["instructions"][0]["spread"] == {"median": 363_000, "least": 362_000, "most": 364_000}
    read = read_results(path)
    assert read.facts == report().facts
    series = read.series[Key("instructions", "MEMAPPEND", "memsidecar, per request")]
    assert (series.kind, series.rounds) == (Kind.INSTRUCTIONS, COUNTS[0].rounds)
    assert len(read.series) == 2


def test_the_table_has_medians() -> None:
    """A row per count."""
    assert COUNTS[0].spread == Spread(363_000, 362_000, 364_000)
    cells = [list(column.cells) for column in table(COUNTS).columns]
    assert cells[0] == ["memsidecar", "redis"]
    assert cells[2] == ["363,000", "144,000"]


def test_without_valgrind_nothing_is_counted(tmp_path: Path) -> None:
    """A message says what to install; there is no file, and no error."""
    output = tmp_path / "out.json"
    done = CliRunner(env={"PATH": str(tmp_path)}).invoke(main, ["--output", str(output)])
    assert done.exit_code == 0
    assert "Instructions are left out" in done.stderr
    assert "apt install valgrind" in done.stderr
    assert not output.exists()


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_whole_run(tmp_path: Path) -> None:
    """Every case is counted, with what costs more above what costs less, and its profile is kept."""
    require_program("valgrind")
    output, profiles = tmp_path / "out.json", tmp_path / "profiles"
    arguments = ["--rounds", "1", "--output", str(output), "--profiles", str(profiles)]
    subprocess.run(
        [sys.executable, "-m", "benchmarks.instructions", *arguments], cwd=ROOT, env=os.environ, timeout=800, check=True
    )
    content = json.loads(output.read_text(encoding="utf-8"))
    counts = {(one["process"], one["case"]): one["spread"]["median"] for one in content["instructions"]}
    assert len(counts) == len(list(profiles.glob("*.callgrind"))) == 8
    alone, together = (counts["memsidecar", f"SET, forwarded, 50 connections, pipeline {size}"] for size in (1, 16))
    assert 100 < together < alone
    append = counts["memsidecar", "MEMAPPEND, 1 connection, pipeline 1"]
    assert alone < append < counts["memsidecar", "MEMREAD TOKENS 8000, 1 connection, pipeline 1"]
