"""FORMAT ANTHROPIC: what was appended becomes the JSON that goes into a request of the Messages API."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import MessageParam, TextBlockParam
from hypothesis import given
from hypothesis import strategies as st

from sidecar.commands.anthropic import FIRST_TURN, to_anthropic
from sidecar.memory.message import SUMMARY_HEADING
from sidecar.memory.results import ReadResult
from tests.commands.schemas import check
from tests.commands.test_openai import call, messages, stored


def written(*conversation: dict[str, Any], summary: str | None = None) -> Any:
    """Return the parsed JSON of a read of these messages."""
    result = ReadResult(summary, 1, [stored(each) for each in conversation], 1, 1, False, 0, "anthropic")
    return json.loads(to_anthropic(result))


def text(content: str) -> dict[str, str]:
    return {"type": "text", "text": content}


def turn(role: str, *blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": role, "content": list(blocks)}


HI = {"role": "user", "content": "hi"}
PNG = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
PDF = {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}}


def test_instructions_stand_apart() -> None:
    """System and developer messages and the summary are text blocks of `system`."""
    made = written({"role": "system", "content": "a"}, HI, {"role": "developer", "content": "b"}, summary="so far")
    assert made == {
        "system": [text("a"), text("b"), text(SUMMARY_HEADING + "so far")],
        "messages": [turn("user", text("hi"))],
    }


def test_turns_alternate() -> None:
    """Messages of one role that follow each other are one turn; the first is a user's, the last has no white end."""
    made = written({"role": "assistant", "content": "one"}, {"role": "assistant", "content": "two \n"})
    assert made["messages"] == [turn("user", text(FIRST_TURN)), turn("assistant", text("one"), text("two"))]
    assert written(HI, HI)["messages"] == [turn("user", text("hi"), text("hi"))]


def test_tool_calls() -> None:
    """Calls are blocks of the assistant's turn, all results stand at the head of the next one."""
    calls = [call("a", "f", '{"x":1}'), call("b", "g", "")]
    made = written(
        HI,
        {"role": "assistant", "content": "so", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "b", "content": "2"},
        {"role": "user", "content": "and?"},
        {"role": "tool", "tool_call_id": "a", "content": ""},
    )
    assert made["messages"][1:] == [
        turn(
            "assistant",
            text("so"),
            {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}},
            {"type": "tool_use", "id": "b", "name": "g", "input": {}},
        ),
        turn(
            "user",
            {"type": "tool_result", "tool_use_id": "b", "content": [text("2")]},
            {"type": "tool_result", "tool_use_id": "a"},
            text("and?"),
        ),
    ]


def test_ids_and_names_are_mapped() -> None:
    """What the API does not take in an id or a name is replaced, alike in call and result, and ids stay different."""
    made = written(
        HI,
        {"role": "assistant", "content": None, "tool_calls": [call("a b", "f.g", "[1]"), call("a.b", "x", "no JSON")]},
        {"role": "tool", "tool_call_id": "a.b", "content": "2"},
        {"role": "tool", "tool_call_id": "a b", "content": "1"},
    )
    uses, results = made["messages"][1]["content"], made["messages"][2]["content"]
    assert [(use["id"], use["name"], use["input"]) for use in uses] == [
        ("a_b", "f_g", {"arguments": [1]}),
        ("a_b_2", "x", {"arguments": "no JSON"}),
    ]
    assert [result["tool_use_id"] for result in results] == ["a_b_2", "a_b"]


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (PNG, {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}),
        (
            {"type": "image_url", "image_url": {"url": "https://x/y"}},
            {"type": "image", "source": {"type": "url", "url": "https://x/y"}},
        ),
        ({"type": "image_url", "image_url": {"url": "data:image/bmp;base64,AA"}}, text("[image: not shown here]")),
        (
            PDF,
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"},
                "title": "a.pdf",
            },
        ),
        ({"type": "file", "file": {"file_id": "f"}}, text("[file: not shown here]")),
        ({"type": "input_audio", "input_audio": {"data": "x"}}, text("[input_audio: not shown here]")),
        ({"type": "refusal", "refusal": "no"}, text("no")),
    ],
)
def test_parts(part: dict[str, Any], block: dict[str, Any]) -> None:
    """Parts become blocks; what the API does not take is told in words, and nothing is dropped in silence."""
    assert written({"role": "user", "content": [part]})["messages"] == [turn("user", block)]


def test_what_says_nothing() -> None:
    """Empty and blank texts, which the API refuses, are left out, and messages of nothing else too."""
    nothing = [{"type": "text", "text": ""}, {"type": "text", "text": " "}]
    assert written({"role": "user", "content": nothing}, {"role": "assistant", "content": None})["messages"] == []
    assert written({"role": "tool", "content": "42"})["messages"] == [
        turn("user", text("Result of a tool:"), text("42"))
    ]


@given(st.lists(messages(), max_size=6))
def test_any_messages_make_a_request(conversation: list[dict[str, Any]]) -> None:
    """Whatever was stored, the request is of Anthropic's types, strictly, and keeps its rules of turns and texts."""
    made = written(*conversation, summary="s")
    for block in made["system"]:
        check(block, TextBlockParam)
    for message in made["messages"]:
        check(message, MessageParam)
    turns = [message["role"] for message in made["messages"]]
    assert turns == ["user", "assistant"] * (len(turns) // 2) + ["user"] * (len(turns) % 2)
    blocks = [block for message in made["messages"] for block in message["content"]]
    assert all(block["text"].strip() for block in blocks if block["type"] == "text")
    uses = [block["id"] for block in blocks if block["type"] == "tool_use"]
    assert len(set(uses)) == len(uses)
    assert {block["tool_use_id"] for block in blocks if block["type"] == "tool_result"} <= set(uses)
