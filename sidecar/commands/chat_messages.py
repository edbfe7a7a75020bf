"""Reads stored messages, which have the form of OpenAI's chat format, for whoever writes them into an API's request.

The counterparts are `commands.messages`, which let them in, and `commands.openai` and `commands.anthropic`, which write
them. What the APIs have in common is here: results stand right behind their calls, and nothing is left out in silence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from sidecar.memory.stored_message import StoredMessage

TOOL_RESULT_HEADING = "Result of a tool:\n"
"""Stands before a result that cannot be sent as one; without it a model would take it for the user's words."""

_ABOVE_ALL = -1
"""Place of results whose call is not among the messages."""


class _Call(msgspec.Struct):
    id: str


class _Links(msgspec.Struct):
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None


_UNLINKED = _Links()

_decode_links = msgspec.json.Decoder(_Links).decode
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode


def results_behind_calls(messages: Sequence[StoredMessage]) -> Sequence[StoredMessage]:
    """Return the messages with each result of a tool right behind its call, where both APIs want it.

    In a memory something may stand between them: a user can speak while a tool runs. Results before any answer of the
    assistant whose calls are not among the messages stand first: a read with SINCE begins with them, and its caller has
    the calls. Any other tool message, because it names no call or its call has a result already, becomes a message of
    the user that says what it is: the APIs refuse it as it is.
    """
    if "tool" not in {message.role for message in messages}:
        return messages
    rest: list[tuple[int, StoredMessage]] = []
    behind: dict[int, list[StoredMessage]] = {}  # place of a call -> its results
    open_calls: dict[str, list[int]] = {}  # id -> places of the calls that have no result yet
    answered = False
    for place, message in enumerate(messages):
        links = _links(message)
        if message.role != "tool":
            rest.append((place, message))
            answered = answered or message.role == "assistant"
            for call in links.tool_calls or ():
                open_calls.setdefault(call.id, []).append(place)
        elif links.tool_call_id is not None and open_calls.get(links.tool_call_id):
            behind.setdefault(open_calls[links.tool_call_id].pop(), []).append(message)
        elif links.tool_call_id is not None and not answered:
            behind.setdefault(_ABOVE_ALL, []).append(message)
        else:
            rest.append((place, _as_user(message)))
    ordered = behind.get(_ABOVE_ALL, [])
    for place, message in rest:
        ordered.append(message)
        ordered.extend(behind.get(place, ()))
    return ordered


def _links(message: StoredMessage) -> _Links:
    return _decode_links(message.fields) if message.fields and '"tool_call' in message.fields else _UNLINKED


def _as_user(message: StoredMessage) -> StoredMessage:
    content = content_of(message, fields_of(message))
    if not isinstance(content, list):
        return message._replace(role="user", content=TOOL_RESULT_HEADING + (content or ""), fields=None)
    parts = [{"type": "text", "text": TOOL_RESULT_HEADING}, *content]
    return message._replace(role="user", content="", fields=_encode({"content": parts}).decode())


def fields_of(message: StoredMessage) -> dict[str, Any]:
    """Return what a message carries besides role and text."""
    return _decode(message.fields) if message.fields else {}


def content_of(message: StoredMessage, fields: Mapping[str, Any]) -> str | list[dict[str, Any]] | None:
    """Return a message's content; a list of parts and null are stored among its fields."""
    content: str | list[dict[str, Any]] | None = fields.get("content", "") if not message.content else message.content
    return content


def image_url_of(part: Mapping[str, Any]) -> str | None:
    """Return the URL of an image's part, or None where there is none."""
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, Mapping) else image
    return url if isinstance(url, str) and url else None


def words_of(part: Mapping[str, Any]) -> str:
    """Return what a part says; of one that is no text, what it is."""
    said = part.get("text", part.get("refusal"))
    if isinstance(said, str):
        return said
    file = part.get("file", part)
    name = file.get("filename") if isinstance(file, Mapping) else None
    return f"[{part['type']}{f' {name}' if isinstance(name, str) and name else ''}: not shown here]"


def called(call: Mapping[str, Any]) -> tuple[object, object]:
    """Return the name and the arguments of a tool call, as they are stored: nobody has checked them."""
    given = call.get("function") or call.get("custom")
    if not isinstance(given, Mapping):
        return None, None
    return given.get("name"), given.get("arguments", given.get("input"))
