"""What each MEM command asks of the memory service, already parsed and checked."""

from __future__ import annotations

from dataclasses import dataclass

from sidecar.memory.addressing import Memory
from sidecar.memory.message import Message

MAX_REQUEST_MESSAGES = 16_384
"""Most messages of one append: it is one script of about 0.1 s, and Redis serves nobody else meanwhile."""

LARGE_MESSAGE_CHARACTERS = 64 * 1024
"""Above this, counting tokens takes long enough to be noticed by other clients and happens off the event loop."""


@dataclass(slots=True)
class AppendRequest:
    """Store messages, in order, all or none. `large`: together they are above `LARGE_MESSAGE_CHARACTERS`."""

    memory: Memory
    messages: list[Message]
    large: bool = False


@dataclass(slots=True)
class ReadRequest:
    """Read messages.

    Args:
        tokens: most tokens of all that is returned, or None.
        count: most messages (the newest; after `since`, the oldest), or None.
        since: only messages newer than this id, or None.
        openai: return the messages of an OpenAI request instead of a map.
        with_summary: whether the running summary is part of it.
        touch: whether reading extends the memory's life.
    """

    memory: Memory
    tokens: int | None = None
    count: int | None = None
    since: str | None = None
    openai: bool = False
    with_summary: bool = True
    touch: bool = True


@dataclass(slots=True)
class FlushRequest:
    """Compact a memory. `wait_ms` None means: do not wait for the outcome."""

    memory: Memory
    force: bool = False
    wait_ms: int | None = None


@dataclass(slots=True)
class InfoRequest:
    """Tell the state of a memory."""

    memory: Memory


@dataclass(slots=True)
class ClearRequest:
    """Delete a memory with everything that belongs to it."""

    memory: Memory


@dataclass(slots=True)
class CountRequest:
    """Count the tokens of texts, in the encoding of a definition or of a model; of the default one without both."""

    texts: list[str]
    definition: str | None = None
    model: str | None = None


@dataclass(slots=True)
class HealthRequest:
    """Report on the sidecar itself."""


Request = AppendRequest | ReadRequest | FlushRequest | InfoRequest | ClearRequest | CountRequest | HealthRequest
