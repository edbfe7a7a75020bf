"""MEMREAD."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from sidecar.commands.arguments import Arguments, shown
from sidecar.commands.openai import to_openai
from sidecar.errors import SyntaxProblem
from sidecar.memory.addressing import Memory
from sidecar.memory.message import StoredMessage
from sidecar.memory.requests import ReadRequest
from sidecar.memory.results import ReadResult
from sidecar.resp.replies import Value

_OPTIONS = "TOKENS, RESERVE, COUNT, SINCE, NOSUMMARY, FORMAT and PEEK"

_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode


def parse(items: list[bytes], resolve: Callable[[bytes], Memory]) -> ReadRequest:
    """Parse `key [option …]`."""
    arguments = Arguments("MEMREAD", items)
    request = ReadRequest(resolve(arguments.next("a key")))
    reserve = 0
    while arguments:
        option = arguments.option()
        if option == b"TOKENS":
            request.tokens = arguments.integer("TOKENS")
        elif option == b"RESERVE":
            reserve = arguments.integer("RESERVE")
        elif option == b"COUNT":
            request.count = arguments.integer("COUNT", least=1)
        elif option == b"SINCE":
            request.since = arguments.stream_id("SINCE")
        elif option == b"NOSUMMARY":
            request.with_summary = False
        elif option == b"FORMAT":
            request.openai = _format(arguments) == b"OPENAI"
        elif option == b"PEEK":
            request.touch = False
        else:
            raise arguments.unknown(option, _OPTIONS)
    if reserve:
        if request.tokens is None:
            raise SyntaxProblem("RESERVE keeps a part of TOKENS free; give TOKENS too")
        request.tokens = max(request.tokens - reserve, 0)
    return request


def render(result: ReadResult) -> Value:
    """Return the reply of a read: a map, or one bulk string of JSON."""
    if result.openai:
        return to_openai(result)
    return {
        "summary": result.summary,
        "messages": [_message(message) for message in result.messages],
        "tokens": result.tokens,
        "total-messages": result.total_messages,
        "total-tokens": result.total_tokens,
        "more": result.more,
        "left-out": result.left_out,
    }


def _format(arguments: Arguments) -> bytes:
    name = arguments.next("RESP or OPENAI after FORMAT").upper()
    if name not in (b"RESP", b"OPENAI"):
        raise SyntaxProblem(f"FORMAT takes RESP or OPENAI, not '{shown(name)}'")
    return name


def _message(message: StoredMessage) -> dict[str, Value]:
    reply: dict[str, Value] = {
        "id": message.id,
        "role": message.role,
        "content": message.content,
        "tokens": message.tokens,
    }
    if message.fields is not None:
        for name, value in _decode(message.fields).items():
            if name in ("id", "tokens"):
                continue  # ours, which SINCE needs; a message's own ones come back with FORMAT OPENAI
            # Strings and null are themselves; everything else (parts, tool calls) is its JSON.
            reply[name] = value if value is None or isinstance(value, str) else _encode(value)
    return reply
