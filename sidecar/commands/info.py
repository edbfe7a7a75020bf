"""MEMINFO and MEMCLEAR, which take a key and nothing else."""

from __future__ import annotations

from collections.abc import Callable

from sidecar.memory.addressing import Memory
from sidecar.memory.requests import ClearRequest, InfoRequest
from sidecar.memory.results import MemoryInfo
from sidecar.resp.replies import Value

NEAR_LIMIT = 0.8
"""Usage from which `near-limit` is true: the default flush threshold, so that it means "a flush is due soon"."""


def parse_info(items: list[bytes], resolve: Callable[[bytes], Memory]) -> InfoRequest:
    """Parse `key`."""
    return InfoRequest(resolve(items[0]))


def parse_clear(items: list[bytes], resolve: Callable[[bytes], Memory]) -> ClearRequest:
    """Parse `key`."""
    return ClearRequest(resolve(items[0]))


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
        "flush": info.flush,
        "flush-due-since-ms": info.flush_due_since_ms,
        "last-flush-ms": info.last_flush_ms,
        "last-flush-strategy": info.last_flush_strategy,
        "last-flush-error": info.last_flush_error,
        "epoch": info.epoch,
        "ttl-ms": info.ttl_ms,
        "encoding": info.encoding,
        "first-id": info.first_id,
        "last-id": info.last_id,
    }


def render_cleared(removed: int) -> Value:
    """Return the number of messages that were removed."""
    return removed
