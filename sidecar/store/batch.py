"""One batch of appends as `lua/append.lua` takes it, and its reply as those who appended get it. No I/O, no waiting."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from sidecar.errors import OverBudget
from sidecar.memory.addressing import Memory
from sidecar.memory.definition import Definition
from sidecar.memory.keys import BELONGINGS
from sidecar.memory.message import Message
from sidecar.memory.results import AppendResult
from sidecar.store.pipe import Argument

MAX_BATCH_MESSAGES = 1_024
"""Messages that one batch gathers before it is closed: about 10 ms of Redis's time, which serves nobody else then."""

MAX_BATCH_CHARACTERS = 16 * 1024 * 1024
"""Text that one batch gathers: Redis copies all of it into the script, and hangs up on a command of 1 GiB."""

NO_LIMIT = -1
"""How the scripts write a limit that does not exist."""

Weight = int | str
"""Tokens of a message; with a class "<tokens> <class>", with a critical one "<tokens> !<class>"."""


class Append:
    """One append that waits for its batch.

    Args:
        memory: where.
        messages: what; may be empty, where none is to be stored.
        weights: of each message.
        encoding: what they were counted with.
        token: of the lease that the caller holds, "" for none.
        idempotent: the caller's name of this append, or None.
        replace: whether it replaces everything that is there; it goes alone then.
        done: is told the result, or the exception.
        trace: `traceparent` of what asks for it, "" where it is in no trace.
    """

    __slots__ = ("done", "encoding", "idempotent", "memory", "messages", "replace", "token", "trace", "weights")

    def __init__(
        self,
        memory: Memory,
        messages: list[Message],
        weights: Sequence[Weight],
        encoding: str,
        token: str,
        idempotent: str | None,
        replace: bool,
        done: Callable[[Any], None],
        trace: str = "",
    ) -> None:
        self.memory = memory
        self.messages = messages
        self.weights = weights
        self.encoding = encoding
        self.token = token
        self.idempotent = idempotent
        self.replace = replace
        self.done = done
        self.trace = trace

    @property
    def characters(self) -> int:
        """Length of all its texts."""
        return sum(len(message.content) + len(message.fields) for message in self.messages)

    def joins(self, first: Append) -> bool:
        """Whether it may go with `first`, which begins a batch: only what the whole script goes by must be alike."""
        return self.encoding == first.encoding and self.token == first.token and not self.replace and not first.replace


class Fixed(NamedTuple):
    """What every append to a memory of one definition says alike.

    Args:
        life: `ARGV` 4 to 6.
        special: `ARGV` 9 of an append, "" for nothing special.
        special_replace: the same of an append that replaces what is there.
        idempotency: what follows the number of messages of an append with a token.
    """

    life: tuple[int, int, int]
    special: str
    special_replace: str
    idempotency: str


def fixed(definition: Definition) -> Fixed:
    """Return the arguments that follow from a definition."""
    hard = definition.overflow != "allow"
    tokens, messages = (_limit(most if hard else None) for most in (definition.max_tokens, definition.max_messages))
    limits = f"{tokens} {messages} {int(definition.overflow == 'trim')}"
    return Fixed(
        (
            definition.ttl_ms or 0,
            _limit(definition.threshold_tokens),
            _limit(definition.threshold_messages),
        ),
        f"{limits} 0" if hard else "",
        f"{limits} {BELONGINGS}",
        f" {definition.idempotency_ttl_ms}",
    )


def gather(waiting: deque[Any], *, alone: bool) -> list[Append]:
    """Take the next batch from the head of a line, whose first change is an append.

    Args:
        waiting: the line.
        alone: take the first one only.
    """
    first: Append = waiting.popleft()
    batch = [first]
    if alone or not waiting:  # nearly always there is one, which goes whatever its size
        return batch
    size, characters, names = len(first.messages), first.characters, {first.idempotent}
    while waiting and isinstance(waiting[0], Append) and waiting[0].joins(first):
        append = waiting[0]
        size += len(append.messages)
        characters += append.characters
        repeats = append.idempotent is not None and append.idempotent in names  # it gets the first one's reply
        if size > MAX_BATCH_MESSAGES or characters > MAX_BATCH_CHARACTERS or repeats:
            break
        names.add(append.idempotent)
        batch.append(waiting.popleft())
    return batch


def call(batch: Sequence[Append], said: Fixed, op: str, number: int) -> tuple[list[str], list[Argument]]:
    """Return the keys and arguments of the script for a batch."""
    first = batch[0]
    keys = first.memory.keys
    names = [keys.log, keys.meta, keys.keep, keys.due, keys.lock]
    arguments: list[Argument] = [
        op, number, keys.name, *said.life, first.encoding, first.token,
        said.special_replace if first.replace else said.special, len(batch)
    ]  # fmt: skip
    if first.replace:
        names += keys.belongings
    for append in batch:
        if append.idempotent is None:
            arguments.append(len(append.messages))
        else:
            arguments.append(f"{len(append.messages)}{said.idempotency}")
            names.append(keys.idem(append.idempotent))
        weights = append.weights
        for at, message in enumerate(append.messages):
            arguments += (message.role, message.content, weights[at], message.fields)
    return names, arguments


def results(batch: list[Append], words: list[str]) -> list[AppendResult | OverBudget]:
    """Return what each append of a batch gets from the words of the script's reply, which stored it.

    Raises:
        LookupError, ValueError: the reply is none of our script.
    """
    found: list[AppendResult | OverBudget] = []
    flush, at = words[0], 2
    for append in batch:
        word = words[at]
        if word == "again":
            first, last, appended, messages, tokens, flush_then = words[at + 1 : at + 7]
            found.append(
                AppendResult(_id(first), _id(last), int(appended), int(messages), int(tokens), flush_then, True)
            )
            at += 7
        elif word == "over":
            found.append(over_budget(append, int(words[at + 1]), int(words[at + 2])))
            at += 3
        else:
            last, messages, tokens = words[at + 1], words[at + 2], words[at + 3]
            found.append(AppendResult(_id(word), _id(last), len(append.messages), int(messages), int(tokens), flush))
            at += 4
    return found


def over_budget(append: Append, messages: int, tokens: int) -> OverBudget:
    """Return the error for an append that a hard limit refuses."""
    definition = append.memory.definition
    most = ((definition.max_tokens, "tokens"), (definition.max_messages, "messages"))
    limits = " and ".join(f"{limit} {unit}" for limit, unit in most if limit is not None)
    weight = sum(int(str(weight).partition(" ")[0]) for weight in append.weights)
    what_to_do = (
        "its instructions, pinned messages and summary leave no room"
        if definition.overflow == "trim"
        else "flush the memory, or wait for the flush that is due"
    )
    return OverBudget(
        f"the memory may hold {limits} and holds {tokens} tokens in {messages} messages; {len(append.messages)} more "
        f"with {weight} tokens do not fit, nothing was stored; {what_to_do}"
    )


def _limit(limit: int | None) -> int:
    return NO_LIMIT if limit is None else limit


def _id(word: str) -> str | None:
    return None if word == "-" else word
