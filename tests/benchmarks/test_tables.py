"""The tables for people."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from benchmarks.tables import for_markdown, for_terminal
from tests.benchmarks.reports import report


def test_markdown_has_a_table_per_scenario() -> None:
    """Medians, spread, ratio in the row of the reference, CPU time, and a mark where the generator is at its limit."""
    text = for_markdown(report())
    assert "### append" in text
    assert "### read" in text
    assert "| Redis | 1,000 | 100-1,200 | 0.50 | 0.50-0.50 | 1.000 | 3.000 | - | - | - |" in text
    assert "| memsidecar | 500 | 50-600 | - | - | 2.000 | 6.000 | 40.0 | - | 95%* |" in text
    assert "| tool | 5 | 5-5 | - | - | - | - | - | - | - |" in text


def test_markdown_tells_where_it_was_measured() -> None:
    """Versions, machine, rounds and day stand above the tables."""
    first = for_markdown(report()).splitlines()[0]
    for fact in ("memsidecar 9.9", "Redis 7.4", "native", "abacus, 2 cores", "3 times for 1 s", "2025-01-02."):
        assert fact in first


def test_a_goal_that_is_missed_stands_below_its_table() -> None:
    """Labelled comparisons are sentences, with their goal."""
    text = for_markdown(report())
    assert "- 1 connection: growth: 2.00 (2.00-2.00); floor ≤ 1.3: MISSED" in text
    assert "- 50 connections: p50 more than Redis: 1.00 (1.00-1.00); floor ≤ 0.2, aim ≤ 0.12: MISSED" in text


def test_figures_of_no_contender_are_sentences() -> None:
    """Median, spread, unit; and a goal of every round is judged by the worst one, not by the median."""
    text = for_markdown(report())
    assert "- the flush itself: longest hold: 4.50 (2-6.25) ms; floor ≤ 5: MISSED" in text
    assert "- the flush itself: removed: 5,000 (5,000-5,000)\n" in text


def test_the_scorecard_is_at_the_head() -> None:
    """It comes before every table, in the terminal and in Markdown, and tells that there is more."""
    text = for_markdown(report())
    row = "| MEMREAD TOKENS 8000 from 100,000: p50 | from 1,000 | 2 | 2-2 | ≤ 1.3 | - | MISSED |"
    assert text.index("### scorecard") < text.index(row) < text.index("Not measured") < text.index("### append")
    shown = StringIO()
    Console(file=shown, width=200).print(for_terminal(report()))
    found = shown.getvalue()
    assert found.index("scorecard") < found.index("≤ 1.3") < found.index("not measured") < found.index("append\n")


def test_tables_have_the_same_columns_one_below_the_other() -> None:
    """All rows of the terminal's tables have one width, which fits 120 columns."""
    shown = StringIO()
    Console(file=shown, width=120).print(for_terminal(report()))
    lines = shown.getvalue().splitlines()
    rows = [line for line in lines if line.startswith(("Redis ", "memsidecar  ", "small", "large"))]
    assert len(rows) == 4
    assert {len(row) for row in rows} == {len(rows[0])}
    assert len(rows[0].rstrip()) <= 120
