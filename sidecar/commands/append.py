"""MEMAPPEND and MEMWRITE, which take messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from sidecar.commands.arguments import Arguments
from sidecar.commands.messages import read_messages, with_metadata
from sidecar.commands.resolving import Resolve
from sidecar.errors import BadMessage
from sidecar.memory.addressing import NO_CONTEXT
from sidecar.memory.message import Message
from sidecar.memory.requests import LARGE_MESSAGE_CHARACTERS, AppendRequest
from sidecar.memory.results import AppendResult
from sidecar.resp import replies
from sidecar.resp.replies import Value

MAX_METADATA_BYTES = 16 * 1024 * 1024
"""Most bytes of all the copies of META: each message gets one, and a request of a megabyte could ask for a gigabyte."""

_encode = msgspec.json.Encoder().encode


def parse(items: list[bytes], resolve: Resolve) -> AppendRequest:
    """Parse `key [CONTEXT json] [IDEMPOTENT token] [LOCK token] [META json] <messages>`."""
    return _parse(Arguments("MEMAPPEND", items), resolve, replace=False)


def parse_write(items: list[bytes], resolve: Resolve) -> AppendRequest:
    """Parse `key [CONTEXT json] [LOCK token] <messages>`."""
    return _parse(Arguments("MEMWRITE", items), resolve, replace=True)


def render(result: AppendResult) -> Value:
    """Return the reply of an append, a write or a fork."""
    return {
        "first-id": result.first_id,
        "last-id": result.last_id,
        "appended": result.appended,
        "messages": result.messages,
        "tokens": result.tokens,
        "flush": result.flush,
        "duplicate": result.duplicate,
    }


def encode(result: AppendResult, protocol: int) -> bytes:
    """Return the bytes of what `render` returns: its fields are always the same, and nothing is asked more often."""
    null, head, flags = _NULL[protocol], _HEAD[protocol], _FLAG[protocol]
    first, last, flush = result.first_id, result.last_id, result.flush
    first_bulk = null if first is None else f"${len(first)}\r\n{first}\r\n"
    last_bulk = null if last is None else f"${len(last)}\r\n{last}\r\n"
    # One text, encoded once: formatting bytes with % costs twice as much.
    return (
        f"{head}$8\r\nfirst-id\r\n{first_bulk}$7\r\nlast-id\r\n{last_bulk}"
        f"$8\r\nappended\r\n:{result.appended}\r\n$8\r\nmessages\r\n:{result.messages}\r\n"
        f"$6\r\ntokens\r\n:{result.tokens}\r\n$5\r\nflush\r\n${len(flush)}\r\n{flush}\r\n"
        f"$9\r\nduplicate\r\n{flags[result.duplicate]}"
    ).encode()


_HEAD = {2: "*14\r\n", 3: "%7\r\n"}
_NULL = {protocol: replies.encode(None, protocol).decode() for protocol in (2, 3)}
_FLAG = {protocol: [replies.encode(flag, protocol).decode() for flag in (False, True)] for protocol in (2, 3)}


def _parse(arguments: Arguments, resolve: Resolve, *, replace: bool) -> AppendRequest:
    key, context, metadata = arguments.next("a key"), NO_CONTEXT, None
    lock = idempotent = None
    # No role is called like an option, so what stands here is an option or the first message.
    while (option := arguments.upcoming()) in _OPTIONS and not (replace and option in _APPEND_ONLY):
        arguments.position += 1
        if option == b"CONTEXT":
            context = arguments.json_object("CONTEXT")
        elif option == b"LOCK":
            lock = arguments.token("LOCK")
        elif option == b"IDEMPOTENT":
            idempotent = arguments.token("IDEMPOTENT")
        else:
            metadata = arguments.json_object("META")
    memory = resolve(key, context)
    messages = read_messages(arguments)
    if metadata is not None:
        _check_copies(len(messages), metadata)
        messages = [with_metadata(message, metadata) for message in messages]
    characters = 0
    for message in messages:
        characters += _characters(message)
    return AppendRequest(memory, messages, characters > LARGE_MESSAGE_CHARACTERS, lock, idempotent, replace)


_OPTIONS = frozenset({b"CONTEXT", b"LOCK", b"IDEMPOTENT", b"META"})
_APPEND_ONLY = frozenset({b"IDEMPOTENT", b"META"})


def _characters(message: Message) -> int:
    """Return how many characters of a message are counted as tokens, or searched for what must not be stored."""
    return len(message.content) + len(message.fields)


def _check_copies(copies: int, metadata: Mapping[str, Any]) -> None:
    size = copies * len(_encode(metadata))
    if size > MAX_METADATA_BYTES:
        raise BadMessage(
            f"META is kept with each of the {copies} messages, which makes {size} bytes; at most {MAX_METADATA_BYTES} "
            "are allowed, so send the messages in parts"
        )
