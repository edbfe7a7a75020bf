"""Reads messages: pairs `role content`, or JSON objects in the OpenAI chat format.

The format is that of OpenAI's *Create chat completion*, field `messages`. Fields that we do not know are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from sidecar.commands.arguments import Arguments, shown, text
from sidecar.commands.traceparent import misplaced
from sidecar.errors import BadMessage, CommandError, SyntaxProblem
from sidecar.memory.message import ROLES, Message

MAX_NESTING = 100
"""Deepest JSON in a message. Whoever reads it later must get through it, on a fuller stack than ours."""

_ROLE_NAMES = {role.encode(): role for role in ROLES}
_IMAGES = frozenset({"image_url", "image", "input_image"})
_AUDIOS = frozenset({"input_audio", "audio"})
_FILES = frozenset({"file", "input_file"})

_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode


def read_messages(arguments: Arguments) -> list[Message]:
    """Read all remaining arguments as messages.

    Raises:
        SyntaxProblem: no message, or a role without content.
        BadMessage: a role, content or JSON object that is not valid; the text says which.
    """
    if not arguments:
        raise SyntaxProblem.arity(arguments.command)
    rest = arguments.items[arguments.position :]
    if rest[0].upper() == b"JSON":
        if len(rest) == 1:
            raise SyntaxProblem("JSON expects at least one message after it")
        return [read_json(item, number) for number, item in enumerate(rest[1:], 1)]
    if len(rest) % 2:
        raise SyntaxProblem(
            f"messages are pairs of role and content, but the last one, '{shown(rest[-1])}', has no content"
        )
    return [read_pair(rest[at], rest[at + 1], at // 2 + 1) for at in range(0, len(rest), 2)]


def read_pair(role: bytes, content: bytes, number: int) -> Message:
    """Read one pair; `number` (from 1) is its place in the request, for error texts."""
    known = _ROLE_NAMES.get(role) or _ROLE_NAMES.get(role.lower())
    if known is None:
        raise _unknown_role(shown(role), number)
    try:
        return Message(known, content.decode())
    except UnicodeDecodeError:
        return Message(known, text(content, f"the content of message {number}"))


def read_json(item: bytes, number: int) -> Message:
    """Read one JSON object; `number` (from 1) is its place in the request, for error texts."""
    try:
        return from_fields(_decode(item), number)
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise BadMessage(f"message {number} is not a JSON object: {problem}") from problem
    except RecursionError as problem:
        raise _too_deep(number) from problem


def from_fields(fields: dict[str, Any], number: int = 1) -> Message:
    """Make a message of the fields of its JSON object, which this takes apart; `number` is for error texts."""
    role = fields.pop("role", None)
    if not isinstance(role, str) or role not in ROLES:
        raise _unknown_role(shown(role.encode()) if isinstance(role, str) else "missing or not a string", number)
    message = Message(role, "")
    counted: list[str] = []
    content = fields.setdefault("content", None)
    if isinstance(content, str):
        del fields["content"]
        message.content = content
    elif isinstance(content, list):
        _read_parts(content, number, message, counted)
    elif content is not None:
        raise BadMessage(f"the content of message {number} must be a string, null or a list of parts")
    _read_linkage(fields, number, message, counted)
    message.counted = tuple(counted)
    if fields:  # content, when it is null or a list, is still among them
        message.fields = _encode(fields).decode()
        if message.fields.count("[") + message.fields.count("{") > MAX_NESTING:
            _check_nesting(fields, number, MAX_NESTING)
    return message


def with_metadata(message: Message, metadata: Mapping[str, Any]) -> Message:
    """Return a message with the object of META as its field `metadata`, unless it has one of its own."""
    fields = _decode(message.fields) if message.fields else {}
    fields.setdefault("metadata", metadata)
    _check_nesting(fields, 1, MAX_NESTING)
    message.fields = _encode(fields).decode()
    return message


def _check_nesting(value: Any, number: int, left: int) -> None:
    if isinstance(value, dict | list):
        if not left:
            raise _too_deep(number)
        for item in value.values() if isinstance(value, dict) else value:
            _check_nesting(item, number, left - 1)


def _too_deep(number: int) -> BadMessage:
    return BadMessage(f"message {number} is nested more than {MAX_NESTING} levels deep; flatten it")


def _read_linkage(fields: dict[str, Any], number: int, message: Message, counted: list[str]) -> None:
    """Read the fields that count as tokens or tie tool calls to their results."""
    name = fields.get("name")
    if name is not None:
        if not isinstance(name, str):
            raise BadMessage(f"the name of message {number} must be a string")
        counted.append(name)
        message.named = True
    calls = fields.get("tool_calls")
    if calls is not None:
        if not isinstance(calls, list) or not all(_is_call(call) for call in calls):
            raise BadMessage(f"tool_calls of message {number} must be a list of objects that each have a string 'id'")
        if message.role != "assistant":
            raise BadMessage(f"message {number} has tool_calls, which only the role assistant may have")
        if calls:
            counted.append(_encode(calls).decode())
    answered = fields.get("tool_call_id")
    if answered is not None and not isinstance(answered, str):
        raise BadMessage(f"tool_call_id of message {number} must be a string")


def _is_call(call: object) -> bool:
    return isinstance(call, dict) and isinstance(call.get("id"), str)


def _read_parts(parts: list[Any], number: int, message: Message, counted: list[str]) -> None:
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        if not isinstance(kind, str):
            raise BadMessage(f"each part of message {number}'s content must be an object with a string 'type'")
        if kind in _IMAGES:
            message.images += 1
        elif kind in _AUDIOS:
            message.audios += 1
        elif kind in _FILES:
            message.files += 1
        else:
            said = part.get("text", part.get("refusal"))
            counted.append(said if isinstance(said, str) else _encode(part).decode())


def _unknown_role(role: str, number: int) -> CommandError:
    if role.upper() == "TRACEPARENT":
        return misplaced()
    return BadMessage(f"role of message {number} is '{role}'; it must be one of {', '.join(sorted(ROLES))}")
