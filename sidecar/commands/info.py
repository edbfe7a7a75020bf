"""MEMINFO and MEMCLEAR, which take a key and hardly anything else."""

from __future__ import annotations

from sidecar.commands.arguments import Arguments
from sidecar.commands.resolving import Resolve
from sidecar.memory.addressing import NO_CONTEXT, Memory
from sidecar.memory.requests import ClearRequest, InfoRequest
from sidecar.memory.results import MemoryInfo
from sidecar.resp.replies import Value

NEAR_LIMIT = 0.8
"""Usage from which `near-limit` is true: the default flush threshold, so that it means "a flush is due soon"."""


def parse_info(items: list[bytes], resolve: Resolve) -> InfoRequest:
    """Parse `key [CONTEXT json]`."""
    memory, _ = _parse(Arguments("MEMINFO", items), resolve, (b"CONTEXT",))
    return InfoRequest(memory)


def parse_clear(items: list[bytes], resolve: Resolve) -> ClearRequest:
    """Parse `key [CONTEXT json] [LOCK token]`."""
    return ClearRequest(*_parse(Arguments("MEMCLEAR", items), resolve, (b"CONTEXT", b"LOCK")))


def _parse(arguments: Arguments, resolve: Resolve, known: tuple[bytes, ...]) -> tuple[Memory, str | None]:
    key, context, lock = arguments.next("a key"), NO_CONTEXT, None
    while arguments:
        option = arguments.option()
        if option not in known:
            raise arguments.unknown(option, " and ".join(name.decode() for name in known))
        if option == b"CONTEXT":
            context = arguments.json_object("CONTEXT")
        else:
            lock = arguments.token("LOCK")
    return resolve(key, context), lock


def render_info(info: MemoryInfo) -> Value:
    """Return the map of MEMINFO."""
    return {
        "messages": info.messages,
        "tokens": info.tokens,
        "summary-tokens": info.summary_tokens,
        "pinned-tokens": info.pinned_tokens,
        "limit-tokens": info.limit_tokens,
        "limit-messages": info.limit_messages,
        "usage": info.usage,
        "near-limit": info.usage >= NEAR_LIMIT,
        "health": info.health,
        "flush": info.flush,
        "flush-due-since-ms": info.flush_due_since_ms,
        "last-flush-ms": info.last_flush_ms,
        "last-flush-strategy": info.last_flush_strategy,
        "last-flush-error": info.last_flush_error,
        "epoch": info.epoch,
        "ttl-ms": info.ttl_ms,
        "locked": info.locked,
        "encoding": info.encoding,
        "first-id": info.first_id,
        "last-id": info.last_id,
    }


def render_cleared(removed: int) -> Value:
    """Return the number of messages that were removed."""
    return removed
