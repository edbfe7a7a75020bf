"""The extractive summariser behind the port `Summariser`.

The work itself is in the pure module `sidecar.flush.extractive`; here it is only decided where it runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from sidecar.flush.extractive import summarise
from sidecar.memory.stored_message import StoredMessage

INLINE_CHARS = 2_000
"""Texts up to this, the earlier summary included, are summarised on the event loop: it takes 3 ms."""

INLINE_MESSAGES = 20
"""More messages are not even measured, but go to a thread at once."""


class ExtractiveSummariser:
    """Quotes the sentences that hold the most facts. Needs no model and no network; equal input, equal summary."""

    async def summarise(
        self, earlier: str, messages: Sequence[StoredMessage], budget: int, count: Callable[[str], int]
    ) -> str:
        """Return a summary of at most `budget` tokens; see `sidecar.flush.extractive.summarise`.

        Args:
            earlier: the summary so far; "" if there is none.
            messages: what is to be removed, oldest first. The caller does not change it meanwhile.
            budget: most tokens of the result.
            count: exact tokens of a text; is called from another thread if there is much to read. That thread
                goes on to its end when the caller is cancelled, and its result is dropped.
        """
        if len(messages) <= INLINE_MESSAGES:
            # Fields may hold the whole content, as a list of parts.
            chars = sum(len(message.content) + len(message.fields or "") for message in messages)
            if chars + len(earlier) <= INLINE_CHARS:
                return summarise(earlier, messages, budget, count)
        return await asyncio.to_thread(summarise, earlier, messages, budget, count)
