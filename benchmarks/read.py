"""Reading what fits a budget: MEMREAD, against the same script on Redis, from a small and from a large memory.

A read is to cost what it returns, not what is stored. So besides the usual ratios there is that of the two sizes,
which has a limit.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from benchmarks.conversation import messages
from benchmarks.load import pack
from benchmarks.rows import READ_LARGE
from benchmarks.scenario import MEMSIDECAR, Case, Comparison, Contender, many
from benchmarks.scripts import ScriptCalls, load_scripts
from benchmarks.stage import DEFINITION, OwnMeter, Stage

BUDGET_TOKENS = 8_000
SMALL, LARGE = 1_000, 100_000

MESSAGES_PER_APPEND = 1_000
"""While the memories are filled. Both get the same texts over and over, and both sizes are multiples, so that a read
returns the same from either."""

_CONNECTIONS = (1, 50)


def read_cases(stage: Stage) -> Iterator[Case]:
    """Return the cases: both sizes side by side, once for latency and once for throughput."""
    for connections in _CONNECTIONS:
        yield _case(stage, connections)


def _case(stage: Stage, connections: int) -> Case:
    def by_sidecar(size: int) -> OwnMeter:
        request = pack("MEMREAD", f"{DEFINITION}:{size}", "TOKENS", BUDGET_TOKENS, "PEEK")
        return stage.meter(stage.sidecar.port, 1, [[request]] * connections)

    def by_redis(size: int) -> OwnMeter:
        load_scripts(stage.redis, "read")
        request = ScriptCalls(0).read(stage.memory(str(size)), BUDGET_TOKENS)
        return stage.meter(stage.redis_server.port, 1, [[request]] * connections)

    def names(size: int) -> tuple[str, str]:
        return f"{MEMSIDECAR}, {size:,} messages", f"Redis script, {size:,} messages"

    contenders: list[Contender] = []
    for size in (SMALL, LARGE):
        mine, theirs = names(size)
        contenders.append(Contender(theirs, partial(by_redis, size)))
        contenders.append(Contender(mine, partial(by_sidecar, size)))
    comparisons = [Comparison(*names(size)) for size in (SMALL, LARGE)]
    for who, row, small, large in zip(
        (MEMSIDECAR, "Redis"), (READ_LARGE, None), names(SMALL), names(LARGE), strict=True
    ):
        label = f"time of a read (p50) from {LARGE:,} : from {SMALL:,} messages, {who}"
        comparisons.append(Comparison(large, small, "p50_ms", label, row=row if connections == 1 else None))
    return Case(
        scenario="read",
        name=f"{many(connections)}, {BUDGET_TOKENS:,} tokens",
        parameters={"connections": connections, "pipeline": 1, "tokens": BUDGET_TOKENS},
        contenders=contenders,
        comparisons=comparisons,
        set_up=lambda: fill(stage),
    )


def fill(stage: Stage) -> None:
    """Make sure that both memories are there, filled through memsidecar, so with exact counts."""
    if stage.redis.exists(*(stage.memory(str(size)).keys.log for size in (SMALL, LARGE))) == 2:
        return
    stage.empty()
    texts = messages(MESSAGES_PER_APPEND)
    turns = [word for number, text in enumerate(texts) for word in ("assistant" if number % 2 else "user", text)]
    for size in (SMALL, LARGE):
        for _ in range(0, size, MESSAGES_PER_APPEND):
            stage.ask("MEMAPPEND", f"{DEFINITION}:{size}", *turns)
