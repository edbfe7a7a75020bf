"""Writes a read's result as `system` and `messages` of a request to Anthropic's Messages API.

What that API wants, and OpenAI's chat format does not (https://docs.anthropic.com/en/api/messages): instructions stand
apart, in `system`; turns of user and assistant alternate, and the first is a user's; the results of tools are blocks of
the user turn right behind the calls, before any text of it; no text block is empty; a final assistant turn ends without
white space. Ids and names of tools hold only letters, digits, `_` and `-`; others are mapped, on both sides alike.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from sidecar.memory.message import PROTECTED_ROLES, SUMMARY_HEADING, StoredMessage
from sidecar.memory.results import ReadResult

FIRST_TURN = "(The conversation so far begins here.)"
"""Stands where a conversation begins with the assistant, which the API refuses."""

LONGEST_TOOL_NAME = 128

Block = dict[str, Any]

_BAD_IN_NAME = re.compile(r"[^a-zA-Z0-9_-]")
_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+);base64,", re.ASCII)
_IMAGE_TYPES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def to_anthropic(result: ReadResult) -> bytes:
    """Return a JSON object with `messages`, and with `system` where there are instructions or a summary.

    `system` is a list of text blocks, one per instruction, so that a caller may put `cache_control` on one of them.
    A conversation that ends with tool calls whose results are still to come is written as it is.
    """
    system = [message for message in result.messages if message.role in PROTECTED_ROLES]
    blocks = [block for message in system for block in _texts(message)]
    if result.summary:
        blocks.append(_text(SUMMARY_HEADING + result.summary))
    turns = _Turns()
    for message in result.messages:
        if message.role not in PROTECTED_ROLES:
            turns.add(message)
    request: dict[str, Any] = {"system": blocks} if blocks else {}
    request["messages"] = turns.finished()
    return _encode(request)


class _Turns:
    """Gathers the turns of a conversation."""

    def __init__(self) -> None:
        self._turns: list[tuple[str, list[Block]]] = []
        self._ids: dict[str, str] = {}
        self._taken: set[str] = set()

    def add(self, message: StoredMessage) -> None:
        """Add a message to the turn of its role, the last one or a new one."""
        fields = _decode(message.fields) if message.fields else {}
        if message.role == "assistant":
            self._append("assistant", [*_content(message, fields), *self._calls(fields)])
        elif message.role == "tool" and fields.get("tool_call_id") in self._ids:
            self._append("user", [self._result(message, fields)])
        elif message.role == "tool":  # nobody knows whose call it answers; the API takes no result without
            self._append("user", [_text("Result of a tool:"), *_content(message, fields)])
        else:
            self._append("user", _content(message, fields))

    def finished(self) -> list[dict[str, Any]]:
        """Return the turns as the API takes them."""
        if self._turns and self._turns[0][0] == "assistant":
            self._turns.insert(0, ("user", [_text(FIRST_TURN)]))
        if self._turns and self._turns[-1][0] == "assistant":
            self._strip_end()
        return [
            # Results first; the order is otherwise that of the conversation.
            {"role": role, "content": sorted(blocks, key=lambda block: block["type"] != "tool_result")}
            if role == "user"
            else {"role": role, "content": blocks}
            for role, blocks in self._turns
        ]

    def _append(self, role: str, blocks: list[Block]) -> None:
        if not blocks:
            return
        if self._turns and self._turns[-1][0] == role:
            self._turns[-1][1].extend(blocks)
        else:
            self._turns.append((role, blocks))

    def _strip_end(self) -> None:
        _, blocks = self._turns[-1]
        if blocks[-1]["type"] == "text":
            blocks[-1]["text"] = blocks[-1]["text"].rstrip()

    def _calls(self, fields: Mapping[str, Any]) -> list[Block]:
        return [
            {
                "type": "tool_use",
                "id": self._id(call["id"]),
                "name": _name(_function(call).get("name")),
                "input": _input(_function(call).get("arguments")),
            }
            for call in fields.get("tool_calls") or ()
        ]

    def _result(self, message: StoredMessage, fields: Mapping[str, Any]) -> Block:
        block: Block = {"type": "tool_result", "tool_use_id": self._ids[fields["tool_call_id"]]}
        content = _content(message, fields)
        if content:
            block["content"] = content
        return block

    def _id(self, call: str) -> str:
        """Return the id of a call, its own where the API takes that and no earlier call has it."""
        wanted = _BAD_IN_NAME.sub("_", call) or "call"
        given, number = wanted, 1
        while given in self._taken:
            number += 1
            given = f"{wanted}_{number}"
        self._taken.add(given)
        self._ids[call] = given
        return given


def _texts(message: StoredMessage) -> list[Block]:
    """Return an instruction as text blocks, the only ones that `system` takes."""
    fields = _decode(message.fields) if message.fields else {}
    return [block for block in _content(message, fields) if block["type"] == "text"]


def _content(message: StoredMessage, fields: Mapping[str, Any]) -> list[Block]:
    """Return the blocks of a message's content, none of them empty."""
    content: Any = fields.get("content") if not message.content else message.content
    if isinstance(content, str):
        return [_text(content)] if content.strip() else []
    if not isinstance(content, list):
        return []
    return [block for part in content if (block := _block(part)) is not None]


def _block(part: Mapping[str, Any]) -> Block | None:
    """Return a part of OpenAI's form as a block; what the API does not take is told in words."""
    kind = part["type"]
    said = part.get("text", part.get("refusal"))
    if isinstance(said, str):
        return _text(said) if said.strip() else None
    if kind in ("image_url", "input_image"):
        return _image(part.get("image_url"))
    if kind in ("file", "input_file"):
        return _file(part.get("file", part))
    return _text(f"[{kind}: not shown here]")


def _image(image: Any) -> Block:
    url = image.get("url") if isinstance(image, Mapping) else image
    if isinstance(url, str):
        data = _DATA_URL.match(url)
        if data and data[1] in _IMAGE_TYPES:
            source = {"type": "base64", "media_type": data[1], "data": url[data.end() :]}
            return {"type": "image", "source": source}
        if url.startswith(("https://", "http://")):
            return {"type": "image", "source": {"type": "url", "url": url}}
    return _text("[image: not shown here]")


def _file(file: Any) -> Block:
    data = file.get("file_data") if isinstance(file, Mapping) else None
    name = file.get("filename") if isinstance(file, Mapping) else None
    found = _DATA_URL.match(data) if isinstance(data, str) else None
    if isinstance(data, str) and found and found[1] == "application/pdf":
        source = {"type": "base64", "media_type": "application/pdf", "data": data[found.end() :]}
        return {"type": "document", "source": source} | ({"title": name} if isinstance(name, str) and name else {})
    return _text(f"[file{f' {name}' if isinstance(name, str) and name else ''}: not shown here]")


def _function(call: Mapping[str, Any]) -> Mapping[str, Any]:
    function = call.get("function") or call.get("custom")
    return function if isinstance(function, Mapping) else {}


def _name(name: object) -> str:
    return _BAD_IN_NAME.sub("_", name)[:LONGEST_TOOL_NAME] if isinstance(name, str) and name else "unknown"


def _input(arguments: object) -> dict[str, Any]:
    """Return the arguments of a call as the object that the API wants; what is none becomes its only member."""
    if isinstance(arguments, str):
        try:
            value = _decode(arguments.encode())
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            return {"arguments": arguments} if arguments else {}
        return value if isinstance(value, dict) else {"arguments": value}
    return {}


def _text(text: str) -> Block:
    return {"type": "text", "text": text}
