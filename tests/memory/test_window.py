"""Reads without orphans: worked examples, then random talks against the rules themselves."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.memory.stored_message import StoredMessage
from sidecar.memory.window import without_orphans


def talk(*lines: str) -> list[StoredMessage]:
    """Build messages from lines such as `user`, `calls a b`, `answers a`, `tool`."""
    messages = []
    for number, line in enumerate(lines):
        word, *ids = line.split()
        fields = None
        role = word
        if word == "calls":
            role, fields = "assistant", json.dumps({"content": None, "tool_calls": [{"id": id_} for id_ in ids]})
        elif word == "answers":
            role, fields = "tool", json.dumps({"tool_call_id": ids[0]})
        messages.append(StoredMessage(f"{number}-0", role, line, 1, fields))
    return messages


def kept(*lines: str) -> list[str]:
    return [message.content for message in without_orphans(talk(*lines))]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], []),
        (["user", "assistant", "tool"], ["user", "assistant", "tool"]),
        (["calls a", "answers a", "user"], ["calls a", "answers a", "user"]),
        (["calls a b", "answers b", "answers a", "user"], ["calls a b", "answers b", "answers a", "user"]),
        (["answers a", "user"], ["user"]),
        (["answers a", "answers b", "calls c", "answers c"], ["calls c", "answers c"]),
        (["calls a", "user"], ["user"]),
        (["calls a b", "answers a", "user"], ["user"]),
        (["user", "calls a"], ["user", "calls a"]),
        (["user", "calls a b", "answers a"], ["user", "calls a b", "answers a"]),
        (["calls a", "user", "answers a", "user"], ["calls a", "user", "answers a", "user"]),
        (["calls a", "calls b", "answers b"], ["calls b", "answers b"]),
        (["calls a", "calls b", "answers a", "answers b"], ["calls a", "calls b", "answers a", "answers b"]),
        (["calls a", "answers a", "answers a", "user"], ["calls a", "answers a", "answers a", "user"]),
        (["calls a", "answers a", "calls a", "answers a"], ["calls a", "answers a", "calls a", "answers a"]),
        (["calls a", "calls a", "answers a", "user"], ["calls a", "answers a", "user"]),
        (["answers a", "calls a", "user"], ["user"]),
        (["calls", "user"], ["calls", "user"]),
        (["calls a", "answers a", "tool", "user"], ["calls a", "answers a", "tool", "user"]),
    ],
)
def test_examples(lines: list[str], expected: list[str]) -> None:
    """Results without their call and calls without all their results go; calls at the end wait for theirs."""
    assert kept(*lines) == expected


def test_text_that_looks_like_a_call() -> None:
    """Words about tool calls in another field are no tool calls."""
    message = StoredMessage("1-0", "user", "x", 1, json.dumps({"note": '"tool_call_id": 1'}))
    assert without_orphans([message]) == [message]


LINE = st.one_of(
    st.sampled_from(["user", "assistant", "tool", "system"]),
    st.sets(st.sampled_from("abc"), max_size=2).map(lambda ids: " ".join(["calls", *sorted(ids)])),
    st.sampled_from("abcd").map(lambda id_: f"answers {id_}"),
)


def nearest_call(lines: list[str], result: int) -> int | None:
    """Return the index of the last message before `result` that makes the call which it answers."""
    wanted = lines[result].split()[1]
    before = [at for at in range(result) if lines[at].startswith("calls") and wanted in lines[at].split()[1:]]
    return before[-1] if before else None


@settings(max_examples=500, deadline=None)
@given(st.lists(LINE, max_size=12))
def test_random_talks(lines: list[str]) -> None:
    """Nothing is an orphan afterwards, in either direction; the order stays, and nothing else is gone."""
    found = [int(message.id.partition("-")[0]) for message in without_orphans(talk(*lines))]
    assert found == sorted(set(found))
    results = [at for at, line in enumerate(lines) if line.startswith("answers")]
    spoken = [at for at, line in enumerate(lines) if not line.startswith(("answers", "tool"))]
    for at, line in enumerate(lines):
        if line.startswith("calls"):
            answered = {lines[result].split()[1] for result in results if nearest_call(lines, result) == at}
            complete = answered == set(line.split()[1:])
            assert (at in found) == (complete or at == spoken[-1])
        elif line.startswith("answers"):
            call = nearest_call(lines, at)
            assert (at in found) == (call is not None and call in found)
        else:
            assert at in found
