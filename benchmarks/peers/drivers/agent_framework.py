"""Microsoft Agent Framework's `RedisHistoryProvider`: `save_messages` and `get_messages`, which agents call.

It knows a number of messages to keep, but no budget of tokens, so a read is all there is.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from agent_framework import Message
from agent_framework.redis import RedisHistoryProvider

from benchmarks.peers.drivers.protocol import Place, Turn, serve_asyncio


class AgentFramework:
    """A `protocol.AsyncMemory`."""

    def __init__(self, place: Place) -> None:
        self._history = RedisHistoryProvider(redis_url=place.url, application_id="bench")
        self._session = place.memory

    def append(self, role: str, text: str) -> Awaitable[object]:
        return self.extend([(role, text)])

    async def extend(self, turns: list[Turn]) -> object:
        return await self._history.save_messages(self._session, [Message(role, [text]) for role, text in turns])

    async def read(self) -> Any:
        return await self._history.get_messages(self._session)

    everything = read

    def text_of(self, message: Any) -> str:
        return str(message.text)


if __name__ == "__main__":
    serve_asyncio(AgentFramework)
