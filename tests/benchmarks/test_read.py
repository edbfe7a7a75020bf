"""Which reads are compared."""

from __future__ import annotations

from benchmarks.read import HUGE, read_cases
from benchmarks.rows import READ, READ_HUGE, READ_LARGE
from benchmarks.stage import Stage


def test_latencies_of_one_client_are_on_the_scorecard() -> None:
    """Of every size, and with many clients of none; a stage that was not entered is never asked for anything."""
    alone, many = read_cases(Stage(), huge=True)
    assert [one.row for one in alone.comparisons if one.row] == [READ, READ_LARGE, READ_HUGE]
    assert not [one.row for one in many.comparisons if one.row]


def test_the_huge_memory_can_be_left_out() -> None:
    """Then nobody reads from it and nothing is compared with it."""
    for case in read_cases(Stage(), huge=False):
        assert not [each.name for each in case.contenders if f"{HUGE:,}" in each.name]
        names = {each.name for each in case.contenders}
        assert {one.subject for one in case.comparisons} <= names
        assert READ_HUGE not in [one.row for one in case.comparisons]
