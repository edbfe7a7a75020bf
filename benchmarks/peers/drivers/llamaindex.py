"""LlamaIndex's `ChatMemoryBuffer` over `RedisChatStore`, used as its documentation shows: `put`, `get`.

The tokenizer is tiktoken's, as LlamaIndex itself sets it up, but from a vocabulary on this machine: the one that
LlamaIndex would take comes from the net.
"""

from __future__ import annotations

from base64 import b64decode
from functools import partial
from pathlib import Path
from typing import Any

import tiktoken
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.storage.chat_store.redis import RedisChatStore

from benchmarks.peers.drivers.protocol import Place, Turn, serve


class LlamaIndex:
    """A `protocol.Memory`."""

    def __init__(self, place: Place) -> None:
        self._buffer = ChatMemoryBuffer.from_defaults(
            token_limit=place.budget,
            chat_store=RedisChatStore(redis_url=place.url),
            chat_store_key=place.memory,
            tokenizer_fn=partial(_encoding(place.vocabulary).encode, allowed_special="all"),
        )

    def append(self, role: str, text: str) -> object:
        return self._buffer.put(ChatMessage(role=role, content=text))

    def extend(self, turns: list[Turn]) -> object:
        return self._buffer.put_messages([ChatMessage(role=role, content=text) for role, text in turns])

    def read(self) -> Any:
        return self._buffer.get()

    def everything(self) -> Any:
        return self._buffer.get_all()

    def text_of(self, message: Any) -> str:
        return str(message.content)


def _encoding(vocabulary: dict[str, Any]) -> tiktoken.Encoding:
    lines = (line.split() for line in Path(vocabulary["path"]).read_bytes().splitlines())
    return tiktoken.Encoding(
        name=vocabulary["name"],
        pat_str=vocabulary["pattern"],
        mergeable_ranks={b64decode(token): int(rank) for token, rank in lines},
        special_tokens=vocabulary["special_tokens"],
    )


if __name__ == "__main__":
    serve(LlamaIndex)
