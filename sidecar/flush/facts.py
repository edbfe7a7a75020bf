"""From a page of raw facts to what a plan may know of the messages: finds the tool calls in their JSON."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from sidecar.memory.message import MessageFacts
from sidecar.store.flush_words import RawFacts

NEVER_READ: Mapping[str, int] = MappingProxyType({})
"""The access times of a memory that has none."""


def to_facts(
    page: Iterable[RawFacts], kept: Container[str], read: Mapping[str, int] = NEVER_READ
) -> list[MessageFacts]:
    """Return the facts of a page.

    Args:
        page: as the store reads it.
        kept: ids of the messages that must never be removed.
        read: when a read last returned a message, in ms, by its id.
    """
    facts = []
    for raw in page:
        calls, answers = _tool_ids(raw.fields) if raw.fields else ((), None)
        facts.append(
            MessageFacts(
                raw.id,
                raw.role,
                raw.tokens,
                calls,
                answers,
                raw.id in kept,
                raw.kind,
                raw.text_bytes,
                read.get(raw.id),
            )
        )
    return facts


def gone(read: Mapping[str, int], facts: Iterable[MessageFacts], last_id: str) -> list[str]:
    """Return the ids among access times whose messages are gone.

    Args:
        read: access times by id.
        facts: all messages of the snapshot.
        last_id: the end of the snapshot; what is newer may well be there.
    """
    if not read:
        return []
    there, end = {fact.id for fact in facts}, _number(last_id)
    return [id_ for id_ in read if id_ not in there and _number(id_) <= end]


def _number(id_: str) -> tuple[int, int]:
    """Return an id as what it is compared by; what is none comes first, so that a member made by hand goes."""
    ms, _, seq = id_.partition("-")
    return (int(ms), int(seq)) if ms.isdecimal() and seq.isdecimal() else (0, 0)


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
