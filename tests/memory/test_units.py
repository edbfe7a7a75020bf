"""Which messages go together; the rules that a plan follows from it are in `test_plan`."""

from __future__ import annotations

from sidecar.memory.units import group
from tests.memory.test_plan import history


def test_units_that_may_go() -> None:
    """A caller and its results are one unit, every other message its own, by the age of the first message."""
    facts = history("user", "assistant calls a b", "user", "tool answers b", "tool answers a", "user", "user")
    assert group(facts).removable == [[0], [1, 3, 4], [2], [5]]


def test_the_current_units() -> None:
    """The newest unit and the one whose results are to come are current, and may not go."""
    facts = history("user", "assistant calls a b", "tool answers a", "tool answers stray")
    units = group(facts)
    assert units.removable == [[0]]
    assert units.current == {1, 2, 3}


def test_a_second_result() -> None:
    """A second result is of the unit until another message follows the last result; then it is a unit of its own."""
    again = history("assistant calls a", "tool answers a", "tool answers a", "user", "user")
    assert group(again).removable == [[0, 1, 2], [3]]
    over = history("assistant calls a", "tool answers a", "user", "tool answers a", "user")
    assert group(over).removable == [[0, 1], [2], [3]]
    late = history("assistant calls a b", "tool answers a", "user", "tool answers a", "user")
    assert group(late).removable == [[0, 1, 3], [2]]


def test_nothing() -> None:
    """An empty memory has no units."""
    assert (group([]).removable, group([]).current) == ([], frozenset())
