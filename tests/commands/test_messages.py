"""Messages as clients write them: pairs and JSON, with every special case of the contract."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.commands.arguments import Arguments
from sidecar.commands.messages import MAX_NESTING, read_json, read_messages
from sidecar.errors import BadMessage, CommandError, SyntaxProblem
from sidecar.memory.message import Message


def read(*items: bytes) -> list[Message]:
    return read_messages(Arguments("MEMAPPEND", list(items)))


def error(*items: bytes) -> str:
    with pytest.raises(CommandError) as problem:
        read(*items)
    return problem.value.reply()


class TestPairs:
    def test_several(self) -> None:
        """Pairs become messages in their order."""
        assert read(b"user", b"hi", b"assistant", b"hello", b"user", b"") == [
            Message("user", "hi"),
            Message("assistant", "hello"),
            Message("user", ""),
        ]

    @pytest.mark.parametrize("role", ["system", "developer", "user", "assistant", "tool"])
    def test_roles(self, role: str) -> None:
        """Each role is known, in any case."""
        assert read(role.encode(), b"x", role.upper().encode(), b"y", role.title().encode(), b"z") == [
            Message(role, text) for text in "xyz"
        ]

    @pytest.mark.parametrize(
        "content",
        ["", " ", "<|endoftext|>", "🦊🏳️‍🌈", "a\0b\r\n", "JSON", "ﷺ" * 10, "\ufeff", "\U0010ffff", "x" * 1_000_000],
        ids=lambda content: content[:12],
    )
    def test_contents(self, content: str) -> None:
        """Any UTF-8 is content, and is kept as it is."""
        assert read(b"user", content.encode()) == [Message("user", content)]

    @pytest.mark.parametrize(
        ("items", "line"),
        [
            ([], "ERR wrong number of arguments for 'memappend' command"),
            ([b"user"], "ERR messages are pairs of role and content, but the last one, 'user', has no content"),
            (
                [b"user", b"x", b"to\r\nol"],
                "ERR messages are pairs of role and content, but the last one, 'to??ol', has no content",
            ),
            (
                [b"user", b"x", b"robot", b"y"],
                "BADMESSAGE role of message 2 is 'robot'; it must be one of assistant, developer, system, tool, user",
            ),
            (
                [b"", b"y"],
                "BADMESSAGE role of message 1 is ''; it must be one of assistant, developer, system, tool, user",
            ),
            (
                [b"\xff" * 100, b"y"],
                f"BADMESSAGE role of message 1 is '{chr(0xFFFD) * 64}'; "
                "it must be one of assistant, developer, system, tool, user",
            ),
            (
                [b"user", b"ok", b"user", b"ab\xffcd"],
                "BADMESSAGE the content of message 2 is not UTF-8: byte 0xff at offset 2; send text as UTF-8",
            ),
            (
                [b"user", b"\xed\xa0\x80"],
                "BADMESSAGE the content of message 1 is not UTF-8: byte 0xed at offset 0; send text as UTF-8",
            ),
            (
                [b"user", "é".encode()[:1]],
                "BADMESSAGE the content of message 1 is not UTF-8: byte 0xc3 at offset 0; send text as UTF-8",
            ),
        ],
    )
    def test_errors(self, items: list[bytes], line: str) -> None:
        """What is wrong is said with the message's number, counted from 1, and what is expected."""
        assert error(*items) == line


