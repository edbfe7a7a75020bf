"""Finding tool calls in the stored fields."""

from __future__ import annotations

import pytest

from sidecar.flush.facts import gone, to_facts
from sidecar.memory.message import MessageFacts
from sidecar.store.flush_words import RawFacts

CASES = [
    ("", (), None),
    ('{"tool_calls":[{"id":"a"},{"id":"b"}]}', ("a", "b"), None),
    ('{"tool_call_id":"a","name":"search"}', (), "a"),
    ('{"tool_calls":[{"id":"a"}],"tool_call_id":"b"}', ("a",), "b"),
    ('{"content":"no tool_call here"}', (), None),
    ('{"tool_calls":null}', (), None),
    ('{"tool_calls":{"id":"a"}}', (), None),
    ('{"tool_calls":["a",{"name":"x"},{"id":7},{"id":"b"}]}', ("b",), None),
    ('{"tool_call_id":7}', (), None),
    ('["tool_calls"]', (), None),
    ('"tool_call_id"', (), None),
    ('{"tool_calls":[{"id":"a"}', (), None),
]


@pytest.mark.parametrize(("fields", "calls", "answers"), CASES)
def test_tool_ids(fields: str, calls: tuple[str, ...], answers: str | None) -> None:
    """Calls and answers are found in the OpenAI form; anything else is no tool message, and no error."""
    [facts] = to_facts([RawFacts("1-0", "assistant", 5, fields)], frozenset())
    assert facts == MessageFacts("1-0", "assistant", 5, calls, answers, pinned=False)


def test_kept_messages_are_pinned() -> None:
    """A message that no flush may remove is marked as such, whatever its role."""
    page = [RawFacts("1-0", "user", 5, ""), RawFacts("1-1", "user", 5, "")]
    assert [facts.pinned for facts in to_facts(page, {"1-1"})] == [False, True]


def test_classes_are_passed_on() -> None:
    """A plan may know the class of a message."""
    page = [RawFacts("1-0", "user", 5, ""), RawFacts("1-1", "user", 5, "", "steps")]
    assert [facts.kind for facts in to_facts(page, frozenset())] == ["", "steps"]


def test_sizes_and_access_times_are_passed_on() -> None:
    """A plan may know how long a text is, and when a message was last read."""
    page = [RawFacts("1-0", "user", 5, ""), RawFacts("1-1", "user", 5, "", "", 70)]
    facts = to_facts(page, frozenset(), {"1-1": 99})
    assert [(each.text_bytes, each.read_ms) for each in facts] == [(0, None), (70, 99)]


def test_access_times_of_messages_that_are_gone() -> None:
    """Within the snapshot, what has a time and no message is gone; ids are compared by number. Newer ones are not."""
    facts = to_facts([RawFacts("9-0", "user", 5, ""), RawFacts("10-1", "user", 5, "")], frozenset())
    read = dict.fromkeys(("8-0", "9-0", "10-0", "10-1", "10-2", "100-0", "odd"), 1)
    assert gone(read, facts, "10-1") == ["8-0", "10-0", "odd"]
    assert gone({}, facts, "10-1") == []
