"""MEMREAD: every option, every error, and the map that it answers. The JSON is told in the tests of `openai`."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.commands.read import MOST_REMEMBERED_WORDS, REMEMBERED_OPTIONS, _remembered
from sidecar.memory.requests import ReadRequest
from sidecar.memory.results import ReadResult
from sidecar.memory.stored_message import StoredMessage
from tests.commands.asking import MEMORY, check_both, parse, received, refused

OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("", {}),
    ("TOKENS 0", {"tokens": 0}),
    ("tokens 500", {"tokens": 500}),
    ("TOKENS 500 RESERVE 100", {"tokens": 400}),
    ("RESERVE 100 TOKENS 500", {"tokens": 400}),
    ("TOKENS 100 RESERVE 500", {"tokens": 0}),
    ("TOKENS 9 RESERVE 0", {"tokens": 9}),
    ("TOKENS 9 OVERSIZE truncate", {"tokens": 9, "oversize": "truncate"}),
    ("OVERSIZE ERROR TOKENS 9", {"tokens": 9, "oversize": "error"}),
    ("TOKENS 9 OVERSIZE SKIP", {"tokens": 9}),
    ("BEFORE 5-1", {"before": "5-1"}),
    ("ROLE user", {"roles": ("user",)}),
    ("ROLE USER assistant user PEEK", {"roles": ("user", "assistant"), "touch": False}),
    ("SINCE $ BLOCK 50", {"since": "$", "block_ms": 50}),
    ("BLOCK 0 SINCE 1-1", {"since": "1-1", "block_ms": 3_600_000}),
    ("BLOCK 9999999 SINCE 1-1", {"since": "1-1", "block_ms": 3_600_000}),
    ("FORMAT anthropic", {"format": "anthropic"}),
    ("COUNT 1", {"count": 1}),
    ("SINCE 1732312345678-0", {"since": "1732312345678-0"}),
    ("SINCE 5", {"since": "5"}),
    ("NOSUMMARY", {"with_summary": False}),
    ("FORMAT OPENAI", {"format": "openai"}),
    ("format resp", {}),
    ("FORMAT OPENAI FORMAT RESP", {}),
    ("PEEK", {"touch": False}),
    (
        "peek nosummary format openai since 1-1 count 9 tokens 8 reserve 1",
        {"touch": False, "with_summary": False, "format": "openai", "since": "1-1", "count": 9, "tokens": 7},
    ),
]


@pytest.mark.parametrize(("options", "fields"), OPTIONS)
def test_options(options: str, fields: dict[str, Any]) -> None:
    """Every option says what it says, in any case and order; the last of two wins."""
    assert parse("MEMREAD", "k", *options.split()) == ReadRequest(MEMORY, **fields)


def test_the_same_options_again() -> None:
    """What is remembered of options is that of each request alone: one that waits changes where it begins."""
    first = parse("MEMREAD", "k", "SINCE", "$", "BLOCK", "50")
    first.since = "1-1"
    assert parse("MEMREAD", "k", "SINCE", "$", "BLOCK", "50") == ReadRequest(MEMORY, since="$", block_ms=50)


def test_options_without_end() -> None:
    """However often options come, and however many there are, what is remembered of them has a bound."""
    for count in range(REMEMBERED_OPTIONS + 10):
        parse("MEMREAD", "k", "COUNT", str(count + 1))
    assert 0 < len(_remembered) <= REMEMBERED_OPTIONS
    assert parse("MEMREAD", "k", *["PEEK"] * 1_000).touch is False
    assert max(map(len, _remembered)) <= MOST_REMEMBERED_WORDS


ERRORS = {
    "TOKENS": "ERR MEMREAD expects a number after TOKENS at the end of its arguments",
    "TOKENS many": "ERR TOKENS takes a whole number from 0 to 2^53, not 'many'",
    "RESERVE -1": "ERR RESERVE takes a whole number from 0 to 2^53, not '-1'",
    "RESERVE 5": "ERR RESERVE keeps a part of TOKENS free; give TOKENS too",
    "COUNT": "ERR MEMREAD expects a number after COUNT at the end of its arguments",
    "COUNT 0": "ERR COUNT takes a whole number from 1 to 2^53, not '0'",
    "SINCE": "ERR MEMREAD expects a message id after SINCE at the end of its arguments",
    "SINCE $": "ERR SINCE $ means 'from now on', which only BLOCK can wait for; give BLOCK too, or an id",
    "SINCE now": "ERR SINCE takes a message id such as 1732312345678-0, not 'now'",
    "BLOCK 5": "ERR BLOCK waits for a message after SINCE; give SINCE with an id, or with $ for 'from now on'",
    "RESERVE 0": "ERR RESERVE keeps a part of TOKENS free; give TOKENS too",
    "OVERSIZE SKIP": "ERR OVERSIZE says what becomes of a message that alone exceeds TOKENS; give TOKENS too",
    "TOKENS 1 OVERSIZE cut": "ERR OVERSIZE takes SKIP, TRUNCATE or ERROR, not 'CUT'",
    "ROLE": "ERR MEMREAD expects a role at the end of its arguments",
    "ROLE PEEK": "ERR ROLE takes one role or more of assistant, developer, system, tool, user, not 'PEEK'",
    "CONTEXT x": "ERR CONTEXT takes a JSON object: JSON is malformed: invalid character (byte 0)",
    "FORMAT": "ERR MEMREAD expects RESP, OPENAI or ANTHROPIC after FORMAT at the end of its arguments",
    "FORMAT xml": "ERR FORMAT takes RESP, OPENAI or ANTHROPIC, not 'XML'",
    "PEEK first": "ERR MEMREAD has no option 'FIRST'; "
    "it knows CONTEXT, TOKENS, RESERVE, OVERSIZE, COUNT, SINCE, BEFORE, ROLE, NOSUMMARY, FORMAT, BLOCK and PEEK",
}


@pytest.mark.parametrize("options", ERRORS)
def test_errors(options: str) -> None:
    """What is wrong with an option is said."""
    assert refused("MEMREAD", "k", *options.split()) == ERRORS[options]


def test_the_key() -> None:
    """A key is needed, and must be one."""
    assert refused("MEMREAD") == "ERR wrong number of arguments for 'memread' command"
    assert refused("MEMREAD", "").startswith("BADKEY ")


FIELDS = (
    '{"content":null,"name":"ann","tool_calls":[{"id":"a"}],"x":{"é":[1.5,true]},"n":7,"nothing":null,'
    '"id":"theirs","tokens":"theirs","role_":"x"}'
)


def test_reply() -> None:
    """The map has the summary, the messages with their further fields, and the figures; ids and tokens are ours."""
    messages = [StoredMessage("1-0", "user", "hi é", 10, None), StoredMessage("2-0", "assistant", "", 20, FIELDS)]
    check_both(
        "MEMREAD",
        ReadResult("so far", 5, messages, 8, 90, more=True, left_out=1),
        {
            "summary": "so far",
            "messages": [
                {"id": "1-0", "role": "user", "content": "hi é", "tokens": 10},
                {
                    "id": "2-0",
                    "role": "assistant",
                    "content": None,
                    "tokens": 20,
                    "name": "ann",
                    "tool_calls": '[{"id":"a"}]',
                    "x": '{"é":[1.5,true]}',
                    "n": "7",
                    "nothing": None,
                    "role_": "x",
                },
            ],
            "tokens": 35,
            "total-messages": 8,
            "total-tokens": 90,
            "more": True,
            "left-out": 1,
        },
    )


def test_parts() -> None:
    """Content that is a list of parts is its JSON."""
    parts = '[{"type":"text","text":"a b"}]'
    result = ReadResult(None, 0, [StoredMessage("1-0", "user", "", 1, f'{{"content":{parts}}}')], 1, 1, False, 0)
    assert received("MEMREAD", result, 3)["messages"] == [{"id": "1-0", "role": "user", "content": parts, "tokens": 1}]


def test_an_empty_memory() -> None:
    """An unknown memory is an empty one."""
    check_both(
        "MEMREAD",
        ReadResult(None, 0, [], 0, 0, more=False, left_out=0),
        {
            "summary": None,
            "messages": [],
            "tokens": 0,
            "total-messages": 0,
            "total-tokens": 0,
            "more": False,
            "left-out": 0,
        },
    )


def test_as_openai() -> None:
    """FORMAT OPENAI answers one bulk string, the same on both protocols."""
    result = ReadResult(None, 0, [StoredMessage("1-0", "user", "hi", 1, None)], 1, 1, False, 0, format="openai")
    check_both("MEMREAD", result, '[{"role":"user","content":"hi"}]')


def test_as_anthropic() -> None:
    """FORMAT ANTHROPIC answers one bulk string too."""
    result = ReadResult(None, 0, [StoredMessage("1-0", "user", "hi", 1, None)], 1, 1, False, 0, format="anthropic")
    check_both("MEMREAD", result, '{"messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}]}')


def test_the_context() -> None:
    """CONTEXT renders the key, wherever it stands."""
    request = parse("MEMREAD", "default:{{ a.b }}", "PEEK", "CONTEXT", '{"a": {"b": "c"}}')
    assert (request.memory.instance, request.touch) == ("c", False)
