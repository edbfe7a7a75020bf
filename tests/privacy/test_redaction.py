"""A policy carried out: wherever it stands in a message, nothing else, and never half."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.commands.messages import from_fields, read_json
from sidecar.errors import PrivacyFailed
from sidecar.memory.definition import PrivacyPolicy, RedactionPattern
from sidecar.memory.message import Message
from sidecar.privacy.builtin import BUILTIN_SETS
from sidecar.privacy.redaction import Redactor

ALL = Redactor(PrivacyPolicy(redact=BUILTIN_SETS), rebuild=from_fields)
MAIL = "bob@example.com"


def redacted(message: dict[str, Any], redactor: Redactor = ALL) -> tuple[dict[str, Any], dict[str, int]]:
    """Return a message as it would be stored, and what was found."""
    kept, found = redactor.redact(read_json(json.dumps(message).encode(), 1))
    fields = json.loads(kept.fields) if kept.fields else {}
    return {"role": kept.role, "content": kept.content} | fields, dict(found)


def test_nothing_to_find() -> None:
    """A message without anything comes back as it is, the very object."""
    for message in (Message("user", "hi"), read_json(b'{"role":"user","content":[{"type":"text","text":"x"}]}', 1)):
        kept, found = ALL.redact(message)
        assert kept is message
        assert not found


def test_contents() -> None:
    """Contents are searched, as text and as parts; what counts as tokens is what is stored."""
    assert redacted({"role": "user", "content": f"{MAIL}, {MAIL}"}) == (
        {"role": "user", "content": "[email], [email]"},
        {"email": 2},
    )
    parts = [{"type": "text", "text": MAIL}, {"type": "image_url", "image_url": {"url": f"https://x/?{MAIL}"}}]
    kept, _ = ALL.redact(read_json(json.dumps({"role": "user", "content": parts}).encode(), 1))
    assert kept.counted == ("[email]",)
    assert kept.images == 1
    assert MAIL not in kept.fields


def test_fields() -> None:
    """Every text at any depth is searched, names of fields too; what ties messages together stays."""
    message = {
        "role": "user",
        "content": "x",
        "name": MAIL,
        "metadata": {MAIL: [1, None, {"deep": MAIL}], "id": MAIL, "type": MAIL},
        "tool_call_id": MAIL,
    }
    kept, found = redacted(message)
    assert kept == {
        "role": "user",
        "content": "x",
        "name": "[email]",
        "metadata": {"[email]": [1, None, {"deep": "[email]"}], "id": MAIL, "type": MAIL},
        "tool_call_id": MAIL,
    }
    assert found == {"email": 3}


def test_files_are_not_searched() -> None:
    """An encoded file is no text, and stays whole."""
    parts = [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{MAIL}"}},
        {"type": "input_audio", "input_audio": {"data": MAIL, "format": "wav"}},
        {"type": "file", "file": {"file_data": MAIL, "file_id": MAIL}},
    ]
    message = {"role": "user", "content": parts}
    assert redacted(message) == (message, {})


def test_what_only_looks_like_a_file() -> None:
    """A text that begins as a file's address does, and a field that is called as a file's, are searched."""
    parts = [
        {"type": "text", "text": f"data: {MAIL}"},
        {"type": "image_url", "image_url": {"url": f"data:text/plain,{MAIL}"}},
    ]
    message = {"role": "user", "content": parts, "note": f"data:x;base64,{MAIL}", "metadata": {"data": MAIL}}
    kept, found = redacted(message)
    assert MAIL not in json.dumps(kept)
    assert found == {"email": 4}


def call(arguments: str, name: str = "send") -> dict[str, Any]:
    calls = [{"id": MAIL, "type": "function", "function": {"name": name, "arguments": arguments}}]
    return {"role": "assistant", "content": "", "tool_calls": calls}


@pytest.mark.parametrize(
    ("arguments", "stored"),
    [
        ('{"to": "bob@example.com"}', '{"to":"[email]"}'),
        (r'{"to": "bob\u0040example.com"}', '{"to":"[email]"}'),
        (r'["{\"a\": \"bob@example.com\"}"]', r'["{\"a\": \"[email]\"}"]'),
        ("no JSON bob@example.com", "no JSON [email]"),
        ('{"n": 5,  "x": "y"}', '{"n": 5,  "x": "y"}'),
        ("", ""),
        ('{"id": "bob@example.com"}', '{"id":"[email]"}'),
        ('{"x": {"data": "bob@example.com", "format": "x"}}', '{"x":{"data":"[email]","format":"x"}}'),
    ],
)
def test_arguments_of_calls(arguments: str, stored: str) -> None:
    """JSON in a text is searched by what it says, whatever its escapes; where nothing is found not a blank changes."""
    kept, found = redacted(call(arguments))
    assert kept == call(stored)
    assert found == ({"email": 1} if stored != arguments else {})


def test_numbers() -> None:
    """A card's number need not stand in quotes, in the arguments of a call or elsewhere; other numbers stay."""
    kept, found = redacted({"role": "user", "content": "x", "metadata": {"card": 4111111111111111, "n": 12345678901}})
    assert kept["metadata"] == {"card": "[card]", "n": 12345678901}
    assert found == {"card": 1}
    assert redacted(call('{"card": 4111111111111111}')) == (call('{"card":"[card]"}'), {"card": 1})


