"""The sweeper on a real Redis, and the way from an append to a compacted memory without any notification."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container
from dataclasses import replace

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from sidecar.app.process import end
from sidecar.flush.dispatcher import Dispatcher
from sidecar.flush.local import LocalEngine
from sidecar.flush.steps import FlushSteps
from sidecar.flush.sweeper import MARKS_PER_SHARD, Sweeper
from sidecar.memory.catalogue import Catalogue
from sidecar.metrics import Metrics
from sidecar.store.outbox import Outbox
from tests.flush.memories import CHAT, DEFINITIONS, SPACE, SUMMED, LiveMemory, counted, talk
from tests.support.children import StartRedis
from tests.support.waiting import eventually


class Told:
    """Notes what the sweeper hands over."""

    def __init__(self) -> None:
        self.memories: list[tuple[str, str]] = []

    def notify(self, definition: str, instance: str) -> None:
        self.memories.append((definition, instance))


@pytest.fixture
def told() -> Told:
    """Nothing yet."""
    return Told()


def sweeper_of(
    redis: Redis,
    notify: Callable[[str, str], None],
    metrics: Metrics,
    *,
    interval_s: float = 60,
    grace_ms: int = 1_000,
    definitions: Container[str] = frozenset(DEFINITIONS),
) -> Sweeper:
    """Return a sweeper over the definitions of `memories`."""
    return Sweeper(
        outbox=Outbox(redis, SPACE),
        notify=notify,
        space=SPACE,
        definitions=definitions,
        metrics=metrics,
        interval_s=interval_s,
        grace_ms=grace_ms,
    )


async def mark(redis: Redis, instance: str, *, definition: str = "chat", age_ms: int = 5_000) -> None:
    """Mark a memory as due since `age_ms`."""
    seconds, micros = await redis.time()
    keys = SPACE.keys(definition, instance)
    await redis.zadd(keys.due, {keys.name: seconds * 1000 + micros // 1000 - age_ms})


async def test_marks_are_handed_over(redis_client: Redis, told: Told, metrics: Metrics) -> None:
    """Every mark older than the grace period is handed over; the metrics show depth and the oldest age."""
    for number in range(40):
        await mark(redis_client, f"i{number}", age_ms=5_000 + 1_000 * number)
    await mark(redis_client, "odd: {name} %", definition="summed")
    await mark(redis_client, "just now", age_ms=0)
    await sweeper_of(redis_client, told.notify, metrics).sweep()
    assert sorted(told.memories) == sorted(
        [*(("chat", f"i{number}") for number in range(40)), ("summed", "odd: {name} %")]
    )
    assert metrics.outbox_depth == 42
    assert metrics.outbox_age_seconds == pytest.approx(44, abs=2)


async def test_the_grace_period_is_configurable(redis_client: Redis, told: Told, metrics: Metrics) -> None:
    """With a longer grace period younger marks are left to whoever set them."""
    await mark(redis_client, "i", age_ms=5_000)
    await sweeper_of(redis_client, told.notify, metrics, grace_ms=60_000).sweep()
    assert told.memories == []
    assert metrics.outbox_depth == 1


async def test_an_empty_outbox_is_reported(redis_client: Redis, told: Told, metrics: Metrics) -> None:
    """When nothing is due any more, depth and age go back to zero."""
    metrics.outbox(7, 3.5)
    await sweeper_of(redis_client, told.notify, metrics).sweep()
    assert (told.memories, metrics.outbox_depth, metrics.outbox_age_seconds) == ([], 0, 0)


async def test_marks_that_stay_do_not_hide_the_others(redis_client: Redis, told: Told, metrics: Metrics) -> None:
    """However many old marks of a shard are never served, the next ones get their turn, and then the old again."""
    due = SPACE.keys("chat", "i").due
    shard = [name for name in (SPACE.keys("chat", f"n{number}") for number in range(30_000)) if name.due == due]
    names = [keys.name for keys in shard[: 2 * MARKS_PER_SHARD + 3]]
    assert len(names) == 2 * MARKS_PER_SHARD + 3
    await redis_client.zadd(due, {name: at for at, name in enumerate(names)})
    sweeper = sweeper_of(redis_client, told.notify, metrics)
    sizes = []
    for _ in range(4):
        told.memories.clear()
        await sweeper.sweep()
        sizes.append(len(told.memories))
        assert metrics.outbox_depth == len(names)
    assert sizes == [MARKS_PER_SHARD, MARKS_PER_SHARD, 3, MARKS_PER_SHARD]


async def test_unservable_marks_are_counted_logged_once_and_stay(
    redis_client: Redis, told: Told, metrics: Metrics, capsys: pytest.CaptureFixture[str]
) -> None:
    """A definition that is gone, or a name that is none, is never handed over, and does not fill the log."""
    for instance in ("a", "b"):
        memory = LiveMemory(redis_client, replace(CHAT, id="gone"), instance)
        await memory.append(talk(1))
        await mark(redis_client, instance, definition="gone")
    await redis_client.zadd(SPACE.outbox(3), {b"\xff": 1, b"other:chat:i": 1, b"default:chat": 1})
    await mark(redis_client, "i")
    sweeper = sweeper_of(redis_client, told.notify, metrics)
    await sweeper.sweep()
    await sweeper.sweep()
    assert told.memories == [("chat", "i")] * 2
    assert counted(metrics, "flush_triggers_total", outcome="failed") == 10
    said = capsys.readouterr().out
    assert (said.count("flush.unknown_definition"), said.count("outbox.odd_name")) == (1, 3)
    assert metrics.outbox_depth == 6


async def test_expired_memories_of_unknown_definitions_leave_nothing_behind(
    redis_client: Redis, told: Told, metrics: Metrics, capsys: pytest.CaptureFixture[str]
) -> None:
    """The mark of a memory that has expired goes even where nobody knows its definition; a young mark is let be."""
    await mark(redis_client, "a", definition="gone")
    await mark(redis_client, "b", definition="gone too")
    await mark(redis_client, "just now", definition="gone", age_ms=0)
    await sweeper_of(redis_client, told.notify, metrics).sweep()
    assert await redis_client.keys("mem:*") == [SPACE.keys("gone", "just now").due.encode()]
    assert (told.memories, counted(metrics, "flush_triggers_total", outcome="failed")) == ([], 0)
    assert "flush.unknown_definition" not in capsys.readouterr().out


async def test_marks_behind_those_that_went_get_their_turn(redis_client: Redis, told: Told, metrics: Metrics) -> None:
    """The next sweep goes on right behind the marks that stayed, whatever was taken out before them."""
    due = SPACE.keys("chat", "i").due
    keys = [SPACE.keys(definition, f"n{number}") for number in range(20_000) for definition in ("gone", "chat")]
    of_shard = [each for each in keys if each.due == due]
    gone = [each.name for each in of_shard if ":gone:" in each.name][:10]
    ours = [each.name for each in of_shard if ":chat:" in each.name][: MARKS_PER_SHARD + 5]
    assert (len(gone), len(ours)) == (10, MARKS_PER_SHARD + 5)
    await redis_client.zadd(due, {name: at for at, name in enumerate(gone + ours)})
    sweeper = sweeper_of(redis_client, told.notify, metrics)
    await sweeper.sweep()
    await sweeper.sweep()
    assert [":".join(("default", *memory)) for memory in told.memories] == ours


async def test_a_redis_that_refuses_to_purge_stops_no_sweep(
    redis_client: Redis, told: Told, metrics: Metrics, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where marks may not be taken out, they stay, that is said once, and all others are handed over."""
    await mark(redis_client, "a", definition="gone")
    await mark(redis_client, "i")
    await redis_client.acl_setuser(
        "reader", enabled=True, nopass=True, categories=["+@read"], commands=["+time"], keys=["*"]
    )
    address = redis_client.connection_pool.connection_kwargs
    async with Redis(host=address["host"], port=address["port"], username="reader", password="x") as reader:
        sweeper = sweeper_of(reader, told.notify, metrics)
        await sweeper.sweep()
        await sweeper.sweep()
    await redis_client.acl_deluser("reader")
    assert told.memories == [("chat", "i")] * 2
    assert capsys.readouterr().out.count("outbox.not_purged") == 1
    assert await redis_client.zcard(SPACE.keys("gone", "a").due) == 1


