"""FORMAT OPENAI: what was appended comes back as the JSON that goes into a request."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionMessageParam

from sidecar.commands.openai import to_openai
from sidecar.memory.message import SUMMARY_HEADING
from sidecar.memory.results import ReadResult
from sidecar.memory.stored_message import StoredMessage
from tests.commands.conversations import TEXTS, Json, call, calling, conversations, found, result, stored
from tests.commands.rules import hold_order
from tests.commands.schemas import check


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
        ({"role": "tool", "content": "42", "x": 1}, {"role": "user", "content": "Result of a tool:\n42"}),
        (
            {"role": "tool", "content": "42", "tool_call_id": None},
            {"role": "user", "content": "Result of a tool:\n42"},
        ),
        ({"role": "user", "content": []}, {"content": ""}),
        ({"role": "assistant", "content": None, "audio": None}, {"content": ""}),
        ({"role": "assistant", "content": None, "refusal": "no"}, {"content": "", "refusal": "no"}),
        (
            {"role": "assistant", "content": None, "audio": {"id": "x", "data": "y"}},
            {"content": None, "audio": {"id": "x"}},
        ),
        ({"role": "user", "content": "hi", "name": " "}, {"content": "hi", "name": "_"}),
        ({"role": "user", "content": "hi", "name": ""}, {"content": "hi"}),
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


@pytest.mark.parametrize(
    ("role", "part", "back"),
    [
        ("user", {"type": "image_url", "image_url": {"url": "u", "detail": "low"}}, None),
        ("user", {"type": "input_audio", "input_audio": {"data": "x", "format": "wav"}}, None),
        ("user", {"type": "file", "file": {"file_data": "x", "filename": "a.pdf"}}, None),
        ("assistant", {"type": "refusal", "refusal": "no"}, None),
        ("system", {"type": "text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "30m"}}, None),
        ("user", {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "x"}),
        (
            "user",
            {"type": "image_url", "image_url": {"url": "u", "detail": None}},
            {"type": "image_url", "image_url": {"url": "u"}},
        ),
        ("user", {"type": "refusal", "refusal": "no"}, {"type": "text", "text": "no"}),
        (
            "system",
            {"type": "image_url", "image_url": {"url": "u"}},
            {"type": "text", "text": "[image_url: not shown here]"},
        ),
        (
            "user",
            {"type": "input_audio", "input_audio": {"data": "x", "format": "ogg"}},
            {"type": "text", "text": "[input_audio: not shown here]"},
        ),
        ("user", {"type": "video", "video": "x"}, {"type": "text", "text": "[video: not shown here]"}),
    ],
)
def test_parts(role: str, part: Json, back: Json | None) -> None:
    """A part comes back as it was where messages of its role may have it; what they may not have is told in words."""
    assert written({"role": role, "content": [part]}) == [{"role": role, "content": [back or part]}]


@pytest.mark.parametrize(
    ("given", "back"),
    [
        (CALL, CALL),
        ({"id": "a", "type": "custom", "custom": {"name": "f", "input": "x"}},) * 2,
        ({**CALL, "index": 0}, CALL),
        ({"id": "a", "function": {"name": "g.h", "arguments": {"x": 1}}}, call("a", "g_h", '{"x":1}')),
        ({"id": "a"}, call("a", "unknown", "{}")),
    ],
)
def test_calls(given: Json, back: Json) -> None:
    """A tool call comes back as it was, or in the nearest form that the API takes."""
    assert written(calling(given)) == [calling(back)]


def test_long_ids_and_names() -> None:
    """An id that is too long is cut, alike in call and result, and ids stay different; so are names."""
    made = written(
        {"role": "user", "content": "hi", "name": "Ann  <Smith> " + "n" * 90},
        calling(call("x" * 50 + "1"), call("x" * 50 + "2")),
        result("x" * 50 + "2", "two"),
        result("x" * 50 + "1", "one"),
    )
    assert made[0]["name"] == "Ann_Smith_" + "n" * 54
    one, two = (each["id"] for each in made[1]["tool_calls"])
    assert len(one) == len(two) == 40
    assert one != two
    assert {each["tool_call_id"]: each["content"] for each in made[2:]} == {one: "one", two: "two"}


@settings(deadline=None)
@given(conversations(), st.one_of(st.none(), TEXTS))
def test_any_conversation_makes_a_request(messages: list[StoredMessage], summary: str | None) -> None:
    """Whatever was stored, the array is of OpenAI's types, strictly, and each call has its results right behind it."""
    made = json.loads(to_openai(found(messages, summary)))
    check(made, list[ChatCompletionMessageParam])
    nulls = [each for each in made if each["content"] is None]
    assert all(each.keys() & {"tool_calls", "function_call", "audio"} for each in nulls)
    assert all(each["content"] != [] and each.get("tool_calls") != [] for each in made)
    assert all(re.fullmatch(r"[^\s<|\\/>]{1,64}", each["name"]) for each in made if "name" in each)
    hold_order(made)


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
