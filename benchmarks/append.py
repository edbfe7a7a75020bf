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
_SCRIPT, _RPUSH = "Redis script", "Redis RPUSH"

_PLACES = {(50, 1): (APPEND_SCRIPT, APPEND_RPUSH), (50, 16): (APPEND_SCRIPT_16, None)}
"""On the scorecard: connections and pipeline, and the rows of the ratios to the script and to RPUSH."""


def append_cases(stage: Stage) -> Iterator[Case]:
    """Return the cases: distinct memories and one memory, each with 1 and 50 connections and pipelines."""
    for memories in (MEMORIES, 1):
        for connections, pipeline in _VARIANTS:
            yield _case(stage, memories, connections, pipeline)


def _case(stage: Stage, memories: int, connections: int, pipeline: int) -> Case:
    def meter(port: int, request: Callable[[int, str, str, str], bytes]) -> OwnMeter:
        packed = [request(number, *turn) for number, turn in enumerate(_turns(memories))]
        return stage.meter(port, pipeline, deal(packed, connections=connections))

    def script() -> OwnMeter:
        load_scripts(stage.redis, "append")
        calls = [ScriptCalls(connection) for connection in range(connections)]
        return meter(
            stage.redis_server.port,
            lambda number, name, role, text: calls[number % connections].append(stage.memory(name), role, text),
        )

    return Case(
        scenario="append",
        name=f"{many(connections)}, pipeline {pipeline}, {'one memory' if memories == 1 else 'distinct memories'}",
        parameters={"connections": connections, "pipeline": pipeline, "memories": memories},
        contenders=[
            Contender(_SCRIPT, script),
            Contender(_RPUSH, lambda: meter(stage.redis_server.port, _rpush)),
            Contender(MEMSIDECAR, lambda: meter(stage.sidecar.port, _memappend)),
        ],
        comparisons=_comparisons(memories, connections, pipeline),
        prepare=stage.empty,
    )


def _comparisons(memories: int, connections: int, pipeline: int) -> list[Comparison]:
    script, rpush = _PLACES.get((connections, pipeline), (None, None)) if memories == MEMORIES else (None, None)
    found = [Comparison(MEMSIDECAR, _SCRIPT, row=script), Comparison(MEMSIDECAR, _RPUSH, row=rpush)]
    if memories == MEMORIES and connections == 1:
        found += [
            Comparison(MEMSIDECAR, _SCRIPT, "p50_ms", "p50, ms more than the script", "difference", APPEND_P50),
            Comparison(MEMSIDECAR, _SCRIPT, "p99_ms", "p99 : the script's", row=APPEND_P99),
        ]
    return found


def _turns(memories: int) -> Iterator[tuple[str, str, str]]:
    """Return instance, role and text of each message."""
    for number, text in enumerate(messages(REQUESTS)):
        yield f"{number % memories:06}", "assistant" if number // memories % 2 else "user", text


def _memappend(_: int, instance: str, role: str, text: str) -> bytes:
    return pack("MEMAPPEND", f"{DEFINITION}:{instance}", role, text)


def _rpush(_: int, instance: str, __: str, text: str) -> bytes:
    return pack("RPUSH", f"{DEFINITION}:{instance}", text)
