"""A message as a client writes it, and as a flush plan sees it; how it comes back from Redis is in `stored_message`.

Parsing JSON is the business of `sidecar.commands.messages`, counting text that of `sidecar.tokens`. What a message
weighs is defined here: the OpenAI chat format's count, as in OpenAI's cookbook "How to count tokens with tiktoken".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

from sidecar.memory.definition import Definition

ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})

PROTECTED_ROLES = frozenset({"system", "developer"})
"""Instructions: part of every budgeted read, and never removed by a flush."""

MESSAGE_OVERHEAD_TOKENS = 3
"""What the chat format adds to each message (`<|start|>`, the separator and `<|end|>`); definitions may differ."""

NAME_OVERHEAD_TOKENS = 1
"""What the chat format adds to a message that carries a name."""


SUMMARY_HEADING = "Summary of the earlier conversation:\n"
"""Stands in front of a summary wherever a model reads it; without it a model would take the summary for orders."""


@dataclass(slots=True, init=False)
class Message:
    """A message that a client wants stored.

    Args:
        role: one of `ROLES`.
        content: the text; empty when the content is null or a list of parts (then it is in `fields`).
        fields: compact JSON object of all other fields, or "" if there are none.
        counted: the further texts that count as tokens (name, tool calls as JSON, texts of parts).
        named: whether it carries a `name`.
        images, audios, files: how many such parts it has; they weigh what the definition estimates.
    """

    role: str
    content: str
    fields: str = ""
    counted: tuple[str, ...] = ()
    named: bool = False
    images: int = 0
    audios: int = 0
    files: int = 0

    def __init__(  # written out for the sake of speed: see `results.AppendResult`
        self,
        role: str,
        content: str,
        fields: str = "",
        counted: tuple[str, ...] = (),
        named: bool = False,
        images: int = 0,
        audios: int = 0,
        files: int = 0,
    ) -> None:
        self.role = role
        self.content = content
        self.fields = fields
        self.counted = counted
        self.named = named
        self.images = images
        self.audios = audios
        self.files = files


@dataclass(frozen=True, slots=True)
class MessageFacts:
    """What a plan may know of a stored message: everything but its text.

    Args:
        id: the stream id.
        role: one of `ROLES`.
        tokens: its stored count.
        calls: ids of the tool calls that it makes.
        answers: the tool call that it answers, or None.
        pinned: whether it must never be removed, whatever its role.
        kind: its class in the definition's priority blocks, or "".
        text_bytes: length of its content where that is one text; 0 for parts, calls and nothing.
        read_ms: when a read last returned it, by Redis's clock; None: never, or the definition's strategy does not ask.
    """

    id: str
    role: str
    tokens: int
    calls: tuple[str, ...] = ()
    answers: str | None = None
    pinned: bool = False
    kind: str = ""
    text_bytes: int = 0
    read_ms: int | None = None


def count_summary(text: str, count: Callable[[str], int]) -> int:
    """Return the tokens of a summary as a model reads it: a system message with a heading."""
    return MESSAGE_OVERHEAD_TOKENS + count("system") + count(SUMMARY_HEADING + text)


def count_message(message: Message, definition: Definition, count: Callable[[str], int]) -> int:
    """Return the tokens of a message in the OpenAI chat format.

    Args:
        message: what is to be stored.
        definition: gives the overhead, the estimates for parts that are no text, and the calibration.
        count: exact tokens of a text in the definition's encoding.
    """
    tokens = definition.per_message_overhead + count(message.role) + count(message.content)
    for text in message.counted:
        tokens += count(text)
    if message.named:
        tokens += NAME_OVERHEAD_TOKENS
    if message.images or message.audios or message.files:
        tokens += (
            message.images * definition.image_tokens
            + message.audios * definition.audio_tokens
            + message.files * definition.file_tokens
        )
    return calibrated(tokens, definition)


def calibrated(tokens: int, definition: Definition) -> int:
    """Return a count in the tokens of the definition's model, rounded up: a budget is kept rather than filled."""
    return tokens if definition.calibration == 1 else ceil(tokens * definition.calibration)
