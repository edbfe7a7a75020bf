"""The schedule of memories that were started lately, without a clock."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sidecar.flush.rests import Rests


def rests(most: int = 100) -> Rests[str]:
    """Return a schedule that begins with 5 s and ends with 40 s."""
    return Rests(rest_s=5.0, longest_rest_s=40.0, most=most)


def test_a_rest_ends() -> None:
    """Nobody is ready before the rest is over; then once, the earliest first."""
    schedule = rests()
    assert schedule.next_end() is None
    assert schedule.begin("b", 1.0, 0) is None
    assert schedule.begin("a", 0.0, 0) is None
    assert schedule.next_end() == 5.0
    assert schedule.pop(4.9) is None
    assert [schedule.pop(6.0) for _ in range(3)] == ["a", "b", None]


def test_joined_starts_rest_longer() -> None:
    """Each start that only joined doubles the rest, up to the longest, however many they are."""
    for joins, end in ((0, 5.0), (1, 10.0), (2, 20.0), (3, 40.0), (4, 40.0), (10_000, 40.0)):
        schedule = rests()
        schedule.begin("a", 0.0, joins)
        assert schedule.next_end() == end


def test_a_new_mark_ends_the_long_rest() -> None:
    """Cut short, a rest is as long as after a start that joined nothing; a shorter one, or none, stays as it is."""
    schedule = rests()
    schedule.begin("a", 10.0, 3)
    schedule.begin("b", 0.0, 0)
    for who in ("a", "b", "nobody"):
        schedule.cut(who)
    assert [schedule.pop(100.0), schedule.next_end()] == ["b", 15.0]
    assert [schedule.pop(15.0), schedule.pop(1_000.0)] == ["a", None]


def test_only_so_many_are_remembered() -> None:
    """Beyond that the one that is ready next is forgotten, and named; who begins anew takes no second place."""
    schedule = rests(2)
    schedule.begin("a", 0.0, 3)
    schedule.begin("b", 0.0, 0)
    assert schedule.begin("a", 1.0, 0) is None
    assert schedule.begin("c", 2.0, 0) == "b"
    assert [schedule.pop(100.0) for _ in range(3)] == ["a", "c", None]


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 6), st.booleans()), max_size=30))
def test_everybody_rests_between_the_shortest_and_the_longest(starts: list[tuple[str, int, bool]]) -> None:
    """Whatever the order, whoever begins is ready exactly once, after 5 to 40 s."""
    schedule, last = rests(), dict[str, float]()
    for at, (who, joins, cut) in enumerate(starts):
        schedule.begin(who, float(at), joins)
        last[who] = float(at)
        if cut:
            schedule.cut(who)
    ready: dict[str, float] = {}
    while (end := schedule.next_end()) is not None:
        popped = schedule.pop(end)
        assert popped is not None
        assert popped not in ready
        ready[popped] = end
    assert ready.keys() == last.keys()
    assert all(5.0 <= end - last[who] <= 40.0 for who, end in ready.items())
