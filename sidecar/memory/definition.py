"""What a memory is allowed to hold and how it is compacted. Read from YAML by `sidecar.config`.

Plain values only: no parsing, no defaults from files, no knowledge of where they came from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

DEFAULT_DEFINITION = "default"
"""The definition that takes every key which names no other one, unless `strict` is set."""

MemoryType = Literal["token_based", "message_count_based", "buffer"]
Mode = Literal["read-write", "read-only"]
Overflow = Literal["allow", "reject", "trim"]
Priority = Literal["critical", "high", "normal", "low"]
Fallback = Literal["extractive", "drop", "keep"]

EXTRACTIVE = "extractive"
"""Name of the summariser that there always is."""

TOOL_RESULT_TOKENS = 64
"""What `tool_trim` leaves of a result unless a definition says otherwise: its beginning, a few lines."""

STRATEGIES_BY_READS = frozenset({"lru", "token_aware_lru"})
"""The strategies that ask when a message was last read. Only memories that use one pay for keeping these times."""


@dataclass(frozen=True, slots=True)
class FlushPolicy:
    """When and how a memory is compacted.

    Args:
        strategy: name of a strategy in `memory.plan.STRATEGIES`.
        threshold: share of a limit (0 to 1) above which a flush is due.
        target: share of a limit (0 to 1) that a flush brings the memory down to.
        summary_tokens: most tokens that a summary may have.
        undo_ttl_ms: how long what a flush took is kept for an undo; None: not at all.
        tool_result_tokens: most tokens that `tool_trim` leaves of the result of a tool.
        summariser: name of what makes the summaries.
        fallback: what happens where it makes none: the built-in summariser makes it (`extractive`), the messages go and
            the earlier summary stays (`drop`), or nothing is removed (`keep`).
    """

    strategy: str = "hybrid_summary"
    threshold: float = 0.8
    target: float = 0.5
    summary_tokens: int = 1_000
    undo_ttl_ms: int | None = 3_600_000
    tool_result_tokens: int = TOOL_RESULT_TOKENS
    summariser: str = EXTRACTIVE
    fallback: Fallback = "extractive"


@dataclass(frozen=True, slots=True)
class PriorityBlock:
    """A class of messages. A message belongs to the first block of its definition that it fits.

    Args:
        name: of the class, as `token_allocation` names it.
        priority: `critical` messages are part of every budgeted read and are never removed, as instructions are; with
            the strategy `priority`, `low` messages are the first to go and `high` ones the last.
        roles: a message with one of these roles fits; empty: any role does.
        keywords: a message whose content holds one of these, upper and lower case alike, fits; empty: any does.
    """

    name: str
    priority: Priority = "normal"
    roles: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RedactionPattern:
    """A pattern of the user's own, in RE2's syntax; `replacement` None means that of the policy."""

    name: str
    regex: str
    replacement: str | None = None


@dataclass(frozen=True, slots=True)
class PrivacyPolicy:
    """What must not be stored.

    Args:
        redact: names of built-in sets of patterns, see `sidecar.privacy.builtin`.
        patterns: further ones.
        replacement: what stands in place of what was found; `{kind}` is the name of the set or pattern.
        do_not_persist: messages with these roles are accepted and not stored.
    """

    redact: tuple[str, ...] = ()
    patterns: tuple[RedactionPattern, ...] = ()
    replacement: str = "[{kind}]"
    do_not_persist: tuple[str, ...] = ()

    @property
    def redacts(self) -> bool:
        """Whether anything is looked for in texts."""
        return bool(self.redact or self.patterns)


@dataclass(frozen=True, slots=True)
class LockPolicy:
    """Limits of the turn lock, in milliseconds.

    Args:
        min_lease_ms, max_lease_ms: shortest and longest lease that MEMLOCK grants at a time.
        wait_ms: how long an append, write, delete or clear waits while somebody else holds the lease; then `LOCKED`.
        max_wait_ms: longest `WAIT` of MEMLOCK.
    """

    min_lease_ms: int = 100
    max_lease_ms: int = 600_000
    wait_ms: int = 5_000
    max_wait_ms: int = 60_000


@dataclass(frozen=True, slots=True)
class Definition:
    """One memory definition. Limits that are None do not exist; `ttl_ms` None means that it never expires.

    Args:
        id, description, version: who it is; version is the user's own and is shown, never interpreted.
        type: what `max_tokens` and `max_messages` are for. A `buffer` is never flushed: its oldest messages go as new
            ones come.
        encoding: vocabulary of the counts.
        model: the model that it was derived from, or None.
        calibration: factor (at least 1) on every count, for models of other vendors.
        per_message_overhead: tokens that the chat format adds to each message.
        image_tokens, audio_tokens, file_tokens: estimates for parts that are no text.
        ttl_ms: life time after the last append or read.
        ttl_after_clear_ms: how long a cleared memory's fences and last id are remembered; None: not at all.
        ttl_after_flush_ms: life time after a flush, until the next append or read; None: `ttl_ms`.
        key_template: instance of a key that is the bare id, see `sidecar.templates`.
        mode: `read-only` refuses every command that changes the memory.
        overflow: what happens to an append above `max_tokens` or `max_messages`: it is stored, refused, or the oldest
            messages make room.
        priority_blocks: classes of messages, first match wins.
        token_allocation: largest share (0 to 1) of a read budget for `system` (instructions, pins), `long_term` (the
            summary) and each class by its name; `short_term` is the share that these leave in any case.
        idempotency_ttl_ms: how long an IDEMPOTENT token is remembered.
        max_message_bytes, max_request_bytes, max_request_messages: limits of one append.
    """

    id: str = DEFAULT_DEFINITION
    description: str = ""
    version: str = ""
    type: MemoryType = "token_based"
    encoding: str = "o200k_base"
    model: str | None = None
    calibration: float = 1.0
    per_message_overhead: int = 3
    max_tokens: int | None = 128_000
    max_messages: int | None = None
    ttl_ms: int | None = None
    ttl_after_clear_ms: int | None = None
    ttl_after_flush_ms: int | None = None
    image_tokens: int = 765
    audio_tokens: int = 600
    file_tokens: int = 1_500
    key_template: str | None = None
    mode: Mode = "read-write"
    overflow: Overflow = "allow"
    priority_blocks: tuple[PriorityBlock, ...] = ()
    token_allocation: Mapping[str, float] = field(default_factory=dict)
    flush: FlushPolicy = field(default_factory=FlushPolicy)
    privacy: PrivacyPolicy = field(default_factory=PrivacyPolicy)
    locking: LockPolicy = field(default_factory=LockPolicy)
    idempotency_ttl_ms: int = 86_400_000
    max_message_bytes: int | None = None
    max_request_bytes: int | None = None
    max_request_messages: int | None = None

    @property
    def flushes(self) -> bool:
        """Whether a flush may ever be due."""
        return self.type != "buffer" and self.mode == "read-write"

    @property
    def tracks_reads(self) -> bool:
        """Whether reads note when they returned a message."""
        return self.flushes and self.flush.strategy in STRATEGIES_BY_READS

    @property
    def priorities(self) -> Mapping[str, str]:
        """The priority of each class, by name."""
        return {block.name: block.priority for block in self.priority_blocks}

    @property
    def threshold_tokens(self) -> int | None:
        """A flush is due above this many tokens."""
        return share(self.max_tokens, self.flush.threshold) if self.flushes else None

    @property
    def threshold_messages(self) -> int | None:
        """A flush is due above this many messages."""
        return share(self.max_messages, self.flush.threshold) if self.flushes else None

    @property
    def target_tokens(self) -> int | None:
        """A flush brings the memory down to this many tokens, its summary included."""
        return share(self.max_tokens, self.flush.target)

    @property
    def target_messages(self) -> int | None:
        """A flush brings the memory down to this many messages."""
        return share(self.max_messages, self.flush.target)


def share(limit: int | None, ratio: float) -> int | None:
    """Return `ratio` of `limit`, rounded down; None where there is no limit."""
    return None if limit is None else int(limit * ratio)
