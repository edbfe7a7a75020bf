"""What the formats of MEMREAD have in common: results behind their calls, and words for what cannot be shown."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.commands.chat_messages import TOOL_RESULT_HEADING, called, image_url_of, results_behind_calls, words_of
from tests.commands.conversations import Json, call, calling, result, stored

HI = {"role": "user", "content": "hi"}
NOTE = {"role": "system", "content": "note"}
SO = {"role": "assistant", "content": "so"}
A, B, AB = calling(call("a")), calling(call("b")), calling(call("a"), call("b"))
TWICE = {"role": "user", "content": TOOL_RESULT_HEADING + "42"}


def ordered(*messages: Json) -> list[Any]:
    return list(results_behind_calls([stored(message) for message in messages]))


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([], []),
        ([HI, SO], [HI, SO]),
        ([HI, A], [HI, A]),
        ([HI, A, result("a"), SO], [HI, A, result("a"), SO]),
        ([A, HI, result("a")], [A, result("a"), HI]),
        ([AB, result("b"), NOTE, result("a"), SO], [AB, result("b"), result("a"), NOTE, SO]),
        ([A, B, result("a"), result("b")], [A, result("a"), B, result("b")]),
        ([A, result("a"), A, HI, result("a", "43")], [A, result("a"), A, result("a", "43"), HI]),
        ([A, result("a"), result("a"), SO], [A, result("a"), TWICE, SO]),
        (
            [calling(call(""), call("")), result(""), HI, result("")],
            [calling(call(""), call("")), result(""), result(""), HI],
        ),
    ],
    ids=str,
)
def test_results_stand_behind_their_calls(messages: list[Json], expected: list[Json]) -> None:
    """Each result stands behind the nearest call that had none, whatever was said between; the rest keeps its order."""
    assert ordered(*messages) == [stored(message) for message in expected]


def test_results_without_their_calls() -> None:
    """Before any answer, results whose calls are not there stand first, as results; later ones are told in words."""
    assert ordered(HI, result("a"), SO, result("b")) == [
        stored(message) for message in (result("a"), HI, SO, {"role": "user", "content": TOOL_RESULT_HEADING + "42"})
    ]


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ({"content": "42"}, TOOL_RESULT_HEADING + "42"),
        ({"content": "42", "tool_call_id": None, "x": 1}, TOOL_RESULT_HEADING + "42"),
        ({"content": None}, TOOL_RESULT_HEADING),
        (
            {"content": [{"type": "text", "text": "42"}]},
            [{"type": "text", "text": TOOL_RESULT_HEADING}, {"type": "text", "text": "42"}],
        ),
    ],
)
def test_a_result_of_no_call(message: Json, told: Any) -> None:
    """A tool message that names no call becomes a user's that says what it is."""
    assert ordered({"role": "tool", **message}) == [stored({"role": "user", "content": told})]


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"type": "text", "text": "hi"}, "hi"),
        ({"type": "output_text", "text": ""}, ""),
        ({"type": "refusal", "refusal": "no"}, "no"),
        ({"type": "text", "text": 5}, "[text: not shown here]"),
        ({"type": "input_audio", "input_audio": {}}, "[input_audio: not shown here]"),
        ({"type": "file", "file": {"filename": "a.zip"}}, "[file a.zip: not shown here]"),
        ({"type": "input_file", "filename": "a.zip"}, "[input_file a.zip: not shown here]"),
        ({"type": "file", "file": 5}, "[file: not shown here]"),
    ],
)
def test_words(part: Json, words: str) -> None:
    """A text is its own words; of any other part they say what it is."""
    assert words_of(part) == words


@pytest.mark.parametrize(
    ("part", "url"),
    [
        ({"image_url": {"url": "u"}}, "u"),
        ({"image_url": "u"}, "u"),
        ({"image_url": {"url": 5}}, None),
        ({"image_url": ""}, None),
        ({}, None),
    ],
)
def test_images(part: Json, url: str | None) -> None:
    """The URL of an image is found in both forms in which it is written."""
    assert image_url_of(part) == url


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (call("a", "f", "{}"), ("f", "{}")),
        ({"custom": {"name": "f", "input": "text"}}, ("f", "text")),
        ({"function": {}}, (None, None)),
        ({"function": 5}, (None, None)),
    ],
)
def test_what_is_called(given: Json, expected: tuple[object, object]) -> None:
    """Name and arguments are found in both kinds of tool call."""
    assert called(given) == expected
