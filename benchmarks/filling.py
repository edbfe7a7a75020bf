"""Fills memories quickly: the sidecar's own script, called directly, a thousand messages at a time and in a pipeline.

MEMAPPEND would do the same and take a minute for a million messages. Counts, totals and marks are the sidecar's either
way; only nothing is measured here.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence

import hiredis

from benchmarks.client import FIRST_NUMBER, LoadFailed
from benchmarks.conversation import turns
from benchmarks.load import NUMBER
from benchmarks.scripts import ScriptCalls, load_scripts
from benchmarks.stage import Stage
from sidecar.dev.ports import LOOPBACK

TURNS = 1_000
"""Messages per call. All calls bring the same ones, so what fits a budget is the same at the end of every memory whose
size is a multiple."""

AHEAD = 8
"""Calls sent before the first reply is read: 2 MB, so that Redis never waits for us."""

READ_BYTES = 64 * 1024
"""At once from the socket: all replies that there can be."""

SILENCE_LIMIT_S = 60.0
"""For one call, some 10 ms of Redis's time, on a machine that does other things too."""


def fill(stage: Stage, instance: str, size: int) -> None:
    """Append `size` messages, a multiple of `TURNS`, to a memory.

    Raises:
        LoadFailed: Redis refused a call.
    """
    assert size % TURNS == 0, "calls have all the same messages"
    load_scripts(stage.redis, "append")
    call = ScriptCalls(0).append(stage.memory(instance), *turns(TURNS))
    send(stage.redis_server.port, (call.replace(NUMBER, b"%d" % (FIRST_NUMBER + at)) for at in range(size // TURNS)))


def fill_each(stage: Stage, instances: Sequence[str], size: int) -> None:
    """Append the same `size` messages, of one call, to each of several memories.

    Raises:
        LoadFailed: Redis refused a call.
    """
    load_scripts(stage.redis, "append")
    calls, said = ScriptCalls(0), turns(size)
    memories = (stage.memory(instance) for instance in instances)
    send(
        stage.redis_server.port,
        (calls.append(memory, *said).replace(NUMBER, b"%d" % FIRST_NUMBER) for memory in memories),
    )


def send(port: int, requests: Iterable[bytes]) -> None:
    """Send packed requests to the server on `port`, some ahead of the replies, and wait for all of them.

    Raises:
        LoadFailed: one was refused, or the server went away.
    """
    with socket.create_connection((LOOPBACK, port), timeout=SILENCE_LIMIT_S) as connection:
        reader, missing = hiredis.Reader(notEnoughData=NotImplemented), 0
        for request in requests:
            connection.sendall(request)
            missing += 1
            while missing >= AHEAD:
                missing -= _take(connection, reader)
        while missing:
            missing -= _take(connection, reader)


def _take(connection: socket.socket, reader: hiredis.Reader) -> int:
    """Read what is there and return how many replies it ends."""
    data = connection.recv(READ_BYTES)
    if not data:
        raise LoadFailed("Redis closed the connection while a memory was filled")
    reader.feed(data)
    found = 0
    while (reply := reader.gets()) is not NotImplemented:
        if isinstance(reply, Exception):
            raise LoadFailed(f"a memory could not be filled: {reply}")
        found += 1
    return found
