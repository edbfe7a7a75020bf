"""Writes what MEMREAD answers in FORMAT RESP: a map with all messages.

Nearly all messages are an id, a role, a text and a count, and a reply has hundreds of them: these are written without
making a map of each. What it means is in `fields`, and `resp.replies` would write the same.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec

from sidecar.memory.results import ReadResult
from sidecar.memory.stored_message import StoredMessage
from sidecar.resp import replies
from sidecar.resp.replies import Value

KNOWN_ROLES = 64
"""Roles whose bytes are kept ready; an append takes five, but a hand can write any."""

_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode


def fields(result: ReadResult) -> dict[str, Value]:
    """Return the map."""
    return {**_words(result), "messages": [_message(message) for message in result.messages], **_figures(result)}


def encode(result: ReadResult, protocol: int) -> bytes:
    """Return the bytes of `fields`, in protocol 2 or 3; written once for all who get this very result."""
    written = result.written.get(protocol)
    if written is None:
        written = result.written[protocol] = _written(result, protocol)
    return written


def _words(result: ReadResult) -> dict[str, Value]:
    return {"summary": result.summary}


def _figures(result: ReadResult) -> dict[str, Value]:
    return {
        "tokens": result.tokens,
        "total-messages": result.total_messages,
        "total-tokens": result.total_tokens,
        "more": result.more,
        "left-out": result.left_out,
    }


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


def _written(result: ReadResult, protocol: int) -> bytes:
    head = "%4" if protocol == 3 else "*8"
    messages = [
        _plain(message, head) if message.fields is None else replies.encode(_message(message), protocol).decode()
        for message in result.messages
    ]
    return b"".join(
        (
            b"%7\r\n" if protocol == 3 else b"*14\r\n",
            _inside(_words(result), protocol),
            b"$8\r\nmessages\r\n*%d\r\n" % len(messages),
            "".join(messages).encode(),
            _inside(_figures(result), protocol),
        )
    )


def _inside(fields: dict[str, Value], protocol: int) -> bytes:
    """Return the names and values of a map, without the line that opens it."""
    return replies.encode(fields, protocol).partition(b"\r\n")[2]


def _plain(message: StoredMessage, head: str) -> str:
    """Return a message without further fields; `head` opens a map of four."""
    id_, role, content, tokens, _ = message
    size = len(content) if content.isascii() else len(content.encode())
    return (
        f"{head}\r\n$2\r\nid\r\n${len(id_)}\r\n{id_}\r\n{_role(role)}"
        f"$7\r\ncontent\r\n${size}\r\n{content}\r\n$6\r\ntokens\r\n:{tokens}\r\n"
    )


@lru_cache(maxsize=KNOWN_ROLES)
def _role(role: str) -> str:
    return f"$4\r\nrole\r\n${len(role.encode())}\r\n{role}\r\n"
