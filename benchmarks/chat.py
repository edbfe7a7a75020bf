"""Reading a conversation as the JSON that goes into a model's request: MEMREAD FORMAT OPENAI, against LRANGE.

LRANGE returns the same bytes, cut into an element per message, and leaves it to the client to put them together: it
knows no budgets, no counts and no pairs of calls and results.
"""

from __future__ import annotations

from collections.abc import Iterator
from json import JSONDecoder

from benchmarks.client import LoadFailed
from benchmarks.conversation import messages
from benchmarks.load import pack
from benchmarks.rows import READ_CHAT
from benchmarks.scenario import MEMSIDECAR, Case, Comparison, Contender, many
from benchmarks.stage import DEFINITION, Stage

MESSAGES = 200
MEMORY, LIST = f"{DEFINITION}:chat", "benchmark:chat"

_LRANGE = "Redis LRANGE"
_CONNECTIONS = (1, 50)
_ON_THE_SCORECARD = 50
"""Connections with which throughput is compared."""


def chat_cases(stage: Stage) -> Iterator[Case]:
    """Return the cases, for latency and for throughput."""
    for connections in _CONNECTIONS:
        yield _case(stage, connections)


def _case(stage: Stage, connections: int) -> Case:
    read = pack("MEMREAD", MEMORY, "FORMAT", "OPENAI", "PEEK")
    lrange = pack("LRANGE", LIST, 0, -1)
    ports = stage.sidecar.port, stage.redis_server.port
    return Case(
        scenario="chat",
        name=f"{many(connections)}, {MESSAGES} messages",
        parameters={"connections": connections, "pipeline": 1, "messages": MESSAGES},
        contenders=[
            Contender(_LRANGE, lambda: stage.meter(ports[1], 1, [[lrange]] * connections)),
            Contender(MEMSIDECAR, lambda: stage.meter(ports[0], 1, [[read]] * connections)),
        ],
        comparisons=[
            Comparison(MEMSIDECAR, _LRANGE, row=READ_CHAT if connections == _ON_THE_SCORECARD else None),
        ],
        set_up=lambda: set_up(stage),
    )


def set_up(stage: Stage) -> None:
    """Fill the memory, and the list with the same bytes."""
    stage.ask("MEMCLEAR", MEMORY)
    for number, text in enumerate(messages(MESSAGES)):
        stage.ask("MEMAPPEND", MEMORY, ("user", "assistant")[number % 2], text)
    elements = cut(stage.ask("MEMREAD", MEMORY, "FORMAT", "OPENAI", "PEEK").decode())
    if len(elements) != MESSAGES:
        raise LoadFailed(f"MEMREAD FORMAT OPENAI returned {len(elements)} of {MESSAGES} messages")
    stage.redis.delete(LIST)
    stage.redis.rpush(LIST, *elements)


def cut(array: str) -> list[str]:
    """Return the elements of a JSON array, each as it is written there."""
    decoder, found, at = JSONDecoder(), [], array.index("[") + 1
    while (at := _skip(array, at)) < len(array):
        _, end = decoder.raw_decode(array, at)
        found.append(array[at:end])
        at = end
    return found


def _skip(text: str, at: int) -> int:
    """Return where the next element begins."""
    while at < len(text) and text[at] in " ,\n]":
        at += 1
    return at
