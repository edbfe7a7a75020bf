"""FORMAT ANTHROPIC: what was appended becomes the JSON that goes into a request of the Messages API."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import MessageParam, TextBlockParam
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.commands.anthropic import FIRST_TURN, to_anthropic
from sidecar.memory.message import SUMMARY_HEADING
from sidecar.memory.results import ReadResult
from sidecar.memory.stored_message import StoredMessage
from tests.commands.conversations import TEXTS, Json, call, calling, conversations, found, result, stored
from tests.commands.rules import hold_pairs, hold_texts
from tests.commands.schemas import check


def written(*conversation: dict[str, Any], summary: str | None = None) -> Any:
    """Return the parsed JSON of a read of these messages."""
    read = ReadResult(summary, 1, [stored(each) for each in conversation], 1, 1, False, 0, "anthropic")
    return json.loads(to_anthropic(read))


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
        ({"type": "image_url", "image_url": {"url": "data:image/bmp;base64,AA"}}, text("[image_url: not shown here]")),
        (
            {"type": "image_url", "image_url": {"url": "data:Image/JPG;base64,AAAA"}},
            {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "AAAA"}},
        ),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}, text("[image_url: not shown here]")),
        (
            PDF,
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"},
                "title": "a.pdf",
            },
        ),
        ({"type": "file", "file": {"file_id": "f"}}, text("[file: not shown here]")),
        ({"type": "file", "file": {"filename": "a.zip"}}, text("[file a.zip: not shown here]")),
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
    assert written({"role": "tool", "content": "42"})["messages"] == [turn("user", text("Result of a tool:\n42"))]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ('{"x":{"y":[1]}}', {"x": {"y": [1]}}),
        ({"x": 1}, {"x": 1}),
        ("", {}),
        (None, {}),
        ("[1]", {"arguments": [1]}),
        ("no JSON", {"arguments": "no JSON"}),
        ('{"x":"\\ud800"}', {"arguments": '{"x":"\\ud800"}'}),
        ('{"x":' * 101 + "1" + "}" * 101, {"arguments": '{"x":' * 101 + "1" + "}" * 101}),
        ('{"x":12345678901234567890123}', {"x": 12345678901234567890123}),
    ],
)
def test_arguments(arguments: Any, expected: Json) -> None:
    """Arguments become the object that the API wants, and no text, however odd, ends the read or the request."""
    made = written(HI, calling(call("a", "f", arguments)))
    assert made["messages"][1]["content"][0]["input"] == expected


def test_custom_tools() -> None:
    """The input of a custom tool, which is no JSON, is not lost."""
    made = written(HI, calling({"id": "a", "type": "custom", "custom": {"name": "sql", "input": "select 1"}}))
    use = {"type": "tool_use", "id": "a", "name": "sql", "input": {"arguments": "select 1"}}
    assert made["messages"][1] == turn("assistant", use)


def test_ids_that_are_used_again() -> None:
    """Calls of one id, in one turn or several, get different ids, and each result that of its call."""
    made = written(
        HI, calling(call("a")), result("a", "1"), calling(call("a"), call("a")), result("a", "2"), result("a", "3")
    )
    blocks = [block for message in made["messages"] for block in message["content"]]
    assert [block["id"] for block in blocks if block["type"] == "tool_use"] == ["a", "a_2", "a_3"]
    assert [(block["tool_use_id"], block["content"]) for block in blocks if block["type"] == "tool_result"] == [
        ("a", [text("1")]),
        ("a_2", [text("2")]),
        ("a_3", [text("3")]),
    ]


def test_an_id_whose_first_call_has_no_result() -> None:
    """A result is that of the last call of its id, as a follower may read it."""
    made = written(HI, calling(call("a")), HI, calling(call("a")), result("a"))
    assert made["messages"][-1] == turn("user", {"type": "tool_result", "tool_use_id": "a_2", "content": [text("42")]})


def test_somebody_spoke_while_a_tool_ran() -> None:
    """The results stand in the turn right behind their calls whatever was said meanwhile, by whomever."""
    made = written(HI, calling(call("a")), {"role": "assistant", "content": "wait"}, {**HI}, result("a"))
    assert made["messages"][1:] == [
        turn("assistant", {"type": "tool_use", "id": "a", "name": "f", "input": {}}),
        turn("user", {"type": "tool_result", "tool_use_id": "a", "content": [text("42")]}),
        turn("assistant", text("wait")),
        turn("user", text("hi")),
    ]


def test_results_for_a_follower() -> None:
    """A read with SINCE begins with results whose calls the caller has; they keep their id, and stand first."""
    assert written(HI, result("a b"))["messages"] == [
        turn("user", {"type": "tool_result", "tool_use_id": "a_b", "content": [text("42")]}, text("hi"))
    ]


def test_who_may_show_what() -> None:
    """Images are shown of users and tools; of the assistant and in instructions they are told in words."""
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    told = text("[image_url: not shown here]")
    made = written(
        {"role": "system", "content": [PNG]},
        {"role": "user", "content": [PNG]},
        {"role": "assistant", "content": [PNG], "tool_calls": [call("a")]},
        result("a", [PNG]),
    )
    assert made["system"] == [told]
    user, assistant, tool = (message["content"] for message in made["messages"])
    assert (user[0], assistant[0], tool[0]["content"][0]) == (image, told, image)


def test_a_refusal() -> None:
    """What the assistant said instead of an answer is what it said."""
    assert written(HI, {"role": "assistant", "content": None, "refusal": "no "})["messages"][1:] == [
        turn("assistant", text("no"))
    ]


@settings(deadline=None)
@given(conversations(), st.one_of(st.none(), TEXTS))
def test_any_conversation_makes_a_request(messages: list[StoredMessage], summary: str | None) -> None:
    """Whatever was stored, the request is of Anthropic's types, strictly, and keeps its rules of turns and texts."""
    made = json.loads(to_anthropic(found(messages, summary)))
    assert made.keys() <= {"system", "messages"}
    check(made.get("system", []), list[TextBlockParam])
    check(made["messages"], list[MessageParam])
    turns = [message["role"] for message in made["messages"]]
    assert turns == ["user", "assistant"] * (len(turns) // 2) + ["user"] * (len(turns) % 2)
    hold_texts(made)
    hold_pairs([message["content"] for message in made["messages"]])
