"""Reading what fits a budget: MEMREAD, against the same script on Redis, from a small memory and from large ones.

A read is to cost what it returns, not what is stored. So besides the usual ratios there are those of the sizes. What
a read costs that makes JSON for a model's API is in `chat`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from benchmarks.filling import fill
from benchmarks.load import pack
from benchmarks.rows import READ, READ_HUGE, READ_LARGE
from benchmarks.scenario import MEMSIDECAR, Case, Comparison, Contender, many
from benchmarks.scripts import ScriptCalls, load_scripts
from benchmarks.stage import DEFINITION, OwnMeter, Stage

BUDGET_TOKENS = 8_000
SMALL, LARGE, HUGE = 1_000, 100_000, 1_000_000

_CONNECTIONS = (1, 50)
_GROWTH = {LARGE: READ_LARGE, HUGE: READ_HUGE}


def read_cases(stage: Stage, *, huge: bool) -> Iterator[Case]:
    """Return the cases: all sizes side by side, once for latency and once for throughput.

    Args:
        huge: whether there is to be a memory of `HUGE` messages, which takes some ten seconds and 300 MB of Redis.
    """
    sizes = (SMALL, LARGE, HUGE) if huge else (SMALL, LARGE)
    for connections in _CONNECTIONS:
        yield _case(stage, connections, sizes)


def _case(stage: Stage, connections: int, sizes: tuple[int, ...]) -> Case:
    def by_sidecar(size: int) -> OwnMeter:
        request = pack("MEMREAD", f"{DEFINITION}:{size}", "TOKENS", BUDGET_TOKENS, "PEEK")
        return stage.meter(stage.sidecar.port, 1, [[request]] * connections)

    def by_redis(size: int) -> OwnMeter:
        load_scripts(stage.redis, "read")
        request = ScriptCalls(0).read(stage.memory(str(size)), BUDGET_TOKENS)
        return stage.meter(stage.redis_server.port, 1, [[request]] * connections)

    contenders: list[Contender] = []
    for size in sizes:
        contenders.append(Contender(_name("Redis script", size), partial(by_redis, size)))
        contenders.append(Contender(_name(MEMSIDECAR, size), partial(by_sidecar, size)))
    return Case(
        scenario="read",
        name=f"{many(connections)}, {BUDGET_TOKENS:,} tokens",
        parameters={"connections": connections, "pipeline": 1, "tokens": BUDGET_TOKENS},
        contenders=contenders,
        comparisons=list(_comparisons(connections, sizes)),
        set_up=lambda: _fill_all(stage, sizes),
    )


def _comparisons(connections: int, sizes: tuple[int, ...]) -> Iterator[Comparison]:
    # The scorecard has latencies, which one client at a time shows; fifty wait for each other.
    alone = connections == 1
    small, *larger = sizes
    for size in sizes:
        yield Comparison(_name(MEMSIDECAR, size), _name("Redis script", size))
    if alone:
        yield Comparison(_name(MEMSIDECAR, small), None, "p50_ms", None, "value", READ)
    for size in larger:
        for who, row in ((MEMSIDECAR, _GROWTH[size] if alone else None), ("Redis script", None)):
            label = f"time of a read (p50) from {size:,} : from {small:,} messages, {who}"
            yield Comparison(_name(who, size), _name(who, small), "p50_ms", label, row=row)


def _name(who: str, size: int) -> str:
    return f"{who}, {size:,} messages"


def _fill_all(stage: Stage, sizes: tuple[int, ...]) -> None:
    """Make sure that the memories are there."""
    if stage.redis.exists(*(stage.memory(str(size)).keys.log for size in sizes)) == len(sizes):
        return
    stage.empty()
    for size in sizes:
        fill(stage, str(size), size)