class TestJson:
    def test_the_plain_form(self) -> None:
        """Role and content alone are the same message as a pair."""
        assert read(b"JSON", b'{"role":"user","content":"hi"}', b'{"content":"<|endoftext|>","role":"tool"}') == [
            Message("user", "hi"),
            Message("tool", "<|endoftext|>"),
        ]
        assert read(b"json", b'{"role":"user","content":""}') == [Message("user", "")]

    def test_escapes(self) -> None:
        """Escapes and surrogate pairs become the characters that they stand for."""
        item = b'{"role":"user","content":"\\ud83e\\udd8a \\u0000 \\n"}'
        assert read(b"JSON", item) == [Message("user", "🦊 \0 \n")]

    @pytest.mark.parametrize("item", [b'{"role":"assistant","content":null}', b'{"role":"assistant"}'])
    def test_no_content(self, item: bytes) -> None:
        """Null content, or none, is an empty text, and is given back as null."""
        assert read(b"JSON", item) == [Message("assistant", "", '{"content":null}')]

    def test_a_name(self) -> None:
        """A name is kept, counts as tokens, and is marked for its overhead."""
        assert read(b"JSON", b'{"role":"user","content":"hi","name":"Ada"}') == [
            Message("user", "hi", '{"name":"Ada"}', ("Ada",), named=True)
        ]

    def test_tool_calls(self) -> None:
        """Tool calls count as compact JSON, whatever their spacing was; the result names its call."""
        calls = '[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\\"a\\": 1}"}}]'
        spaced = f'{{ "role": "assistant", "content": null, "tool_calls": {calls.replace(",", " , ")} }}'.encode()
        result = b'{"role":"tool","tool_call_id":"c1","content":"42"}'
        assert read(b"JSON", spaced, result) == [
            Message("assistant", "", f'{{"content":null,"tool_calls":{calls}}}', (calls,)),
            Message("tool", "42", '{"tool_call_id":"c1"}'),
        ]

    def test_empty_tool_calls(self) -> None:
        """An empty list of calls counts nothing."""
        assert read(b"JSON", b'{"role":"assistant","content":"x","tool_calls":[]}') == [
            Message("assistant", "x", '{"tool_calls":[]}')
        ]

    def test_parts(self) -> None:
        """Texts of parts count, other media are numbered, a part of an unknown kind counts as its JSON."""
        parts = [
            {"type": "text", "text": "look"},
            {"type": "image_url", "image_url": {"url": "data:x"}},
            {"type": "image", "source": {}},
            {"type": "input_image", "image_url": "x"},
            {"type": "input_audio", "input_audio": {"data": "x", "format": "wav"}},
            {"type": "audio", "id": "x"},
            {"type": "refusal", "refusal": "no"},
            {"type": "file", "file": {"file_id": "f"}},
            {"type": "text", "text": 5},
        ]
        (message,) = read(b"JSON", json.dumps({"role": "user", "content": parts}).encode())
        assert message.content == ""
        assert json.loads(message.fields) == {"content": parts}
        assert (message.images, message.audios, message.files) == (3, 2, 1)
        assert message.counted == ("look", "no", '{"type":"text","text":5}')

    def test_fields_are_kept(self) -> None:
        """Fields that are not known are kept with their values, large numbers and nested ones too."""
        fields = {"refusal": None, "x": {"y": [1, 2.5, True, "ü"]}, "n": 12345678901234567890123, "": "empty name"}
        (message,) = read(b"JSON", json.dumps({"role": "user", "content": "c", **fields}).encode())
        assert json.loads(message.fields) == fields
        assert message.counted == ()

    def test_a_repeated_field(self) -> None:
        """Of a field that stands twice, the last one holds, as everywhere."""
        assert read(b"JSON", b'{"role":"user","content":"a","content":"b"}') == [Message("user", "b")]

    BAD_ROLE = "it must be one of assistant, developer, system, tool, user"
    BAD_CALLS = "BADMESSAGE tool_calls of message 1 must be a list of objects that each have a string 'id'"
    BAD_PART = "BADMESSAGE each part of message 1's content must be an object with a string 'type'"

    @pytest.mark.parametrize(
        ("item", "line"),
        [
            (b'{"content":"x"}', f"BADMESSAGE role of message 1 is 'missing or not a string'; {BAD_ROLE}"),
            (b'{"role":5,"content":"x"}', f"BADMESSAGE role of message 1 is 'missing or not a string'; {BAD_ROLE}"),
            (b'{"role":"User","content":"x"}', f"BADMESSAGE role of message 1 is 'User'; {BAD_ROLE}"),
            (
                b'{"role":"%b"}' % (b"\\n" * 1_000_000),
                f"BADMESSAGE role of message 1 is '{'?' * 64}'; {BAD_ROLE}",
            ),
            (b'{"role":"function","content":"x"}', f"BADMESSAGE role of message 1 is 'function'; {BAD_ROLE}"),
            (
                b'{"role":"user","content":5}',
                "BADMESSAGE the content of message 1 must be a string, null or a list of parts",
            ),
            (
                b'{"role":"user","content":{}}',
                "BADMESSAGE the content of message 1 must be a string, null or a list of parts",
            ),
            (b'{"role":"user","content":["x"]}', BAD_PART),
            (b'{"role":"user","content":[{"text":"x"}]}', BAD_PART),
            (b'{"role":"user","content":[{"type":1}]}', BAD_PART),
            (b'{"role":"user","content":"x","name":5}', "BADMESSAGE the name of message 1 must be a string"),
            (b'{"role":"assistant","content":"x","tool_calls":{}}', BAD_CALLS),
            (b'{"role":"assistant","content":"x","tool_calls":[{"id":1}]}', BAD_CALLS),
            (b'{"role":"assistant","content":"x","tool_calls":["c"]}', BAD_CALLS),
            (
                b'{"role":"user","content":"x","tool_calls":[]}',
                "BADMESSAGE message 1 has tool_calls, which only the role assistant may have",
            ),
            (
                b'{"role":"tool","content":"x","tool_call_id":7}',
                "BADMESSAGE tool_call_id of message 1 must be a string",
            ),
        ],
    )
    def test_errors(self, item: bytes, line: str) -> None:
        """What is wrong with an object is said with the field's name and what is expected."""
        assert error(b"JSON", item) == line

    @pytest.mark.parametrize(
        "item",
        [
            b"",
            b"{",
            b"x",
            b"[]",
            b'"text"',
            b"null",
            b'{"role":"user","content":"x"} y',
            b'{"role":"user","content":"\\ud800"}',
            b'{"role":"user","content":"\xff"}',
            b'{"role":"user","content":"x","n":NaN}',
            b'{"role":"user","content":"x","n":1e999}',
            b'\xef\xbb\xbf{"role":"user","content":"x"}',
            b"{'role':'user'}",
        ],
    )
    def test_no_json_object(self, item: bytes) -> None:
        """What is no JSON object, or holds a lone surrogate or other bytes than UTF-8, is refused with its number."""
        good = b'{"role":"user","content":"x"}'
        assert error(b"JSON", good, item).startswith("BADMESSAGE message 2 is not a JSON object: ")

    def test_nothing_after_json(self) -> None:
        """JSON alone is a mistake."""
        assert error(b"JSON") == "ERR JSON expects at least one message after it"

    @pytest.mark.parametrize("depth", [MAX_NESTING, 500, 5_000, 100_000])
    def test_deep_nesting(self, depth: int) -> None:
        """An object that is nested too deeply is refused, in whatever field, and the process lives."""
        nested = b"[" * depth + b"]" * depth
        for item in (b'{"role":"user","content":"x","deep":%b}' % nested, b'{"a":' * depth + b"1" + b"}" * depth):
            line = error(b"JSON", item)
            if item.startswith(b'{"role"'):
                assert line == f"BADMESSAGE message 1 is nested more than {MAX_NESTING} levels deep; flatten it"

    def test_the_deepest_nesting(self) -> None:
        """One level less is kept, and so are many brackets that are not nested."""
        depth = MAX_NESTING - 1
        deep = b'{"role":"user","content":"x","deep":%b}' % (b"[" * depth + b"]" * depth)
        wide = b'{"role":"user","content":"x","wide":[%b]}' % b",".join([b"[]"] * 1_000)
        assert [len(message.fields) for message in read(b"JSON", deep, wide)] == [9 + 2 * depth, 11 + 2_999]


@settings(deadline=None)
@given(st.dictionaries(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")), max_size=5))
def test_any_fields_come_back(fields: dict[str, str]) -> None:
    """Whatever string fields a message has, all of them are kept."""
    fields = {name: value for name, value in fields.items() if name not in ("role", "content", "tool_calls")}
    message = read_json(json.dumps({"role": "user", "content": "c", **fields}).encode(), 1)
    assert (json.loads(message.fields) if message.fields else {}) == fields


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_no_bytes_break_it(item: bytes) -> None:
    """Arbitrary bytes are a message or an error of the caller, nothing else."""
    for items in ([b"JSON", item], [b"user", item], [item, b"x"], [item]):
        try:
            outcome = str(read(*items))
        except (BadMessage, SyntaxProblem) as problem:
            outcome = problem.reply()
        assert "\n" not in outcome
        assert len(outcome) < 1_000
