"""Cut messages, counted with the real tokenizer: never above the room, and no shorter than they must be."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.memory.definition import Definition
from sidecar.memory.message import Message, count_message
from sidecar.memory.stored_message import StoredMessage
from sidecar.memory.truncation import truncated
from sidecar.tokens.counter import load_counter

count = load_counter("o200k_base", "tiktoken").count

FACTORS = [1.0, 1.05, 1.1, 1.15, 1.3, 2.0]
TEXTS = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=60),
    st.text(st.sampled_from("a 🙂é\n9数"), max_size=200),
    st.integers(2, 400).map(lambda length: "a" * length),
    st.lists(st.sampled_from(["parcel", " left", " Rotterdam", " internationalisation", "\n\n"]), max_size=60).map(
        "".join
    ),
)
MESSAGES = st.builds(
    Message,
    st.sampled_from(["user", "assistant", "tool"]),
    TEXTS,
    fields=st.sampled_from(["", '{"name":"ann"}', '{"tool_call_id":"a"}']),
    counted=st.sampled_from([(), ("ann",), ('[{"id":"a"}]',)]),
    named=st.booleans(),
    images=st.sampled_from([0, 0, 0, 1]),
)


def stored(messages: Sequence[Message], definition: Definition) -> list[StoredMessage]:
    """As an append stores them."""
    return [
        StoredMessage(
            f"1-{place}", each.role, each.content, count_message(each, definition, count), each.fields or None
        )
        for place, each in enumerate(messages)
    ]


@settings(max_examples=300, deadline=None)
@given(
    messages=st.lists(MESSAGES, min_size=1, max_size=3),
    share=st.floats(0, 1, exclude_max=True),
    calibration=st.sampled_from(FACTORS),
    overhead=st.integers(0, 4),
)
def test_a_cut_unit(messages: list[Message], share: float, calibration: float, overhead: int) -> None:
    """Whatever the texts, the room and the calibration: counted anew it fits, and one letter more would not."""
    definition = Definition(calibration=calibration, per_message_overhead=overhead, image_tokens=20)
    unit = stored(messages, definition)
    room = int(sum(each.tokens for each in unit) * share)
    found = truncated(unit, room, count, definition)
    longest = max(range(len(unit)), key=lambda at: len(unit[at].content))
    others = sum(each.tokens for at, each in enumerate(unit) if at != longest)

    def weight(length: int) -> int:
        shorter = messages[longest]
        counted = replace(shorter, content=shorter.content[:length])
        return count_message(counted, definition, count)

    slack = 0 if calibration == 1 else int(calibration) + 1  # what rounding the calibrated count up may cost
    if found is None:
        assert len(unit[longest].content) < 2 or others + weight(1) + slack > room
        return
    assert sum(each.tokens for each in found) <= room
    cut = found[longest]
    length = len(cut.content)
    assert weight(length) <= cut.tokens <= weight(length) + slack
    assert 0 < length < len(unit[longest].content)
    assert length + 1 == len(unit[longest].content) or others + weight(length + 1) + slack > room
    assert unit[longest].content.startswith(cut.content)
    fields = json.loads(cut.fields or "")
    assert fields == {"truncated": True, **json.loads(unit[longest].fields or "{}")}
    assert [each for at, each in enumerate(found) if at != longest] == [
        each for at, each in enumerate(unit) if at != longest
    ]


@pytest.mark.parametrize("calibration", FACTORS)
@pytest.mark.parametrize(
    "words", range(20, 70, 6)
)  # 26 words and what is around them are 30 tokens: 30 * 1.1 / 1.1 < 30
def test_every_room(words: int, calibration: float) -> None:
    """From nothing to the whole: at every room the cut fits, and grows with the room."""
    definition = Definition(calibration=calibration)
    unit = stored([Message("user", " parcel" * words)], definition)
    lengths = []
    for room in range(unit[0].tokens):
        found = truncated(unit, room, count, definition)
        if found is not None:
            assert count_message(Message("user", found[0].content), definition, count) <= found[0].tokens <= room
        lengths.append(len(found[0].content) if found else 0)
    assert lengths == sorted(lengths)
    assert lengths[0] == 0
    assert lengths[-1] > 0


@pytest.mark.parametrize(
    "message",
    [
        Message("user", "", '{"content":[{"type":"image_url"}]}', images=1),
        Message("user", "x"),
        Message("assistant", "ok", '{"tool_calls":[]}', counted=("x " * 100,)),
    ],
)
def test_what_cannot_be_cut(message: Message) -> None:
    """Where what is not text is too large already, or there is no text, there is no cut."""
    definition = Definition()
    assert truncated(stored([message], definition), 5, count, definition) is None


def test_the_longest_text_is_cut() -> None:
    """In a tool call with its results it is the longest text that gets shorter; the others are whole."""
    definition = Definition()
    unit = stored(
        [Message("assistant", "let me see"), Message("tool", "row " * 500), Message("tool", "42")], definition
    )
    found = truncated(unit, 60, count, definition)
    assert found is not None
    assert [found[0], found[2]] == [unit[0], unit[2]]
    assert sum(each.tokens for each in found) == 60
