"""From a page of raw facts to what a plan may know of the messages: finds the tool calls in their JSON."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any

import msgspec

from sidecar.memory.message import MessageFacts
from sidecar.store.flush_store import RawFacts


def to_facts(page: Iterable[RawFacts], kept: Container[str]) -> list[MessageFacts]:
    """Return the facts of a page.

    Args:
        page: as the store reads it.
        kept: ids of the messages that must never be removed.
    """
    facts = []
    for raw in page:
        calls, answers = _tool_ids(raw.fields) if raw.fields else ((), None)
        facts.append(MessageFacts(raw.id, raw.role, raw.tokens, calls, answers, raw.id in kept, raw.kind))
    return facts


def _tool_ids(fields: str) -> tuple[tuple[str, ...], str | None]:
    """Return the ids of the calls made and of the call answered.

    Whatever is not in the OpenAI form counts as no tool message: one odd entry must not stop every flush.
    """
    try:
        message: Any = msgspec.json.decode(fields)
    except msgspec.DecodeError:
        return (), None
    if not isinstance(message, dict):
        return (), None
    calls, answers = message.get("tool_calls"), message.get("tool_call_id")
    found = [call.get("id") for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    return tuple(id_ for id_ in found if isinstance(id_, str)), answers if isinstance(answers, str) else None
