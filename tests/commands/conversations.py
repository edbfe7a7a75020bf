"""Conversations as clients write them, odd ones too, and the way that they take to a format of MEMREAD.

They pass `read_json` on their way in and `without_orphans` on their way out, as those of a memory do.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from sidecar.commands.messages import read_json, with_metadata
from sidecar.memory.results import ReadResult
from sidecar.memory.stored_message import StoredMessage
from sidecar.memory.window import without_orphans

Json = dict[str, Any]


def stored(message: Json, metadata: Json | None = None) -> StoredMessage:
    """A message as it comes back from Redis after it was appended."""
    read = read_json(json.dumps(message).encode(), 1)
    if metadata:
        read = with_metadata(read, metadata)
    return StoredMessage("1-0", read.role, read.content, 1, read.fields or None)


def found(messages: list[StoredMessage], summary: str | None = None) -> ReadResult:
    """What a read of a memory with these messages finds."""
    return ReadResult(summary, 1, without_orphans(messages), 1, 1, False, 0)


def call(id_: str, name: str = "f", arguments: str = "{}") -> Json:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


def calling(*calls: Json, content: str | None = None) -> Json:
    return {"role": "assistant", "content": content, "tool_calls": list(calls)}


def result(id_: str, content: Any = "42") -> Json:
    return {"role": "tool", "tool_call_id": id_, "content": content}


TEXTS = st.one_of(st.text(st.characters(codec="utf-8"), max_size=8), st.sampled_from(["", " ", "\n", "so \n", "a b"]))
IDS = st.sampled_from(["a", "a b", "a.b", "a_b", "a_b_2", "", "é", "call_1", "x" * 41, "x" * 31 + "y" * 20])
VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False), TEXTS
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=5,
)
URLS = st.one_of(
    TEXTS,
    st.sampled_from(
        [
            "https://x/y.png",
            "http://x/y",
            "data:image/png;base64,AAAA",
            "data:image/jpg;base64,AAAA",
            "data:image/png;base64,",
            "data:IMAGE/WEBP;base64,AAAA",
            "data:image/bmp;base64,AAAA",
            "data:application/pdf;base64,AAAA",
        ]
    ),
)
FILES = st.fixed_dictionaries({}, optional={"file_data": URLS, "file_id": TEXTS, "filename": TEXTS, "extra": VALUES})
PARTS = st.one_of(
    st.fixed_dictionaries({"type": st.just("text"), "text": TEXTS}, optional={"cache_control": VALUES}),
    st.fixed_dictionaries({"type": st.just("refusal"), "refusal": TEXTS}),
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["image_url", "input_image"]),
            "image_url": st.one_of(
                URLS, st.fixed_dictionaries({"url": URLS}, optional={"detail": VALUES, "x": VALUES})
            ),
        }
    ),
    st.fixed_dictionaries({"type": st.just("file"), "file": st.one_of(FILES, VALUES)}),
    st.fixed_dictionaries(
        {
            "type": st.just("input_audio"),
            "input_audio": st.fixed_dictionaries(
                {"data": VALUES}, optional={"format": st.sampled_from(["wav", "mp3", "ogg", None])}
            ),
        }
    ),
    st.fixed_dictionaries({"type": TEXTS}, optional={"text": VALUES, "refusal": VALUES, "source": VALUES}),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["text", "refusal", "image_url", "image", "file", "input_file", "input_audio"])},
        optional={"text": VALUES, "prompt_cache_breakpoint": VALUES, "image_url": VALUES, "file": VALUES},
    ),
)
CONTENTS = st.one_of(TEXTS, TEXTS, st.none(), st.lists(PARTS, max_size=3))
UNKNOWN = st.dictionaries(
    TEXTS.filter(lambda name: name not in ("role", "content", "name", "tool_calls", "tool_call_id")), VALUES, max_size=2
)
KNOWN = st.fixed_dictionaries(
    {},
    optional={
        "name": st.one_of(TEXTS, st.none(), st.just("n" * 70)),
        "refusal": VALUES,
        "audio": st.one_of(VALUES, st.fixed_dictionaries({"id": TEXTS, "data": TEXTS})),
        "function_call": st.one_of(VALUES, st.fixed_dictionaries({"name": VALUES, "arguments": VALUES})),
    },
)
ARGUMENTS = st.one_of(
    VALUES,
    st.dictionaries(TEXTS, VALUES, max_size=2).map(json.dumps),
    st.sampled_from(["", "[1]", "no JSON", '{"x":1e400}', '{"x":"\\ud800"}', '{"x":' * 500 + "1" + "}" * 500]),
)
NAMES = st.one_of(TEXTS, st.sampled_from(["get_weather", "a.b", "n" * 200]), st.none())
CALLS = st.one_of(
    st.builds(lambda name, given: {"function": {"name": name, "arguments": given}}, NAMES, ARGUMENTS),
    st.builds(lambda name, given: {"type": "custom", "custom": {"name": name, "input": given}}, NAMES, ARGUMENTS),
    st.builds(lambda kind, more: {"type": kind, **more}, VALUES, st.dictionaries(st.just("function"), VALUES)),
    st.builds(lambda name: {**call("", name), "index": 0}, NAMES),
)


@st.composite
def plain(draw: st.DrawFn) -> Json:
    """A message that makes no call, of a tool one that names none."""
    role = draw(st.sampled_from(["system", "developer", "user", "user", "assistant", "assistant", "tool"]))
    return {**draw(UNKNOWN), **draw(KNOWN), "role": role, "content": draw(CONTENTS)}


@st.composite
def tool_round(draw: st.DrawFn) -> list[Json]:
    """Calls and results in any order, some of them missing, late, or there twice, and what was said meanwhile."""
    ids = draw(st.lists(IDS, min_size=1, max_size=3, unique=True))
    calls = [{**draw(CALLS), "id": id_} for id_ in ids]
    answers = draw(st.permutations([*ids, *draw(st.lists(st.sampled_from(ids), max_size=1))]))
    answers = answers[draw(st.sampled_from([0, 0, 0, 1])) :]
    results = [{**draw(UNKNOWN), "role": "tool", "tool_call_id": id_, "content": draw(CONTENTS)} for id_ in answers]
    if draw(st.integers(0, 3)) == 0:
        results.insert(draw(st.integers(0, len(results))), draw(plain()))
    return [{**draw(UNKNOWN), "role": "assistant", "content": draw(CONTENTS), "tool_calls": calls}, *results]


METADATA = st.one_of(st.none(), st.dictionaries(TEXTS, VALUES, min_size=1, max_size=2))


@st.composite
def conversations(draw: st.DrawFn) -> list[StoredMessage]:
    """The stored messages of a conversation."""
    steps = draw(st.lists(st.one_of(plain().map(lambda message: [message]), tool_round()), max_size=4))
    return [stored(message, draw(METADATA)) for step in steps for message in step]
