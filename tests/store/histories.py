"""Conversations with tool calls, for properties of reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.store.model import Id, Stored, units


@st.composite
def histories(draw: st.DrawFn) -> list[Stored]:
    """Conversations with parallel tool calls whose results come in any order, late, twice, alone or never."""
    found: list[Stored] = []
    pending: list[str] = []
    weight = st.integers(1, 12) | st.integers(20, 60)
    for place in range(draw(st.integers(0, 40))):
        what = draw(st.sampled_from(["user", "assistant", "call", "call", "result", "result", "result", "system"]))
        message = Stored((1, place + 1), "user", draw(weight), pinned=draw(st.integers(0, 15)) == 0)
        if what == "call":
            # Some clients number their calls anew in every turn.
            calls = draw(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=3, unique=True))
            pending += calls
            message = replace(message, role="assistant", calls=tuple(calls))
        elif what == "result":
            answers = draw(st.sampled_from([*pending, *pending, "stray"]))
            if answers in pending and draw(st.booleans()):
                pending.remove(answers)
            message = replace(message, role="tool", answers=answers)
        else:
            message = replace(message, role=what, kind=draw(st.sampled_from(["", "", "facts"])))
        found.append(message)
    return found


SETTINGS = settings(
    max_examples=60,
    deadline=None,
    # The Redis is shared by all examples on purpose: each has a memory of its own.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


def orphans(log: Sequence[Stored], returned: Sequence[Id], since: Id | None = None) -> list[Id]:
    """Return which of the messages returned are half of a unit whose other half is not.

    Whoever goes on from `since` has the calls up to there already, so their results are no orphans.
    """
    whole, there = units(log), set(returned)
    return [
        id_
        for id_ in returned
        if (since is None or whole[id_].members[0].id > since)
        and not (whole[id_].whole and {member.id for member in whole[id_].members} <= there)
    ]
