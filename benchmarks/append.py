"""Appending: MEMAPPEND, against the same script on Redis with tokens counted beforehand, and against a bare RPUSH.

The script tells what the sidecar adds (parsing, counting tokens, one more hop), RPUSH what a list without totals,
counts and threshold would cost, which is not the same service.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from benchmarks.conversation import messages
from benchmarks.load import deal, pack
from benchmarks.rows import APPEND_P50, APPEND_P99, APPEND_RPUSH, APPEND_SCRIPT, APPEND_SCRIPT_16
from benchmarks.scenario import MEMSIDECAR, Case, Comparison, Contender, many
from benchmarks.scripts import ScriptCalls, load_scripts
from benchmarks.stage import DEFINITION, OwnMeter, Stage

REQUESTS = 8_000
"""Different requests before the circle begins anew: a multiple of 50 connections times pipelines of 16."""

MEMORIES = 1_000
"""Distinct memories; a pipeline of 16 never meets the same one twice."""

_VARIANTS = ((1, 1), (50, 1), (50, 16))
SCRIPT, _RPUSH = "Redis script", "Redis RPUSH"

_PLACES = {(50, 1): (APPEND_SCRIPT, APPEND_RPUSH), (50, 16): (APPEND_SCRIPT_16, None)}
"""On the scorecard: connections and pipeline, and the rows of the ratios to the script and to RPUSH."""


def append_cases(stage: Stage) -> Iterator[Case]:
    """Return the cases: distinct memories and one memory, each with 1 and 50 connections and pipelines."""
    for memories in (MEMORIES, 1):
        for connections, pipeline in _VARIANTS:
            yield _case(stage, memories, connections, pipeline)


def _case(stage: Stage, memories: int, connections: int, pipeline: int) -> Case:
    return Case(
        scenario="append",
        name=f"{many(connections)}, pipeline {pipeline}, {'one memory' if memories == 1 else 'distinct memories'}",
        parameters={"connections": connections, "pipeline": pipeline, "memories": memories},
        contenders=[
            Contender(SCRIPT, lambda: by_script(stage, memories, connections, pipeline)),
            Contender(_RPUSH, lambda: _meter(stage, stage.redis_server.port, _rpush, memories, connections, pipeline)),
            Contender(MEMSIDECAR, lambda: by_sidecar(stage, memories, connections, pipeline)),
        ],
        comparisons=_comparisons(memories, connections, pipeline),
        prepare=stage.empty,
    )


def by_sidecar(stage: Stage, memories: int, connections: int, pipeline: int) -> OwnMeter:
    """Return a meter of MEMAPPEND, one message a command, to `memories` in turn."""
    return _meter(stage, stage.sidecar.port, _memappend, memories, connections, pipeline)


def by_script(stage: Stage, memories: int, connections: int, pipeline: int) -> OwnMeter:
    """Return a meter that sends the same messages to the script on Redis."""
    load_scripts(stage.redis, "append")
    calls = [ScriptCalls(connection) for connection in range(connections)]

    def request(number: int, name: str, role: str, text: str) -> bytes:
        return calls[number % connections].append(stage.memory(name), (role, text))

    return _meter(stage, stage.redis_server.port, request, memories, connections, pipeline)


def _meter(
    stage: Stage,
    port: int,
    request: Callable[[int, str, str, str], bytes],
    memories: int,
    connections: int,
    pipeline: int,
) -> OwnMeter:
    packed = [request(number, *turn) for number, turn in enumerate(_turns(memories))]
    return stage.meter(port, pipeline, deal(packed, connections=connections))


def _comparisons(memories: int, connections: int, pipeline: int) -> list[Comparison]:
    script, rpush = _PLACES.get((connections, pipeline), (None, None)) if memories == MEMORIES else (None, None)
    found = [Comparison(MEMSIDECAR, SCRIPT, row=script), Comparison(MEMSIDECAR, _RPUSH, row=rpush)]
    if memories == MEMORIES and connections == 1:
        found += [
            Comparison(MEMSIDECAR, SCRIPT, "p50_ms", "p50, ms more than the script", "difference", APPEND_P50),
            Comparison(MEMSIDECAR, SCRIPT, "p99_ms", "p99 : the script's", row=APPEND_P99),
        ]
    return found


def instance(number: int) -> str:
    """Return the name of a memory."""
    return f"{number:06}"


def _turns(memories: int) -> Iterator[tuple[str, str, str]]:
    """Return instance, role and text of each message."""
    for number, text in enumerate(messages(REQUESTS)):
        yield instance(number % memories), "assistant" if number // memories % 2 else "user", text


def _memappend(_: int, name: str, role: str, text: str) -> bytes:
    return pack("MEMAPPEND", f"{DEFINITION}:{name}", role, text)


def _rpush(_: int, name: str, __: str, text: str) -> bytes:
    return pack("RPUSH", f"{DEFINITION}:{name}", text)
