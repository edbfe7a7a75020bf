"""What becomes of messages before they are stored: limits, roles that are not kept, redaction, classes, weights.

One `Intake` per definition; the counterpart is the service, which asks it with every append. Everything here may run
on a thread, because large texts are searched and counted off the event loop.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from sidecar.errors import BadMessage
from sidecar.memory.definition import Definition, PriorityBlock
from sidecar.memory.message import Message, count_message


class Redactor(Protocol):
    """Takes out of a message what its definition's privacy policy forbids; `sidecar.privacy.redaction` has one."""

    def redact(self, message: Message) -> tuple[Message, Mapping[str, int]]:
        """Return the message as it may be stored, and how often each kind was found.

        Raises:
            PrivacyFailed: the text could not be searched.
        """
        ...


class Admitted(NamedTuple):
    """What is to be stored, and how often each kind of secret was taken out of it."""

    messages: list[Message]
    redacted: Mapping[str, int]


NOTHING: Mapping[str, int] = {}


class Intake:
    """What a definition says of messages that come.

    Args:
        definition: which one.
        redactor: of its privacy policy; None where that looks for nothing.
    """

    def __init__(self, definition: Definition, redactor: Redactor | None) -> None:
        self.definition = definition
        self._redactor = redactor
        self._dropped = frozenset(definition.privacy.do_not_persist)
        self._blocks = [_Block(block) for block in definition.priority_blocks]
        limits = (definition.max_message_bytes, definition.max_request_bytes, definition.max_request_messages)
        self._limited = any(limit is not None for limit in limits)
        self.takes_all = not (self._limited or self._dropped or self._redactor)
        """Whether `admit` returns the messages as they are."""

    def admit(self, messages: list[Message]) -> Admitted:
        """Return what is to be stored of the messages of an append.

        Raises:
            BadMessage: more than the definition's limits.
            PrivacyFailed: redaction failed.
        """
        if self._limited:
            self._check_limits(messages)
        if self._dropped:
            messages = [message for message in messages if message.role not in self._dropped]
        if self._redactor is None:
            return Admitted(messages, NOTHING)
        clean, redacted = [], Counter[str]()
        for message in messages:
            kept, found = self._redactor.redact(message)
            clean.append(kept)
            redacted.update(found)
        return Admitted(clean, redacted)

    def weigh(self, messages: Sequence[Message], count: Callable[[str], int]) -> list[int | str]:
        """Return the tokens of each message, with its class where there are some (see `store.batch.Weight`)."""
        definition = self.definition
        if not self._blocks:
            return [count_message(message, definition, count) for message in messages]
        return [f"{count_message(message, definition, count)}{self._class_of(message)}" for message in messages]

    def _class_of(self, message: Message) -> str:
        for block in self._blocks:
            if block.fits(message):
                return block.mark
        return ""

    def _check_limits(self, messages: Sequence[Message]) -> None:
        definition = self.definition
        most = definition.max_request_messages
        if most is not None and len(messages) > most:
            raise BadMessage(
                f"a request to '{definition.id}' may have {most} messages, this one has {len(messages)}; "
                "send them in parts"
            )
        sizes = [len(message.content.encode()) + len(message.fields.encode()) for message in messages]
        most = definition.max_message_bytes
        for number, size in enumerate(sizes, 1):
            if most is not None and size > most:
                raise BadMessage(
                    f"message {number} has {size} bytes, and '{definition.id}' takes {most}; shorten it, or raise "
                    "limits.message_bytes of the definition"
                )
        most = definition.max_request_bytes
        if most is not None and sum(sizes) > most:
            raise BadMessage(
                f"the messages have {sum(sizes)} bytes, and '{definition.id}' takes {most} in one request; "
                "send them in parts, or raise limits.request_bytes of the definition"
            )


class _Block:
    """A priority block, ready for looking at messages."""

    def __init__(self, block: PriorityBlock) -> None:
        self.mark = f" {'!' if block.priority == 'critical' else ''}{block.name}"
        self._roles = frozenset(block.roles)
        self._keywords = tuple(word.casefold() for word in block.keywords)

    def fits(self, message: Message) -> bool:
        """Whether a message belongs to the block."""
        if self._roles and message.role not in self._roles:
            return False
        if not self._keywords:
            return True
        said = "\n".join((message.content, *message.counted)).casefold()
        return any(word in said for word in self._keywords)
