"""MEMAPPEND: its arguments and its reply. How messages are read is told in the tests of `messages`."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.commands.append import encode, render
from sidecar.errors import BadMessage
from sidecar.memory.message import Message
from sidecar.memory.requests import LARGE_MESSAGE_CHARACTERS, AppendRequest
from sidecar.memory.results import AppendResult
from sidecar.resp import replies
from tests.commands.asking import MEMORY, check_both, parse, refused


def test_pairs() -> None:
    """Pairs of role and content are messages, in their order."""
    assert parse("MEMAPPEND", "k", "user", "hi", "ASSISTANT", "") == AppendRequest(
        MEMORY, [Message("user", "hi"), Message("assistant", "")]
    )


@pytest.mark.parametrize("word", ["JSON", "json"])
def test_json(word: str) -> None:
    """JSON begins a list of messages as objects."""
    request = parse("MEMAPPEND", "k", word, '{"role":"user","content":"hi"}', '{"role":"tool","content":null}')
    assert [message.role for message in request.messages] == ["user", "tool"]


ERRORS = {
    (): "ERR wrong number of arguments for 'memappend' command",
    ("k",): "ERR wrong number of arguments for 'memappend' command",
    ("k", "user"): "ERR wrong number of arguments for 'memappend' command",
    ("k", "user", "hi", "assistant"): "ERR messages are pairs of role and content, but the last one, 'assistant', has "
    "no content",
    ("k:{}", "user", "hi"): "BADKEY '{' at offset 2 is not allowed in a key; use A-Z a-z 0-9 _ . - : @ / *",
    (
        "k",
        "usr",
        "hi",
    ): "BADMESSAGE role of message 1 is 'usr'; it must be one of assistant, developer, system, tool, user",
    (
        "k",
        "user",
        b"\xff",
    ): "BADMESSAGE the content of message 1 is not UTF-8: byte 0xff at offset 0; send text as UTF-8",
}


@pytest.mark.parametrize("arguments", ERRORS)
def test_errors(arguments: tuple[str | bytes, ...]) -> None:
    """What is wrong with the arguments is said."""
    assert refused("MEMAPPEND", *arguments) == ERRORS[arguments]


@pytest.mark.parametrize(
    ("characters", "large"), [(LARGE_MESSAGE_CHARACTERS, False), (LARGE_MESSAGE_CHARACTERS + 1, True)]
)
def test_large(characters: int, large: bool) -> None:
    """An append is large when it has that much to count, or to search, in contents or in other fields."""
    content = "x" * characters
    assert parse("MEMAPPEND", "k", "user", content).large is large
    halves = ["user", content[: characters // 2], "user", content[characters // 2 :]]
    assert parse("MEMAPPEND", "k", *halves).large is large
    assert parse("MEMAPPEND", "k", "JSON", json.dumps({"role": "user", "content": content})).large is large
    for fields in (
        {"content": "", "name": content},
        {"content": [{"type": "text", "text": content}]},
        {"content": "", "note": content},
    ):
        shorter = json.dumps({"role": "user", **fields}).replace("x" * 100, "", 0 if large else 1)
        assert parse("MEMAPPEND", "k", "JSON", shorter).large is large


def test_copies_of_metadata() -> None:
    """A short request may not make much of META, which each message gets."""
    metadata = json.dumps({"a": "x" * 60_000})
    assert len(parse("MEMAPPEND", "k", "META", metadata, *("user", "x") * 200).messages) == 200
    with pytest.raises(BadMessage, match=r"META is kept with each of the 300 messages, which makes 1800\d{4} bytes"):
        parse("MEMAPPEND", "k", "META", metadata, *("user", "x") * 300)


def test_reply() -> None:
    """The reply has the ids, the totals afterwards, and how the memory stands with its flush."""
    check_both(
        "MEMAPPEND",
        AppendResult("1-0", "2-0", 2, 7, 99, "due"),
        {
            "first-id": "1-0",
            "last-id": "2-0",
            "appended": 2,
            "messages": 7,
            "tokens": 99,
            "flush": "due",
            "duplicate": False,
        },
    )


def test_options() -> None:
    """Options stand in any order between the key and the messages, in any case."""
    request = parse("MEMAPPEND", "k", "lock", "l", "IDEMPOTENT", "i", "META", '{"a":1}', "user", "hi")
    assert request == AppendRequest(MEMORY, [Message("user", "hi", '{"metadata":{"a":1}}')], lock="l", idempotent="i")
    own = json.dumps({"role": "user", "content": "hi", "metadata": {"b": 2}})
    request = parse("MEMAPPEND", "k", "META", '{"a":1}', "JSON", own)
    assert json.loads(request.messages[0].fields) == {"metadata": {"b": 2}}  # a message's own wins
    assert parse("MEMAPPEND", "{{ a }}", "CONTEXT", '{"a":"k"}', "user", "hi").memory == MEMORY


def test_option_errors() -> None:
    """A token is bounded, because it is part of a key; an option needs its value."""
    assert refused("MEMAPPEND", "k", "IDEMPOTENT", "x" * 257, "user", "hi") == (
        "ERR IDEMPOTENT takes a token of 1 to 256 bytes, this one has 257"
    )
    assert refused("MEMAPPEND", "k", "META", "1", "user", "hi").startswith("ERR META takes a JSON object: ")
    assert refused("MEMAPPEND", "k", "user", "hi", "LOCK", "l").startswith("BADMESSAGE role of message 2 is 'LOCK'")
    assert refused("MEMAPPEND", "{{ a }}", "user", "hi").startswith("TEMPLATE there is no 'a' in the context")


def test_write() -> None:
    """MEMWRITE takes messages as MEMAPPEND does, and of its options CONTEXT and LOCK."""
    assert parse("MEMWRITE", "k", "LOCK", "l", "user", "hi") == AppendRequest(
        MEMORY, [Message("user", "hi")], lock="l", replace=True
    )
    assert refused("MEMWRITE", "k", "IDEMPOTENT", "i").startswith("BADMESSAGE role of message 1 is 'IDEMPOTENT'")
    assert refused("MEMWRITE", "k", "user") == "ERR wrong number of arguments for 'memwrite' command"


IDS = st.none() | st.from_regex(r"\A[0-9]{1,13}-[0-9]{1,3}\Z")
COUNTS = st.integers(0, 2**53)


@given(
    st.builds(
        AppendResult, IDS, IDS, COUNTS, COUNTS, COUNTS, st.sampled_from(["none", "due", "running"]), st.booleans()
    ),
    st.sampled_from([2, 3]),
)
@example(AppendResult(None, None, 0, 0, 0, "none"), 2)
def test_the_short_way_to_a_reply(result: AppendResult, protocol: int) -> None:
    """The bytes that are written at once are those of the map that the reply is."""
    assert encode(result, protocol) == replies.encode(render(result), protocol)
