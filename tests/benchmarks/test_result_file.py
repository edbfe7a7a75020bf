"""What is read of a result file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.result_file import Key, Kind, UnusableFile, read_results
from benchmarks.results import FORMAT
from benchmarks.scenario import MEMSIDECAR
from tests.benchmarks.reports import report


def written(tmp_path: Path, **changes: Any) -> Path:
    """Write the invented report, with some of its fields replaced."""
    path = tmp_path / "results.json"
    path.write_text(json.dumps(json.loads(report().to_json()) | changes), encoding="utf-8")
    return path


def test_ratios_costs_and_figures_become_series(tmp_path: Path) -> None:
    """Every round is there; rates are better when higher, times when lower; the load's own CPU time is left out."""
    series = read_results(written(tmp_path)).series
    ratio = series[Key("append", "50 connections", "memsidecar : Redis")]
    assert (ratio.kind, ratio.rounds, ratio.more_is_better) == (Kind.RATIO, [0.5, 0.5, 0.5], True)
    growth = series[Key("read", "1 connection", "growth")]
    assert (growth.kind, growth.rounds, growth.more_is_better) == (Kind.RATIO, [2.0], False)
    spent = series[Key("append", "50 connections", f"CPU of {MEMSIDECAR} per request, {MEMSIDECAR}")]
    assert (spent.kind, spent.unit) == (Kind.CPU, "µs")
    assert spent.rounds == [0.02 / requests * 1e6 for requests in (500, 50, 600)]
    hold = series[Key("flush", "the flush itself", "longest hold")]
    assert (hold.kind, hold.rounds, hold.more_is_better) == (Kind.FIGURE, [2.0, 4.5, 6.25], False)
    assert len(series) == 4  # "removed" is a plain number, neither good nor bad


def test_references_among_themselves_are_left_out(tmp_path: Path) -> None:
    """What Redis does against itself is not ours to lose; what a phase of memsidecar does against another is."""

    def ratio(subject: str, reference: str) -> dict[str, Any]:
        return {"subject": subject, "reference": reference, "quantity": "p50_ms", "rounds": [1.0]}

    ratios = [ratio("memsidecar, large", "Redis, large"), ratio("Redis, large", "Redis, small"), ratio("storm", "calm")]
    path = written(tmp_path, cases=[{"scenario": "s", "name": "c", "ratios": ratios}])
    assert [key.what for key in read_results(path).series] == [
        "memsidecar, large : Redis, large, p50_ms",
        "storm : calm, p50_ms",
    ]


def test_instruction_counts_are_read(tmp_path: Path) -> None:
    """They are a list of their own, and a file may have nothing else."""
    count = {"process": "redis", "case": "append.lua", "rounds": [100.0, 101.0], "more": "unknown"}
    series = read_results(written(tmp_path, cases=[], instructions=[count])).series
    (counted,) = series.items()
    assert counted[0] == Key("instructions", "append.lua", "redis, per request")
    assert (counted[1].kind, counted[1].rounds) == (Kind.INSTRUCTIONS, [100.0, 101.0])


def test_unknown_fields_are_passed_over(tmp_path: Path) -> None:
    """A later version may tell more, anywhere."""
    content = json.loads(report().to_json())
    content["cases"][0]["ratios"][0]["floor"] = 0.3
    content["cases"][0]["weather"] = "fair"
    assert read_results(written(tmp_path, **content, extra={})).series == read_results(written(tmp_path)).series


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("no json", "it is no result of `make bench`"),
        ("[]", "it is no result of `make bench`"),
        ("{}", "missing required field `format`"),
        (f'{{"format": {FORMAT + 1}}}', f"it has format {FORMAT + 1}, and this version compares format {FORMAT}"),
        (f'{{"format": {FORMAT}, "cases": [{{"name": 1}}]}}', "it is no result of `make bench`"),
        (f'{{"format": {FORMAT}, "cases": []}}', "it has nothing to compare"),
    ],
)
def test_files_of_no_use(tmp_path: Path, text: str, complaint: str) -> None:
    """The error names the file and what is wrong with it."""
    path = tmp_path / "odd.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UnusableFile) as caught:
        read_results(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert complaint in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """So does one for a wrong path."""
    with pytest.raises(UnusableFile, match="cannot be read"):
        read_results(tmp_path / "none.json")
