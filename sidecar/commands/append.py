"""MEMAPPEND."""

from __future__ import annotations

from collections.abc import Callable

from sidecar.commands.arguments import Arguments
from sidecar.commands.messages import read_messages
from sidecar.memory.addressing import Memory
from sidecar.memory.message import Message
from sidecar.memory.requests import LARGE_MESSAGE_CHARACTERS, AppendRequest
from sidecar.memory.results import AppendResult
from sidecar.resp.replies import Value


def parse(items: list[bytes], resolve: Callable[[bytes], Memory]) -> AppendRequest:
    """Parse `key <messages>`."""
    arguments = Arguments("MEMAPPEND", items)
    memory = resolve(arguments.next("a key"))
    messages = read_messages(arguments)
    return AppendRequest(memory, messages, large=sum(map(_characters, messages)) > LARGE_MESSAGE_CHARACTERS)


def render(result: AppendResult) -> Value:
    """Return the reply of an append."""
    return {
        "first-id": result.first_id,
        "last-id": result.last_id,
        "appended": result.appended,
        "messages": result.messages,
        "tokens": result.tokens,
        "flush": result.flush,
        "duplicate": False,
    }


def _characters(message: Message) -> int:
    """Return how many characters of a message are counted as tokens."""
    return len(message.content) + sum(map(len, message.counted))
