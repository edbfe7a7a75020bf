"""LangChain's `RedisChatMessageHistory`, used as its docstring shows: `add_message`, `add_messages`, `messages`.

It knows no budget, so a read is all there is.
"""

from __future__ import annotations

from typing import Any

from langchain_community.chat_message_histories import RedisChatMessageHistory
from langchain_core.messages import AIMessage, HumanMessage

from benchmarks.peers.drivers.protocol import Place, Turn, serve

_KINDS = {"user": HumanMessage, "assistant": AIMessage}


class LangChain:
    """A `protocol.Memory`."""

    def __init__(self, place: Place) -> None:
        self._history = RedisChatMessageHistory(place.memory, url=place.url)

    def append(self, role: str, text: str) -> object:
        return self._history.add_message(_KINDS[role](content=text))

    def extend(self, turns: list[Turn]) -> object:
        return self._history.add_messages([_KINDS[role](content=text) for role, text in turns])

    def read(self) -> Any:
        return self._history.messages

    everything = read

    def text_of(self, message: Any) -> str:
        return str(message.content)


if __name__ == "__main__":
    serve(LangChain)
