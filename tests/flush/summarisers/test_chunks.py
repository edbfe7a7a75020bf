"""Messages as text, and how they are cut: nothing is lost, nothing is out of order, no chunk is too large."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.flush.summarisers.chunks import chunks, render
from sidecar.memory.stored_message import StoredMessage
from tests.flush.conversations import said


def words(text: str) -> int:
    return len(text.split())


def letters(text: str) -> int:
    return len(text)


CALL: dict[str, object] = {
    "tool_calls": [{"id": "a", "type": "function", "function": {"name": "find", "arguments": '{"id":7}'}}]
}
PARTS: dict[str, object] = {
    "content": [{"type": "text", "text": "See:"}, {"type": "image_url", "image_url": {"url": "data:…"}}]
}


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (said("user", "Hello\nthere"), "user: Hello\nthere"),
        (said("user", "Hi", 1, {"name": "ann"}), "user ann: Hi"),
        (said("assistant", "", 1, {"content": None, **CALL}), 'assistant: [calls find {"id":7}]'),
        (said("assistant", "Wait.", 1, CALL), 'assistant: Wait.\n[calls find {"id":7}]'),
        (said("user", "", 1, PARTS), "user: See:\n[image_url]"),
        (said("assistant", "", 1, {"content": [{"type": "refusal", "refusal": "No."}]}), "assistant: No."),
        (said("tool", "42", 1, {"tool_call_id": "a"}), "tool: 42"),
        (StoredMessage("1-0", "user", "x", 1, "{cut"), "user: x"),
        (StoredMessage("1-0", "user", "x", 1, "[1]"), "user: x"),
        (said("user", "x", 1, {"tool_calls": 3, "name": 4, "content": "y"}), "user: x"),
        (said("user", "", 1, {"content": ["y", {}], "tool_calls": ["z", {"function": 1}]}), "user: [part]"),
    ],
)
def test_render(message: StoredMessage, text: str) -> None:
    """Speaker, text and calls are there, whatever others have put into the fields; images are only named."""
    assert render(message) == text


def test_few_and_full() -> None:
    """Messages share a chunk while they fit it, and each chunk knows how many are through."""
    found = chunks([said("user", "a b") for _ in range(7)], 9, words)
    assert [chunk.messages for chunk in found] == [3, 6, 7]
    assert found[0].text == "user: a b\nuser: a b\nuser: a b"


def test_nothing() -> None:
    """Of no message there is no chunk."""
    assert chunks([], 9, words) == []


def test_a_large_message_is_spread() -> None:
    """A message that is larger than a chunk is through with its last part only, and no word of it is lost."""
    long = " ".join(f"w{number}" for number in range(100))
    found = chunks([said("user", "short"), said("user", long), said("user", "end")], 30, words)
    assert all(words(chunk.text) <= 30 for chunk in found)
    assert [chunk.messages for chunk in found][-1] == 3
    assert sorted(chunk.messages for chunk in found) == [chunk.messages for chunk in found]
    assert " ".join(" ".join(chunk.text.split()) for chunk in found) == f"user: short user: {long} user: end"


def test_the_whole_decides() -> None:
    """A count under which a text is heavier than its lines together cannot make a chunk too large."""

    def steep(text: str) -> int:
        return len(text) + 20 * text.count("\n") ** 2 * (text.count("\n") > 1)

    found = chunks([said("user", "abcd") for _ in range(12)], 60, steep)
    assert all(steep(chunk.text) <= 60 for chunk in found)
    assert "\n".join(chunk.text for chunk in found) == "\n".join(["user: abcd"] * 12)
    assert found[-1].messages == 12


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=80), max_size=12), st.integers(1, 60))
def test_nothing_is_lost(texts: list[str], limit: int) -> None:
    """Put together again, but for the line breaks between messages, the chunks are the conversation."""
    messages = [said("user", text, number) for number, text in enumerate(texts)]
    found = chunks(messages, limit, letters)
    assert "".join(c.text for c in found).replace("\n", "") == "".join(map(render, messages)).replace("\n", "")
    assert all(letters(chunk.text) <= limit for chunk in found)
    assert [chunk.messages for chunk in found] == sorted(chunk.messages for chunk in found)
    assert (found[-1].messages if found else 0) == len(messages)
