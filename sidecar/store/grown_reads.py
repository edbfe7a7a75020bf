"""Goes on from an earlier read where messages have only been appended since: an agent reads after each turn, and all
but the last few messages are what they were.

That nothing else has happened is told by Redis, in `lua/read.lua`, which returns the new messages only; what has to be
left out in their favour is known here. Where more would have to be known, it is read anew.
"""

from __future__ import annotations

from sidecar.memory.message import PROTECTED_ROLES
from sidecar.memory.requests import ReadRequest
from sidecar.memory.results import ReadResult
from sidecar.memory.stored_message import StoredMessage
from sidecar.store.kept_reads import Kept

CANNOT = -1
"""Instead of a number of tokens: it must be read anew, whatever has come."""

ANY = 2**53
"""Tokens of a message, whatever it is."""


def most_new_tokens(request: ReadRequest, kept: Kept) -> int:
    """Return how many tokens each new message may have so that `grown` knows the answer; `CANNOT` where it never does.

    Args:
        request: what is asked, which is what `kept` was the answer to.
        kept: the earlier answer. It is looked through once.
    """
    if kept.most_new_tokens is None:
        kept.most_new_tokens = _most_new_tokens(request, kept)
    return kept.most_new_tokens


def _most_new_tokens(request: ReadRequest, kept: Kept) -> int:
    if request.since is not None or request.before is not None or request.roles:
        return CANNOT
    if request.tokens is None:
        return ANY
    result, messages = kept.result, kept.messages
    if request.count is not None or request.memory.definition.token_allocation or result.left_out:
        return CANNOT
    if any(message.fields is not None for message in messages):
        return CANNOT  # there may be tool calls, which go as a whole
    instructions = [message.tokens for message in messages if message.role in PROTECTED_ROLES]
    if len(instructions) != kept.pinned:
        return CANNOT  # others are pinned, and which ones only Redis knows
    return request.tokens - result.summary_tokens - sum(instructions)


def grown(request: ReadRequest, kept: Kept, new: list[StoredMessage], totals: tuple[int, int]) -> ReadResult:
    """Return the answer to a request.

    Args:
        request: as above.
        kept: the earlier answer.
        new: what was appended since, oldest first.
        totals: messages, and tokens with the summary, of the whole memory.
    """
    before = kept.result
    messages = kept.messages + new
    whole = len(messages)
    if request.tokens is not None:
        messages = _fitting(messages, request.tokens - before.summary_tokens)
    elif request.count is not None:
        messages = messages[-request.count :]
    return ReadResult(
        summary=before.summary,
        summary_tokens=before.summary_tokens,
        messages=messages,
        total_messages=totals[0],
        total_tokens=totals[1],
        more=before.more or len(messages) < whole,
        left_out=0,
        format=before.format,
    )


def _fitting(messages: list[StoredMessage], room: int) -> list[StoredMessage]:
    """Return instructions, and of the others the newest without a gap, as far as they fit into `room` tokens."""
    excess = sum([message.tokens for message in messages]) - room
    fitting: list[StoredMessage] = []
    for at, message in enumerate(messages):
        if excess <= 0:
            return fitting + messages[at:]
        if message.role in PROTECTED_ROLES:
            fitting.append(message)
        else:
            excess -= message.tokens
    return fitting
