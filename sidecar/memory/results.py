"""What the memory service answers, before it becomes a reply."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from sidecar.memory.requests import Format
from sidecar.memory.stored_message import StoredMessage

FlushState = Literal["none", "due", "running", "failed"]

MemoryHealth = Literal["ok", "full", "overdue", "failing"]

State = Literal["up", "down", "unknown"]

OVERDUE_MS = 5 * 60_000
"""A flush that is due for so long is not merely waiting for its turn: nobody serves it, or it keeps failing."""


@dataclass(slots=True, init=False)
class AppendResult:
    """What an append, write or fork did: ids of its first and last message (None where none was stored), and the
    totals after it. `duplicate`: it was the repetition of an earlier one, whose reply this is."""

    first_id: str | None
    last_id: str | None
    appended: int
    messages: int
    tokens: int
    flush: str
    duplicate: bool = False

    # Written out, here and wherever an append passes: mypyc compiles it, and would leave dataclass's own to the
    # interpreter, at a microsecond each.
    def __init__(
        self,
        first_id: str | None,
        last_id: str | None,
        appended: int,
        messages: int,
        tokens: int,
        flush: str,
        duplicate: bool = False,
    ) -> None:
        self.first_id = first_id
        self.last_id = last_id
        self.appended = appended
        self.messages = messages
        self.tokens = tokens
        self.flush = flush
        self.duplicate = duplicate


@dataclass(slots=True)
class ReadResult:
    """What a read found. `tokens` counts what is returned, summary included.

    Once it is settled nobody changes it any more, because it may be the answer to several who asked the same. What is
    written of it for one of them, by protocol, can be sent to the next.
    """

    summary: str | None
    summary_tokens: int
    messages: list[StoredMessage]
    total_messages: int
    total_tokens: int
    more: bool
    left_out: int
    format: Format = "resp"
    settled_tokens: int | None = None
    orphans: int = 0  # of `left_out`, those that lack the other half of a tool call and its results
    written: dict[int, bytes] = field(default_factory=dict, compare=False, repr=False)

    @property
    def tokens(self) -> int:
        """Tokens of everything returned."""
        if self.settled_tokens is not None:
            return self.settled_tokens
        return sum([message.tokens for message in self.messages]) + (self.summary_tokens if self.summary else 0)

    def settle(self) -> None:
        """Change it no more."""
        self.settled_tokens = self.tokens


@dataclass(slots=True)
class MemoryInfo:
    """State of one memory. Times are Unix milliseconds; None where there is nothing to tell."""

    messages: int
    tokens: int
    summary_tokens: int
    pinned_tokens: int
    limit_tokens: int | None
    limit_messages: int | None
    flush: FlushState
    flush_due_since_ms: int | None
    last_flush_ms: int | None
    last_flush_strategy: str | None
    last_flush_error: str | None
    epoch: int | None
    ttl_ms: int | None
    encoding: str
    first_id: str | None
    last_id: str | None
    locked: bool = False
    due_for_ms: int | None = None

    @property
    def health(self) -> MemoryHealth:
        """`failing`: the last flush failed; `overdue`: one is due for `OVERDUE_MS`; `full`: over a limit; else `ok`."""
        if self.flush == "failed":
            return "failing"
        if self.flush == "due" and self.due_for_ms is not None and self.due_for_ms > OVERDUE_MS:
            return "overdue"
        return "full" if self.usage > 1 else "ok"

    @property
    def usage(self) -> float:
        """Share of the tighter limit that is used, 0 without limits; above 1 when over it."""
        shares = [0.0]
        if self.limit_tokens:
            shares.append((self.tokens + self.summary_tokens) / self.limit_tokens)
        if self.limit_messages:
            shares.append(self.messages / self.limit_messages)
        return round(max(shares), 4)


@dataclass(slots=True)
class FlushReport:
    """Answer to MEMFLUSH. The fields from `removed` on are set once the flush is done; `restored` by an undo."""

    status: str
    workflow_id: str | None = None
    run_id: str | None = None
    strategy: str | None = None
    removed: int | None = None
    messages: int | None = None
    tokens: int | None = None
    tokens_freed: int | None = None
    summary_tokens: int | None = None
    duration_ms: int | None = None
    error: str | None = None
    shortened: int | None = None
    restored: int | None = None


class ComponentState(NamedTuple):
    """How a component is: when that was last looked at, and for how long it has been so; None: never."""

    state: State
    age_ms: int | None
    for_ms: int | None


@dataclass(slots=True)
class HealthReport:
    """Health of the sidecar: one entry per component, and the states of those that are looked at, by name."""

    healthy: bool
    redis_ms: float | None
    engine: str
    engine_up: bool
    outbox_depth: int
    outbox_age_seconds: float
    encodings: dict[str, str]
    locks_acquired: int = 0
    locks_refused: int = 0
    lock_waiters: int = 0
    states: dict[str, ComponentState] = field(default_factory=dict)


class EncodingDiffers(NamedTuple):
    """Nothing was stored: the memory's messages were counted with this other encoding, so new ones must be too."""

    encoding: str


class LockGranted(NamedTuple):
    """The lease on a memory: the holder's token, a number that grows with every lease, its length, and the wait."""

    token: str
    fence: int
    ttl_ms: int
    waited_ms: int = 0


class ListPage(NamedTuple):
    """A step of a walk over the memories: where to go on ("0": it is over), and keys as clients write them."""

    cursor: str
    keys: list[str]
