"""Two result files held against each other, as the command line does it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from benchmarks.client import GENERATOR
from benchmarks.compare import EXIT_LOST, EXIT_UNUSABLE, main
from benchmarks.results import CaseResult, ContenderResult, Report
from benchmarks.scenario import MEMSIDECAR, Case, Comparison
from tests.benchmarks.reports import report, sample

REDIS_RATES = (1_000, 110, 1_200, 990, 1_010)
"""One round in which everything is ten times slower."""

NOISE = (1.0, 0.98, 1.02, 1.01, 0.99)


def content(case: str = "50 connections", *, speed: float = 0.5, cpu_s: float = 0.04, **facts: Any) -> dict[str, Any]:
    """Return a result file: memsidecar at `speed` times the rate of Redis in five rounds, with a little noise."""
    rates = [speed * rate * noise for rate, noise in zip(REDIS_RATES, NOISE, strict=True)]
    mine = [sample(rate, 1.0, **{MEMSIDECAR: cpu_s * rate / 500, GENERATOR: 0.5}) for rate in rates]
    result = CaseResult(
        Case("append", case, {"connections": 50}, [], [Comparison(MEMSIDECAR, "Redis")]),
        [ContenderResult("Redis", [sample(rate, 1.0) for rate in REDIS_RATES]), ContenderResult(MEMSIDECAR, mine)],
    )
    whole = Report(report().facts | facts, {"rounds": 5, "seconds": 1.0}, [result], 1.0)
    found: dict[str, Any] = json.loads(whole.to_json())
    return found


def compare(tmp_path: Path, old: dict[str, Any], new: dict[str, Any]) -> Result:
    paths = tmp_path / "old.json", tmp_path / "new.json"
    for path, one in zip(paths, (old, new), strict=True):
        path.write_text(json.dumps(one), encoding="utf-8")
    return CliRunner().invoke(main, [str(path) for path in paths])


def rows(result: Result, verdict: str) -> list[str]:
    return [line for line in result.stdout.splitlines() if line.startswith(f"{verdict} ")]


def test_a_planted_loss_is_named(tmp_path: Path) -> None:
    """A fifth less than before is lost, in spite of a round that was ten times slower; the exit code tells it."""
    result = compare(tmp_path, content(), content(speed=0.4))
    assert result.exit_code == EXIT_LOST
    (row,) = rows(result, "lost")
    for part in ("append: 50 connections", "memsidecar : Redis", "  0.5 (", "  0.4 (", "-20"):
        assert part in row
    assert "1 lost; 1 alike." in result.stdout


def test_noise_is_not_reported(tmp_path: Path) -> None:
    """The same file, and one that is 2 % slower, lose nothing."""
    for new in (content(), content(speed=0.49)):
        result = compare(tmp_path, content(), new)
        assert result.exit_code == 0
        assert "2 alike." in result.stdout
        assert not rows(result, "lost")


def test_a_win_is_no_loss(tmp_path: Path) -> None:
    """What is faster is named, and the exit code is 0."""
    result = compare(tmp_path, content(), content(speed=0.8))
    assert result.exit_code == 0
    assert len(rows(result, "won")) == 1


def test_more_processor_time_is_a_loss(tmp_path: Path) -> None:
    """The same rate at 30 % more CPU time per request is lost, too."""
    result = compare(tmp_path, content(), content(cpu_s=0.052))
    assert result.exit_code == EXIT_LOST
    (row,) = rows(result, "lost")
    assert "CPU of memsidecar per request" in row


def test_more_instructions_are_a_loss(tmp_path: Path) -> None:
    """2 % more is lost, half a percent is not."""
    old = content()
    for count, code in ((306_000, EXIT_LOST), (301_500, 0)):
        new = copy.deepcopy(old)
        for one, counted in ((old, 300_000), (new, count)):
            one["instructions"] = [{"process": MEMSIDECAR, "case": "append", "rounds": [counted]}]
        result = compare(tmp_path, old, new)
        assert result.exit_code == code
        assert ("instructions: append" in "".join(rows(result, "lost"))) is bool(code)


def test_what_only_one_file_has(tmp_path: Path) -> None:
    """Cases that came or went are named and lose nothing."""
    result = compare(tmp_path, content("before"), content("after"))
    assert result.exit_code == 0
    assert all("append: before" in row for row in rows(result, "only in the old file"))
    assert all("append: after" in row for row in rows(result, "only in the new file"))
    assert "2 only in the old file; 2 only in the new file." in result.stdout


def test_another_machine_and_another_version_are_warned_of(tmp_path: Path) -> None:
    """The figures are still compared, after a word on what they are worth."""
    result = compare(tmp_path, content(), content(processor="slide rule", redis="8.0"))
    assert result.exit_code == 0
    assert "different machines" in result.stderr
    assert "processor: abacus and slide rule" in result.stderr
    assert "redis: 7.4 and 8.0" in result.stderr
    assert "cores" not in result.stderr
    assert not compare(tmp_path, content(), content()).stderr


@pytest.mark.parametrize("broken", [{"format": 99}, {"cases": [], "format": 1}, {"format": "one"}])
def test_files_of_no_use(tmp_path: Path, broken: dict[str, Any]) -> None:
    """Whichever of the two it is, it is named, with the exit code for that."""
    for files, name in (((content(), broken), "new.json"), ((broken, content()), "old.json")):
        result = compare(tmp_path, *files)
        assert result.exit_code == EXIT_UNUSABLE
        assert name in result.stderr