def test_names_with_the_same_replacement() -> None:
    """No field is lost because what stands in place of its name is the name of another."""
    metadata = {MAIL: 1, f"a{MAIL}": 2, "[email]": 3}
    kept, _ = redacted({"role": "user", "content": "x", "metadata": metadata})
    assert sorted(kept["metadata"].values()) == [1, 2, 3]
    assert MAIL not in json.dumps(kept)


def test_names_of_functions_stay() -> None:
    """What a function is called is no text of a conversation."""
    assert redacted(call("{}", name="bob@example.com"))[1] == {}


POLICY = PrivacyPolicy(
    redact=("email",),
    patterns=(RedactionPattern("badge", r"B-\d{4}"), RedactionPattern("name", r"(?:Mr|Ms) (\w+)", "X")),
    replacement="<{kind}>",
)


def test_own_patterns() -> None:
    """A user's own patterns have their own names and replacements; of a group, that alone is taken out."""
    redactor = Redactor(POLICY, rebuild=from_fields)
    assert redacted({"role": "user", "content": f"B-1234 of Mr Smith, {MAIL}"}, redactor) == (
        {"role": "user", "content": "<badge> of Mr X, <email>"},
        {"badge": 1, "name": 1, "email": 1},
    )


def test_overlaps() -> None:
    """Of finds that overlap the first begins and all that any covers is gone; a replacement is not searched again."""
    patterns = tuple(RedactionPattern(name, regex) for name, regex in (("b", "23456"), ("a", "1234"), ("r", "[[]a]")))
    redactor = Redactor(PrivacyPolicy(patterns=patterns), rebuild=from_fields)
    assert redacted({"role": "user", "content": "0123456789 234567"}, redactor) == (
        {"role": "user", "content": "0[a]789 [b]7"},
        {"a": 1, "b": 1},
    )


def test_it_fails_closed() -> None:
    """Whatever goes wrong is PRIVACY, tells the step and the kind, and nothing of the message, nor does its cause."""

    def rebuild(fields: dict[str, Any]) -> Message:
        raise ValueError(f"a secret: {fields}")

    redactor = Redactor(PrivacyPolicy(redact=("email",)), rebuild=rebuild)
    broken = Message("user", MAIL, fields='{"broken')
    for message in (broken, read_json(json.dumps(call('{"to":"bob@example.com"}')).encode(), 1)):
        with pytest.raises(PrivacyFailed) as problem:
            redactor.redact(message)
        assert problem.value.reply().startswith("PRIVACY redaction failed (")
        assert MAIL not in str(problem.value)
        assert problem.value.__cause__ is None
        assert problem.value.__suppress_context__
    deep = Message("user", "", fields='{"x":' + "[" * 500 + "]" * 500 + "}")
    with pytest.raises(PrivacyFailed):
        redactor.redact(deep)


TEXTS = st.lists(
    st.sampled_from(
        [MAIL, "10.0.0.1", "4111 1111 1111 1111", "word", "é🙂", "[email]", "+49 170 1234567", "7", ", ", " "]
    ),
    max_size=8,
).map("".join)


@given(TEXTS)
def test_twice_is_once(text: str) -> None:
    """What was redacted is not changed by redacting it again."""
    once, _ = ALL.redact(Message("user", text))
    again, found = ALL.redact(once)
    assert again.content == once.content
    assert not found


@given(st.text(st.characters(exclude_categories=["Nd", "Cs"], exclude_characters="@:."), max_size=60))
def test_texts_without_candidates(text: str) -> None:
    """A text in which nothing can be stays as it is."""
    message = Message("user", text)
    assert ALL.redact(message)[0] is message
