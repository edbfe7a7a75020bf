"""What a message weighs: recounted with tiktoken by the cookbook's formula, written here a second time."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.commands.messages import read_json, read_pair
from sidecar.memory.definition import Definition
from sidecar.memory.message import Message, count_message
from sidecar.tokens.vocabulary import ENCODINGS, load_encoding

DEFINITION = Definition(image_tokens=100, audio_tokens=1_000)


def tokens(encoding: str, text: str) -> int:
    return len(load_encoding(encoding).encode(text, disallowed_special=()))


def counted(message: Message, encoding: str = "o200k_base") -> int:
    return count_message(message, DEFINITION, lambda text: tokens(encoding, text))


def recounted(message: dict[str, Any], encoding: str) -> int:
    """`num_tokens_from_messages` of OpenAI's cookbook, for one message: 3, every value, and 1 for a name.

    Values that are not text are counted as compact JSON (tool calls) or by their parts; ids and fields that the
    model does not see are not counted.
    """
    total = 3
    for key, value in message.items():
        if key in ("role", "name") or (key == "content" and isinstance(value, str)):
            total += tokens(encoding, value)
        if key == "name":
            total += 1
        if key == "tool_calls":
            total += tokens(encoding, json.dumps(value, separators=(",", ":"), ensure_ascii=False)) if value else 0
        if key == "content" and isinstance(value, list):
            for part in value:
                estimate = DEFINITION.image_tokens if part["type"] == "image_url" else DEFINITION.audio_tokens
                total += tokens(encoding, part["text"]) if part["type"] == "text" else estimate
    return total


def test_the_cookbook_by_hand() -> None:
    """`user` and `hello world` are 1 and 2 tokens, so the message is 6."""
    assert counted(Message("user", "hello world")) == 6
    assert counted(Message("user", "")) == 4
    assert counted(Message("user", "", '{"name":"Ada"}', ("Ada",), named=True)) == 4 + 1 + tokens("o200k_base", "Ada")
    assert counted(Message("user", "", images=2, audios=1)) == 4 + 2 * 100 + 1_000


def test_special_tokens_are_text() -> None:
    """`<|endoftext|>` in a user's text is the text, not the one token."""
    assert counted(Message("user", "<|endoftext|>")) == 4 + 7


def test_estimates_come_from_the_definition() -> None:
    """Images and audio weigh what the definition says."""
    message = Message("user", "", images=1, audios=1)
    assert count_message(message, Definition(image_tokens=7, audio_tokens=20), lambda _: 0) == 3 + 27


TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
CALL = st.builds(
    lambda id_, name, arguments: {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}},
    TEXT, TEXT, TEXT,
)  # fmt: skip
PART = st.one_of(
    TEXT.map(lambda text: {"type": "text", "text": text}),
    st.just({"type": "image_url", "image_url": {"url": "data:,"}}),
    st.just({"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}),
)
MESSAGE = st.one_of(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "developer", "user", "tool"]), "content": st.one_of(TEXT, st.lists(PART))},
        optional={"name": TEXT, "unknown": TEXT},
    ),
    st.fixed_dictionaries(
        {"role": st.just("assistant"), "content": st.one_of(st.none(), TEXT), "tool_calls": st.lists(CALL, max_size=2)},
        optional={"name": TEXT},
    ),
    st.fixed_dictionaries({"role": st.just("tool"), "content": TEXT, "tool_call_id": TEXT}),
)


@settings(max_examples=300, deadline=None)
@given(MESSAGE, st.sampled_from(ENCODINGS))
def test_any_message(message: dict[str, Any], encoding: str) -> None:
    """Whatever a message holds, it weighs what the cookbook's formula says, in every vocabulary."""
    assert counted(read_json(json.dumps(message).encode(), 1), encoding) == recounted(message, encoding)


@settings(deadline=None)
@given(st.sampled_from(["user", "assistant", "system", "tool"]), TEXT)
def test_pairs_weigh_the_same_as_json(role: str, content: str) -> None:
    """A message weighs the same whichever way it was written."""
    pair = read_pair(role.encode(), content.encode(), 1)
    assert counted(pair) == recounted({"role": role, "content": content}, "o200k_base")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_long_text(encoding: str) -> None:
    """A text of a megabyte is counted exactly."""
    text = "The quick brown fox 🦊 jumps over 13 lazy dogs.\n" * 20_000
    assert counted(Message("user", text), encoding) == 4 + tokens(encoding, text)
