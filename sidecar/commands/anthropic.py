"""Writes a read's result as `system` and `messages` of a request to Anthropic's Messages API.

What that API wants, and OpenAI's chat format does not (https://docs.anthropic.com/en/api/messages): instructions stand
apart, in `system`; turns of user and assistant alternate, and the first is a user's; the results of tools are blocks of
the user turn right behind the calls, before any text of it; no text block is empty; a final assistant turn ends without
white space. Ids and names of tools hold only letters, digits, `_` and `-`, and no id is there twice; others are mapped,
on both sides alike. The names of participants have no place there.

A conversation that ends with tool calls whose results are still to come is written as it is, and so are results before
any call, which a read with SINCE begins with: whoever runs the tools has the other half, and puts it there before the
request is sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from sidecar.commands.chat_messages import called, content_of, fields_of, image_url_of, results_behind_calls, words_of
from sidecar.commands.messages import MAX_NESTING
from sidecar.memory.message import PROTECTED_ROLES, SUMMARY_HEADING
from sidecar.memory.results import ReadResult
from sidecar.memory.stored_message import StoredMessage

FIRST_TURN = "(The conversation so far begins here.)"
"""Stands where a conversation begins with the assistant, which the API refuses."""

LONGEST_TOOL_NAME = 128
LONGEST_TITLE = 500
"""Characters of a document's title; the API refuses more."""

Block = dict[str, Any]

_BAD_IN_NAME = re.compile(r"[^a-zA-Z0-9_-]")
_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+);base64,(?=.)", re.ASCII | re.IGNORECASE)
_IMAGE_TYPES = {kind: kind for kind in ("image/jpeg", "image/png", "image/gif", "image/webp")} | {
    "image/jpg": "image/jpeg"  # no type of its own, but often written, and OpenAI takes it
}

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def to_anthropic(result: ReadResult) -> bytes:
    """Return a JSON object with `messages`, and with `system` where there are instructions or a summary.

    `system` is a list of text blocks, one per instruction, so that a caller may put `cache_control` on one of them.
    """
    system: list[Block] = []
    spoken: list[StoredMessage] = []
    for message in result.messages:
        if message.role in PROTECTED_ROLES:
            system.extend(_blocks(message, fields_of(message)))
        else:
            spoken.append(message)
    if result.summary:
        system.append(_text(SUMMARY_HEADING + result.summary))
    turns = _Turns()
    for message in results_behind_calls(spoken):
        turns.add(message)
    request: dict[str, Any] = {"system": system} if system else {}
    request["messages"] = turns.finished()
    return _encode(request)


class _Turns:
    """Gathers the turns of a conversation whose results stand right behind their calls, so first in their turn."""

    def __init__(self) -> None:
        self._turns: list[dict[str, Any]] = []
        self._taken: set[str] = set()
        self._open: dict[str, list[str]] = {}  # id of the last calls -> what stands for it, in order

    def add(self, message: StoredMessage) -> None:
        """Add a message to the turn of its role, the last one or a new one."""
        if message.fields is None:  # nearly all of them
            if message.content.strip():
                self._append(message.role, (_text(message.content),))
            return
        fields = fields_of(message)
        if message.role == "tool":
            self._append("user", (self._result(message, fields),))
        elif message.role == "assistant":
            self._append("assistant", (*_blocks(message, fields), *self._calls(fields)))
        else:
            self._append("user", _blocks(message, fields))

    def finished(self) -> list[dict[str, Any]]:
        """Return the turns as the API takes them."""
        if self._turns and self._turns[0]["role"] == "assistant":
            self._turns.insert(0, {"role": "user", "content": [_text(FIRST_TURN)]})
        if self._turns and self._turns[-1]["role"] == "assistant":
            last = self._turns[-1]["content"][-1]
            if last["type"] == "text":
                last["text"] = last["text"].rstrip()
        return self._turns

    def _append(self, role: str, blocks: Iterable[Block]) -> None:
        if self._turns and self._turns[-1]["role"] == role:
            self._turns[-1]["content"].extend(blocks)
        elif content := list(blocks):
            self._turns.append({"role": role, "content": content})

    def _calls(self, fields: Mapping[str, Any]) -> list[Block]:
        calls = fields.get("tool_calls") or ()
        if calls:
            self._open = {}
        return [
            {
                "type": "tool_use",
                "id": self._id(call["id"]),
                "name": _name(called(call)[0]),
                "input": _input(called(call)[1]),
            }
            for call in calls
        ]

    def _id(self, call: str) -> str:
        """Return the id of a call, its own where the API takes that and no earlier call has it."""
        wanted = _valid_id(call)
        given, number = wanted, 1
        while given in self._taken:
            number += 1
            given = f"{wanted}_{number}"
        self._taken.add(given)
        self._open.setdefault(call, []).append(given)
        return given

    def _result(self, message: StoredMessage, fields: Mapping[str, Any]) -> Block:
        answered: str = fields["tool_call_id"]
        given = self._open.get(answered)
        block: Block = {"type": "tool_result", "tool_use_id": given.pop(0) if given else _valid_id(answered)}
        if content := _blocks(message, fields, may_show=True):
            block["content"] = content
        return block


