"""The generator's own ceiling: a bare PING to Redis, which costs Redis next to nothing.

Ratios of rates near this ceiling are flattened: there the generator is compared with itself. It is not a contest, so
there is one contender.
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.load import pack
from benchmarks.scenario import Case, Contender, many
from benchmarks.stage import OwnMeter, Stage

_VARIANTS = ((1, 1), (50, 1), (50, 16))


def ceiling_cases(stage: Stage) -> Iterator[Case]:
    """Return one case for each number of connections and pipeline that the other scenarios use."""
    for connections, pipeline in _VARIANTS:
        yield _case(stage, connections, pipeline)


def _case(stage: Stage, connections: int, pipeline: int) -> Case:
    def ready() -> OwnMeter:
        return stage.meter(stage.redis_server.port, pipeline, [[pack("PING")] * pipeline] * connections)

    return Case(
        scenario="ceiling",
        name=f"PING, {many(connections)}, pipeline {pipeline}",
        parameters={"connections": connections, "pipeline": pipeline},
        contenders=[Contender("Redis", ready)],
    )
