"""What each MEM command asks of the memory service, already parsed and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sidecar.memory.addressing import Memory
from sidecar.memory.message import Message

MAX_REQUEST_MESSAGES = 16_384
"""Most messages of one append: it is one script of about 0.1 s, and Redis serves nobody else meanwhile."""

LARGE_MESSAGE_CHARACTERS = 64 * 1024
"""Above this, counting tokens takes long enough to be noticed by other clients and happens off the event loop."""

Oversize = Literal["skip", "truncate", "error"]
Format = Literal["resp", "openai", "anthropic"]


@dataclass(slots=True, init=False)
class AppendRequest:
    """Store messages, in order, all or none.

    Args:
        memory: where.
        messages: what.
        large: together they are above `LARGE_MESSAGE_CHARACTERS`.
        lock: token of the lease that the caller holds, or None.
        idempotent: the caller's name of this append, under which its first reply is kept, or None.
        replace: whether they replace the whole content, as MEMWRITE does.
        trace: `traceparent` of what asks for it, "" where it is in no trace; of a flush that it makes due.
    """

    memory: Memory
    messages: list[Message]
    large: bool = False
    lock: str | None = None
    idempotent: str | None = None
    replace: bool = False
    trace: str = ""

    def __init__(  # written out for the sake of speed: see `results.AppendResult`
        self,
        memory: Memory,
        messages: list[Message],
        large: bool = False,
        lock: str | None = None,
        idempotent: str | None = None,
        replace: bool = False,
    ) -> None:
        self.memory = memory
        self.messages = messages
        self.large = large
        self.lock = lock
        self.idempotent = idempotent
        self.replace = replace
        self.trace = ""


@dataclass(slots=True)
class ReadRequest:
    """Read messages.

    Args:
        tokens: most tokens of all that is returned, or None.
        oversize: what becomes of a message that alone exceeds `tokens`.
        count: most messages (the newest; after `since`, the oldest), or None.
        since: only messages newer than this id, or None; "$" stands for the newest id now.
        before: only messages older than this id, or None.
        roles: only messages with these roles; empty: all.
        format: a map, or the JSON of that API's request.
        with_summary: whether the running summary is part of it.
        touch: whether reading extends the memory's life, and counts as a use of what it returns.
        block_ms: how long to wait for a message newer than `since` if there is none, or None.
    """

    memory: Memory
    tokens: int | None = None
    oversize: Oversize = "skip"
    count: int | None = None
    since: str | None = None
    before: str | None = None
    roles: tuple[str, ...] = ()
    format: Format = "resp"
    with_summary: bool = True
    touch: bool = True
    block_ms: int | None = None


@dataclass(slots=True)
class FlushRequest:
    """Compact a memory.

    Args:
        strategy: how, or None for the definition's way.
        target: tokens to get down to, or None for the definition's target.
        force: below the threshold too.
        dry_run: plan and report, and change nothing.
        wait_ms: None: do not wait for the outcome.
        undo: put back what the last flush took, instead of all the above.
        trace: `traceparent` of what asks for it, "" where it is in no trace.
    """

    memory: Memory
    force: bool = False
    wait_ms: int | None = None
    strategy: str | None = None
    target: int | None = None
    dry_run: bool = False
    undo: bool = False
    trace: str = ""


@dataclass(slots=True)
class InfoRequest:
    """Tell the state of a memory."""

    memory: Memory


@dataclass(slots=True)
class ClearRequest:
    """Delete a memory with everything that belongs to it. `lock`: token of the lease that the caller holds, or None."""

    memory: Memory
    lock: str | None = None


@dataclass(slots=True)
class DeleteRequest:
    """Delete single messages; `pairs`: and what belongs to the same tool call."""

    memory: Memory
    ids: list[str]
    pairs: bool = False
    lock: str | None = None


@dataclass(slots=True)
class PinRequest:
    """Pin messages, or no longer (`pin` False)."""

    memory: Memory
    ids: list[str]
    pin: bool = True


@dataclass(slots=True)
class ForkRequest:
    """Copy `source` up to and with the id `at` (None: all of it) to the empty memory `memory`."""

    source: Memory
    memory: Memory
    at: str | None = None


@dataclass(slots=True)
class LockRequest:
    """Take the lease on a memory, or with `renew` (the token) extend it.

    Args:
        ttl_ms: length of the lease.
        wait_ms: how long to wait while somebody else holds it, 0 for not at all.
    """

    memory: Memory
    ttl_ms: int
    wait_ms: int = 0
    renew: str | None = None


@dataclass(slots=True)
class UnlockRequest:
    """Release the lease."""

    memory: Memory
    token: str


@dataclass(slots=True)
class ListRequest:
    """Walk the memories of the project.

    Args:
        cursor: "0" at the beginning, then what the last answer gave.
        pattern: Redis glob over `definition:instance`, or None.
        count: about how many keys to look at.
        due: only those that wait for a flush.
    """

    cursor: str = "0"
    pattern: bytes | None = None
    count: int = 10
    due: bool = False


@dataclass(slots=True)
class DefinitionsRequest:
    """Tell the ids of the definitions in force, or everything about one."""

    definition: str | None = None


@dataclass(slots=True)
class CountRequest:
    """Count the tokens of texts, in the encoding of a definition or of a model; of the default one without both."""

    texts: list[str]
    definition: str | None = None
    model: str | None = None


@dataclass(slots=True)
class ContextRequest:
    """Set the connection's template context, drop it (`clear`), or show it (neither). The session itself answers."""

    context: Mapping[str, Any] | None = None
    clear: bool = False


@dataclass(slots=True)
class HealthRequest:
    """Report on the sidecar itself."""


Request = (
    AppendRequest
    | ReadRequest
    | FlushRequest
    | InfoRequest
    | ClearRequest
    | DeleteRequest
    | PinRequest
    | ForkRequest
    | LockRequest
    | UnlockRequest
    | ListRequest
    | DefinitionsRequest
    | CountRequest
    | ContextRequest
    | HealthRequest
)


def asks_to_wait(request: Request | None) -> bool:
    """Whether a request may take long because its client wants it so: to wait for a message, a lock, or a flush."""
    if isinstance(request, ReadRequest):
        return request.block_ms is not None
    if isinstance(request, LockRequest):
        return request.wait_ms > 0
    return isinstance(request, FlushRequest) and request.wait_ms is not None