async def test_a_spoilt_outbox_stops_no_sweep(
    redis_client: Redis, told: Told, metrics: Metrics, capsys: pytest.CaptureFixture[str]
) -> None:
    """A key of another type in an outbox's place is told of once; the marks of all other shards are handed over."""
    other = next(f"j{n}" for n in range(9) if SPACE.keys("chat", f"j{n}").due != SPACE.keys("chat", "i").due)
    await redis_client.set(SPACE.keys("chat", "i").due, "not ours")
    await mark(redis_client, other)
    sweeper = sweeper_of(redis_client, told.notify, metrics)
    await sweeper.sweep()
    await sweeper.sweep()
    assert told.memories == [("chat", other)] * 2
    assert metrics.outbox_depth == 1
    assert capsys.readouterr().out.count("outbox.spoilt") == 1


async def test_definitions_are_looked_up_at_each_sweep(redis_client: Redis, told: Told, metrics: Metrics) -> None:
    """A definition that comes with a reload is served from the next sweep on."""
    memory = LiveMemory(redis_client, replace(CHAT, id="new"))
    await memory.append(talk(1))
    await mark(redis_client, "i", definition="new")
    catalogue = Catalogue(DEFINITIONS)
    sweeper = sweeper_of(redis_client, told.notify, metrics, definitions=catalogue)
    await sweeper.sweep()
    assert told.memories == []
    catalogue.replace({"new": memory.definition}, strict=False)
    await sweeper.sweep()
    assert told.memories == [("new", "i")]


