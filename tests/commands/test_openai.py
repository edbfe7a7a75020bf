"""FORMAT OPENAI: what was appended comes back as the JSON that goes into a request."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionMessageParam

from sidecar.commands.messages import read_json
from sidecar.commands.openai import to_openai
from sidecar.memory.message import ROLES, SUMMARY_HEADING, StoredMessage
from sidecar.memory.results import ReadResult
from tests.commands.schemas import check


def stored(message: dict[str, Any]) -> StoredMessage:
    """A message as it comes back from Redis after it was appended."""
    read = read_json(json.dumps(message).encode(), 1)
    return StoredMessage("1-0", read.role, read.content, 1, read.fields or None)


def written(*messages: dict[str, Any], summary: str | None = None) -> Any:
    """Return the parsed JSON of a read of these messages."""
    return json.loads(to_openai(ReadResult(summary, 1, [stored(each) for each in messages], 1, 1, False, 0, "openai")))


CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": "\\n"}'}}
MESSAGES: list[dict[str, Any]] = [
    {"role": "user", "content": "hi"},
    {"role": "user", "content": ""},
    {"role": "user", "content": '"\\\r\n\x00 é🦊</script>'},
    {"role": "user", "content": "hi", "name": "ann"},
    {"role": "user", "content": "", "name": "ann"},
    {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": "u"}}]},
    {"role": "user", "content": []},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "assistant", "content": "so", "refusal": None, "tool_calls": [CALL]},
    {"role": "tool", "content": "42", "tool_call_id": "a"},
]


@pytest.mark.parametrize("message", MESSAGES, ids=str)
def test_what_was_appended_comes_back(message: dict[str, Any]) -> None:
    """A message of the API's form comes back with its fields, null and parts included, role and content first."""
    (back,) = written(message)
    assert back == message
    assert list(back)[:2] == ["role", "content"]


@pytest.mark.parametrize(
    ("message", "back"),
    [
        ({"role": "user", "content": "hi", "id": "x", "tokens": 7, "metadata": {"a": 1}}, {"content": "hi"}),
        ({"role": "user", "content": "", "further": {"content": 1}}, {"content": ""}),
        ({"role": "system", "content": "be kind", "tool_call_id": "a"}, {"content": "be kind"}),
        ({"role": "user", "content": None}, {"content": ""}),
        ({"role": "assistant", "content": None, "tool_calls": []}, {"content": ""}),
        ({"role": "assistant", "content": "x", "name": None}, {"content": "x"}),
        ({"role": "tool", "content": "42"}, {"role": "user", "content": "Result of a tool:\n42"}),
        ({"role": "tool", "content": "42", "x": 1}, {"role": "user", "content": "42"}),
    ],
)
def test_what_the_api_would_refuse(message: dict[str, Any], back: dict[str, Any]) -> None:
    """What no request may hold is left out, or put in the nearest form that it may hold."""
    assert written(message) == [{"role": message["role"], **back}]


def test_no_content() -> None:
    """A message without content has null, which the API takes."""
    assert written({"role": "assistant", "tool_calls": [CALL]}) == [
        {"role": "assistant", "content": None, "tool_calls": [CALL]}
    ]


NAMES = st.text(st.characters(codec="utf-8"), max_size=8)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), NAMES),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=6,
)


@st.composite
def messages(draw: st.DrawFn) -> dict[str, Any]:
    parts = st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": NAMES}), max_size=2)
    message = {
        "role": draw(st.sampled_from(sorted(ROLES))),
        "content": draw(st.one_of(NAMES, st.none(), parts)),
    }
    if message["role"] == "assistant" and draw(st.booleans()):
        message["tool_calls"] = draw(st.lists(st.builds(call, NAMES, NAMES, NAMES), max_size=2))
    if message["role"] == "tool" and draw(st.booleans()):
        message["tool_call_id"] = draw(NAMES)
    known = {*message, "name", "tool_calls", "tool_call_id", "refusal", "audio", "function_call"}
    return message | draw(st.dictionaries(NAMES.filter(lambda name: name not in known), VALUES, max_size=3))


def call(id_: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


@given(st.lists(messages(), max_size=4))
def test_any_messages_make_a_request(conversation: list[dict[str, Any]]) -> None:
    """Whatever was stored, the array is one of OpenAI's message types, strictly, and as long as the conversation."""
    made = written(*conversation)
    assert len(made) == len(conversation)
    for message in made:
        check(message, ChatCompletionMessageParam)


SYSTEM, DEVELOPER, USER = ({"role": role, "content": "x"} for role in ("system", "developer", "user"))
SUMMARY = {"role": "system", "content": SUMMARY_HEADING + 'so "far"\n'}


@pytest.mark.parametrize(
    ("conversation", "place"),
    [
        ([], 0),
        ([USER], 0),
        ([USER, SYSTEM], 0),
        ([SYSTEM, USER], 1),
        ([SYSTEM, DEVELOPER, USER, SYSTEM], 2),
        ([SYSTEM], 1),
    ],
)
def test_the_summary(conversation: list[dict[str, Any]], place: int) -> None:
    """The summary is a system message of its own, behind the leading instructions and before the talk."""
    expected = [*conversation[:place], SUMMARY, *conversation[place:]]
    assert written(*conversation, summary=SUMMARY["content"].removeprefix(SUMMARY_HEADING)) == expected


@pytest.mark.parametrize("summary", [None, ""])
def test_no_summary(summary: str | None) -> None:
    """Without a summary there is no message for it."""
    assert written(USER, summary=summary) == [USER]
    assert written(summary=summary) == []
