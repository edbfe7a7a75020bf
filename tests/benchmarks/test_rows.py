"""The promises."""

from __future__ import annotations

from benchmarks import rows
from benchmarks.rows import RATIO, ROWS, Row


def test_every_row_has_a_place_and_a_name_of_its_own() -> None:
    """What is declared is on the scorecard, once, and no two rows read the same."""
    declared = [value for value in vars(rows).values() if isinstance(value, Row)]
    for group in (rows.READ_FIRST, rows.FORWARD, rows.FLUSH_P99, rows.FLUSH_HOLD):
        declared += group.values()
    assert set(declared) == set(ROWS)
    assert len({(row.name, row.against) for row in ROWS}) == len(ROWS) == len(declared)


def test_an_aim_is_not_below_its_floor() -> None:
    """Whoever reaches the aim keeps the floor, and a ratio says of what."""
    for row in ROWS:
        goal = row.goal
        if goal is not None and goal.floor is not None and goal.aim is not None:
            assert (goal.aim > goal.floor) is (goal.direction == "at least"), row.name
        assert row.against or row.unit != RATIO, row.name