async def test_it_sweeps_at_once_and_again(redis_client: Redis, told: Told, metrics: Metrics) -> None:
    """The first sweep is right at the start, the next ones follow, and it ends when it is cancelled."""
    await mark(redis_client, "i")
    sweeping = asyncio.create_task(sweeper_of(redis_client, told.notify, metrics, interval_s=0.01).run())
    await eventually(lambda: len(told.memories) >= 3)
    await end([sweeping])  # as the process does it: redis-py may swallow one cancellation
    assert sweeping.cancelled()


async def test_it_survives_an_outage_of_redis(
    start_redis: StartRedis, told: Told, metrics: Metrics, capsys: pytest.CaptureFixture[str]
) -> None:
    """While Redis is away it says so and tries on; when Redis is back, so are the marks."""
    server = start_redis(appendonly=True)
    async with Redis.from_url(server.url, retry=Retry(NoBackoff(), 0)) as client:
        await mark(client, "i")
        server.stop()
        sweeping = asyncio.create_task(sweeper_of(client, told.notify, metrics, interval_s=0.01).run())
        await eventually(lambda: "outbox.unreadable" in capsys.readouterr().out)
        assert told.memories == []
        server.start()
        await eventually(lambda: told.memories)
        sweeping.cancel()


async def test_from_the_mark_to_the_compacted_memory(redis_client: Redis, steps: FlushSteps, metrics: Metrics) -> None:
    """Memories that nobody was told of are found, flushed by the local engine, and leave the outbox; none is lost."""
    memories = [LiveMemory(redis_client, (CHAT, SUMMED)[number % 2], f"m{number}") for number in range(20)]
    newest = {}
    for memory in memories:
        newest[memory.instance] = (await memory.append(talk(25)))[-8:]
    engine = LocalEngine(steps=steps, space=SPACE)
    dispatcher = Dispatcher(engine=engine, is_due=Outbox(redis_client, SPACE).is_marked, metrics=metrics)
    sweeper = sweeper_of(redis_client, dispatcher.notify, metrics, interval_s=0.05, grace_ms=0)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(dispatcher.run()), group.create_task(sweeper.run())]
        await eventually(lambda: counted(metrics, "flush_runs_total", strategy="fifo", outcome="done") == 10)
        await eventually(lambda: counted(metrics, "flush_runs_total", strategy="hybrid_summary", outcome="done") == 10)
        await eventually(lambda: metrics.outbox_depth == 0)
        for task in tasks:
            task.cancel()
    await engine.close()
    for memory in memories:
        assert not await memory.marked()
        assert (await memory.ids())[-8:] == newest[memory.instance]
        await memory.assert_totals()
