"""Leaves out tool messages that a model's API would refuse: results without their call, and calls without results.

A read that is cut off at a budget can begin between a call and its results. Those that are still to come, because
the call is the end of the conversation so far, are no orphans.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from sidecar.memory.stored_message import StoredMessage


def without_orphans(messages: Sequence[StoredMessage], *, up_to_now: bool = True) -> list[StoredMessage]:
    """Return the messages of complete tool units, in order.

    Args:
        messages: oldest first.
        up_to_now: whether the conversation ends with them, so that results may be still to come.
    """
    if not any(message.fields and '"tool_call' in message.fields for message in messages):
        return list(messages)
    links = [_links(message) for message in messages]
    open_calls: dict[str, int] = {}  # tool call id -> index of the nearest message before that made it
    missing: dict[int, set[str]] = {}  # index of a calling message -> calls that are not answered yet
    answered_by: dict[int, int] = {}  # index of a result -> index of its call
    for index, (calls, answers) in enumerate(links):
        if calls:
            missing[index] = set(calls)
            open_calls.update(dict.fromkeys(calls, index))
        elif answers is not None and answers in open_calls:
            answered_by[index] = open_calls[answers]
            missing[open_calls[answers]].discard(answers)
    last_spoken = max((i for i, message in enumerate(messages) if message.role != "tool"), default=-1)
    if not up_to_now:
        last_spoken = len(messages)
    broken = {index for index, calls in missing.items() if calls and index < last_spoken}
    kept = []
    for index, message in enumerate(messages):
        orphan = links[index][1] is not None and answered_by.get(index, -1) in broken | {-1}
        if not orphan and index not in broken:
            kept.append(message)
    return kept


def _links(message: StoredMessage) -> tuple[tuple[str, ...], str | None]:
    """Return the ids of the tool calls that a message makes, and the one that it answers."""
    if not message.fields or '"tool_call' not in message.fields:
        return (), None
    fields = json.loads(message.fields)
    calls = tuple(call["id"] for call in fields.get("tool_calls") or ())
    return calls, fields.get("tool_call_id") if message.role == "tool" else None
