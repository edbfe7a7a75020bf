"""A client that asks for memories: replies as maps, texts of messages, refusals in words."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
import redis.asyncio
import redis.exceptions

from tests.e2e.agents import as_map, run

FLUSH_LIMIT_MS = "30000"


class Talk:
    """One client of a sidecar."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client = client

    async def ask(self, *words: str) -> Any:
        """Send a command and return its reply."""
        return await run(self._client, *words)

    async def map(self, *words: str) -> dict[str, Any]:
        """Send a command whose reply is a map."""
        return as_map(await self.ask(*words))

    async def refused(self, *words: str) -> str:
        """Send a command that is refused, and return the words of the refusal."""
        with pytest.raises(redis.exceptions.ResponseError) as problem:
            await self.ask(*words)
        return str(problem.value)

    async def say(self, key: str, *texts: str, role: str = "user") -> dict[str, Any]:
        """Append texts of one role."""
        return await self.map("MEMAPPEND", key, *(word for text in texts for word in (role, text)))

    async def texts(self, key: str, *options: str) -> list[str]:
        """Return the texts of a memory's messages."""
        read = await self.map("MEMREAD", key, *options)
        return [as_map(message)["content"] for message in read["messages"]]

    async def flush(self, key: str, *options: str) -> None:
        """Flush a memory; it may be that the sidecar has done so by itself already."""
        flushed = await self.map("MEMFLUSH", key, *options, "WAIT", FLUSH_LIMIT_MS)
        assert flushed["status"] in ("done", "not-due")

    async def weights(self, key: str, messages: Sequence[str]) -> list[int]:
        """Append JSON messages one by one, and return what each weighs."""
        totals = [0]
        for message in messages:
            totals.append((await self.map("MEMAPPEND", key, "JSON", message))["tokens"])
        return [after - before for before, after in pairwise(totals)]
