"""Reading a conversation as the JSON that goes into a model's request: MEMREAD FORMAT OPENAI, against LRANGE.

LRANGE returns the same bytes, cut into an element per message, and leaves it to the client to put them together: it
knows no budgets, no counts and no pairs of calls and results.

What is asked again while nothing has changed is a kept answer, which Redis only confirms; what was never asked is
looked up and written. So there are cases of both: of one memory over and over, and of more memories in a circle than
memsidecar keeps answers for, each of which has been forgotten when its turn comes again.
"""

from __future__ import annotations

from collections.abc import Iterator
from json import JSONDecoder
from typing import Any

from benchmarks.client import LoadFailed
from benchmarks.conversation import MESSAGE_BYTES, turns
from benchmarks.filling import fill_each, send
from benchmarks.load import deal, pack
from benchmarks.rows import READ_CHAT, READ_FIRST
from benchmarks.scenario import MEMSIDECAR, Case, Comparison, Contender, many
from benchmarks.stage import DEFINITION, OwnMeter, Stage
from sidecar.store.kept_reads import KEPT_BYTES

MESSAGES = 200
MEMORY, LIST = f"{DEFINITION}:chat", "benchmark:chat"

CIRCLE = KEPT_BYTES // (MESSAGES * MESSAGE_BYTES) + 1
"""Memories that are read in turn in place of ones that were never read: their texts alone are more than memsidecar
keeps, and what was not asked for longest goes first, so no answer is kept until it is asked again."""

_LRANGE = "Redis LRANGE"
_CONNECTIONS = (1, 50)
_ON_THE_SCORECARD = 50
"""Connections with which throughput is compared."""


def chat_cases(stage: Stage) -> Iterator[Case]:
    """Return the cases, for latency and for throughput: reads that are repeated, and first ones."""
    for connections in _CONNECTIONS:
        yield _repeated(stage, connections)
    for connections in _CONNECTIONS:
        yield _first(stage, connections)


def _repeated(stage: Stage, connections: int) -> Case:
    read = pack("MEMREAD", MEMORY, "FORMAT", "OPENAI", "PEEK")
    lrange = pack("LRANGE", LIST, 0, -1)
    return Case(
        scenario="chat",
        name=f"{many(connections)}, {MESSAGES} messages",
        parameters={"connections": connections, "pipeline": 1, "messages": MESSAGES},
        contenders=[
            Contender(_LRANGE, lambda: stage.meter(stage.redis_server.port, 1, [[lrange]] * connections)),
            Contender(MEMSIDECAR, lambda: stage.meter(stage.sidecar.port, 1, [[read]] * connections)),
        ],
        comparisons=[
            Comparison(MEMSIDECAR, _LRANGE, row=READ_CHAT if connections == _ON_THE_SCORECARD else None),
        ],
        set_up=lambda: set_up(stage),
    )


def _first(stage: Stage, connections: int) -> Case:
    def meter(port: int, requests: list[bytes]) -> OwnMeter:
        return stage.meter(port, 1, deal(requests, connections=connections))

    return Case(
        scenario="chat",
        name=f"{many(connections)}, {MESSAGES} messages, first reads",
        parameters={"connections": connections, "pipeline": 1, "messages": MESSAGES, "memories": CIRCLE},
        contenders=[
            Contender(_LRANGE, lambda: meter(stage.redis_server.port, _lranges())),
            Contender(MEMSIDECAR, lambda: meter(stage.sidecar.port, first_reads())),
        ],
        comparisons=[Comparison(MEMSIDECAR, _LRANGE, row=READ_FIRST[connections])],
        set_up=lambda: set_up_circle(stage),
    )


def first_reads() -> list[bytes]:
    """Return a request for each memory of the circle."""
    return [pack("MEMREAD", f"{DEFINITION}:{_instance(at)}", "FORMAT", "OPENAI", "PEEK") for at in range(CIRCLE)]


def _lranges() -> list[bytes]:
    return [pack("LRANGE", _list(at), 0, -1) for at in range(CIRCLE)]


def _instance(at: int) -> str:
    return f"chat-{at}"


def _list(at: int) -> str:
    return f"{LIST}-{at}"


def set_up_circle(stage: Stage) -> None:
    """Fill the memories of the circle, and a list with the same bytes for each of them, unless they are there."""
    if stage.redis.exists(_list(CIRCLE - 1)):
        return
    stage.empty()
    set_up(stage)
    elements: Any = stage.redis.lrange(LIST, 0, -1)
    fill_each(stage, [_instance(at) for at in range(CIRCLE)], MESSAGES)
    send(stage.redis_server.port, (pack("RPUSH", _list(at), *elements) for at in range(CIRCLE)))


def set_up(stage: Stage) -> None:
    """Fill the memory, and the list with the same bytes."""
    stage.ask("MEMCLEAR", MEMORY)
    stage.ask("MEMAPPEND", MEMORY, *(word for turn in turns(MESSAGES) for word in turn))
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
