"""The OpenAI Agents SDK's `RedisSession`, used as its docstring shows: `from_url`, `add_items`, `get_items`.

It knows a limit of items, but no budget of tokens, so a read is all there is.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from agents.extensions.memory import RedisSession

from benchmarks.peers.drivers.protocol import Place, Turn, serve_asyncio


class OpenAiAgents:
    """A `protocol.AsyncMemory`."""

    def __init__(self, place: Place) -> None:
        self._session = RedisSession.from_url(place.memory, url=place.url)

    def append(self, role: str, text: str) -> Awaitable[object]:
        return self.extend([(role, text)])

    async def extend(self, turns: list[Turn]) -> object:
        return await self._session.add_items([{"role": role, "content": text} for role, text in turns])

    async def read(self) -> Any:
        return await self._session.get_items()

    everything = read

    def text_of(self, message: Any) -> str:
        return str(message["content"])


if __name__ == "__main__":
    serve_asyncio(OpenAiAgents)
