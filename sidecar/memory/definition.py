"""What a memory is allowed to hold and how it is compacted. Read from YAML by `sidecar.config`.

Plain values only: no parsing, no defaults from files, no knowledge of where they came from.
"""

from __future__ import annotations

from dataclasses import dataclass, field

DEFAULT_DEFINITION = "default"
"""The definition that takes every key which names no other one, unless `strict` is set."""


@dataclass(frozen=True, slots=True)
class FlushPolicy:
    """When and how a memory is compacted.

    Args:
        strategy: name of a strategy in `memory.plan.STRATEGIES`.
        threshold: share of a limit (0 to 1) above which a flush is due.
        target: share of a limit (0 to 1) that a flush brings the memory down to.
        summary_tokens: most tokens that a summary may have.
    """

    strategy: str = "hybrid_summary"
    threshold: float = 0.8
    target: float = 0.5
    summary_tokens: int = 1_000


@dataclass(frozen=True, slots=True)
class Definition:
    """One memory definition. Limits that are None do not exist; `ttl_ms` None means that it never expires."""

    id: str = DEFAULT_DEFINITION
    description: str = ""
    encoding: str = "o200k_base"
    max_tokens: int | None = 128_000
    max_messages: int | None = None
    ttl_ms: int | None = None
    image_tokens: int = 765
    audio_tokens: int = 600
    flush: FlushPolicy = field(default_factory=FlushPolicy)

    @property
    def threshold_tokens(self) -> int | None:
        """A flush is due above this many tokens."""
        return share(self.max_tokens, self.flush.threshold)

    @property
    def threshold_messages(self) -> int | None:
        """A flush is due above this many messages."""
        return share(self.max_messages, self.flush.threshold)

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
