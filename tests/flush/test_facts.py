"""Finding tool calls in the stored fields."""

from __future__ import annotations

import pytest

from sidecar.flush.facts import to_facts
from sidecar.memory.message import MessageFacts
from sidecar.store.flush_store import RawFacts

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