def _blocks(message: StoredMessage, fields: Mapping[str, Any], *, may_show: bool | None = None) -> list[Block]:
    """Return the blocks of a message's content, none of them empty; an assistant's refusal is its content.

    Args:
        message: as it is stored.
        fields: what it carries besides.
        may_show: whether images and documents may be there; None: if the message is a user's.
    """
    content = content_of(message, fields)
    if not content and message.role == "assistant" and isinstance(fields.get("refusal"), str):
        content = fields["refusal"]
    if isinstance(content, str):
        return [_text(content)] if content.strip() else []
    if not isinstance(content, list):
        return []
    shows = message.role == "user" if may_show is None else may_show
    blocks = ((_shown(part) if shows else None) or _text(words_of(part)) for part in content)
    return [block for block in blocks if block["type"] != "text" or block["text"].strip()]


def _shown(part: Mapping[str, Any]) -> Block | None:
    """Return a part that is no text, which instructions and the assistant may not have, or None if the API has none."""
    if part["type"] in ("image_url", "input_image"):
        return _image(image_url_of(part) or "")
    if part["type"] in ("file", "input_file"):
        return _document(part.get("file", part))
    return None


def _image(url: str) -> Block | None:
    data = _DATA_URL.match(url)
    if data and (kind := _IMAGE_TYPES.get(data[1].lower())):
        return {"type": "image", "source": {"type": "base64", "media_type": kind, "data": url[data.end() :]}}
    if url.startswith(("https://", "http://")):
        return {"type": "image", "source": {"type": "url", "url": url}}
    return None


def _document(file: object) -> Block | None:
    data, title = (file.get("file_data"), file.get("filename")) if isinstance(file, Mapping) else (None, None)
    found = _DATA_URL.match(data) if isinstance(data, str) else None
    if not isinstance(data, str) or not found or found[1].lower() != "application/pdf":
        return None
    source = {"type": "base64", "media_type": "application/pdf", "data": data[found.end() :]}
    named = {"title": title[:LONGEST_TITLE]} if isinstance(title, str) and title else {}
    return {"type": "document", "source": source, **named}


def _valid_id(given: str) -> str:
    return _BAD_IN_NAME.sub("_", given) or "call"


def _name(name: object) -> str:
    return _BAD_IN_NAME.sub("_", name)[:LONGEST_TOOL_NAME] if isinstance(name, str) and name else "unknown"


def _input(arguments: object) -> dict[str, Any]:
    """Return the arguments of a call as the object that the API wants; what is none becomes its only member."""
    if isinstance(arguments, str):
        try:
            value = _decode(arguments)
        except (msgspec.DecodeError, RecursionError):
            return {"arguments": arguments} if arguments else {}
        if not _is_flat(value, MAX_NESTING):  # whoever reads the request must get through it
            return {"arguments": arguments}
        arguments = value
    if arguments is None:
        return {}
    return arguments if isinstance(arguments, dict) else {"arguments": arguments}


def _is_flat(value: object, left: int) -> bool:
    """Whether a value is nested at most `left` levels deep."""
    if not isinstance(value, dict | list):
        return True
    items = value.values() if isinstance(value, dict) else value
    return left > 0 and all(_is_flat(item, left - 1) for item in items)


def _text(text: str) -> Block:
    return {"type": "text", "text": text}
