"""The local engine on a real Redis: one process, two of them, and processes that stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from sidecar.errors import EngineUnavailable, Uncertain, UnknownMemory
from sidecar.flush.local import MAX_ROUNDS, LocalEngine
from sidecar.flush.steps import FlushSteps
from sidecar.flush.trying import Patience
from sidecar.memory.ports import FlushEngine, FlushOrder, FlushOutcome
from sidecar.memory.stored_message import StoredMessage
from sidecar.store.flush_store import FlushStore
from sidecar.store.flush_words import CommitReply
from tests.flush.memories import DEFINITIONS, SPACE, SUMMED, LiveMemory, WordCounter, talk
from tests.support.children import StartRedis
from tests.support.waiting import eventually

ORDER = FlushOrder("summed", "i")


class Gate:
    """A summariser that waits to be let through, so that a test can look at a running flush."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.arrived = 0
        self.at_once = 0
        self.most_at_once = 0
        self.then: Exception | None = None

    async def summarise(
        self, earlier: str, messages: Sequence[StoredMessage], budget: int, count: Callable[[str], int]
    ) -> str:
        self.arrived += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.open.wait()
        finally:
            self.at_once -= 1
        if self.then is not None:
            raise self.then
        return f"{len(messages)} messages"


@pytest.fixture
def gate() -> Gate:
    """A closed gate."""
    return Gate()


@pytest.fixture
def memory(redis_client: Redis) -> LiveMemory:
    """An empty memory that is flushed with a summary."""
    return LiveMemory(redis_client, SUMMED)


def engine_of(
    redis: Redis,
    gate: Gate,
    *,
    lease_ms: int = 60_000,
    concurrency: int = 4,
    store: FlushStore | None = None,
    patience: Patience | None = None,
) -> LocalEngine:
    """Return an engine as another process would have it."""
    steps = FlushSteps(
        store=store or FlushStore(redis, SPACE),
        definitions=DEFINITIONS,
        counter=lambda encoding: WordCounter(),
        summariser=gate,
        lease_ms=lease_ms,
    )
    return LocalEngine(steps=steps, space=SPACE, concurrency=concurrency, patience=patience)


@pytest.fixture
async def engine(redis_client: Redis, gate: Gate) -> AsyncIterator[LocalEngine]:
    """The engine under test."""
    engine = engine_of(redis_client, gate)
    yield engine
    await engine.close()


@pytest.fixture
async def other(redis_client: Redis, gate: Gate) -> AsyncIterator[LocalEngine]:
    """The engine of another process."""
    engine = engine_of(redis_client, gate)
    yield engine
    await engine.close()


async def test_it_is_the_port(engine: LocalEngine) -> None:
    """The engine has what the port asks for, and a name of its own."""
    port: FlushEngine = engine
    assert port.name == "local"
    assert await port.healthy()


async def test_a_flush_from_start_to_outcome(engine: LocalEngine, gate: Gate, memory: LiveMemory) -> None:
    """A started flush reports what it did under the run id of its handle."""
    await memory.append(talk(20))
    gate.open.set()
    handle = await engine.start(ORDER)
    outcome = await handle.outcome()
    assert handle.started
    assert handle.workflow_id == "memflush:default:summed:i"
    assert (outcome.status, outcome.run_id, outcome.removed) == ("done", handle.run_id, 12)
    assert await handle.outcome() == outcome
    await memory.assert_totals()


async def test_not_due(engine: LocalEngine, memory: LiveMemory) -> None:
    """A memory below its threshold ends the flush at once."""
    await memory.append(talk(2))
    outcome = await (await engine.start(ORDER)).outcome()
    assert (outcome.status, outcome.messages) == ("not-due", 2)


async def test_orders_for_one_memory_join(engine: LocalEngine, gate: Gate, memory: LiveMemory) -> None:
    """While a flush runs in this process, further orders get its run and its outcome."""
    await memory.append(talk(20))
    handles = await asyncio.gather(*(engine.start(ORDER) for _ in range(10)))
    assert [handle.started for handle in handles].count(True) == 1
    assert len({handle.run_id for handle in handles}) == 1
    await eventually(lambda: gate.arrived)
    late = await engine.start(ORDER)
    assert (late.started, late.run_id) == (False, handles[0].run_id)
    gate.open.set()
    outcomes = await asyncio.gather(*(handle.outcome() for handle in (*handles, late)))
    assert set(outcomes) == {outcomes[0]}
    assert gate.arrived == 1


async def test_a_forced_order_is_not_answered_by_anothers_not_due(
    engine: LocalEngine, gate: Gate, memory: LiveMemory
) -> None:
    """A forced order that meets one which turns out not to be due is carried out."""
    await memory.append(talk(4))
    gate.open.set()
    plain, forced = await asyncio.gather(engine.start(ORDER), engine.start(FlushOrder("summed", "i", force=True)))
    assert (await plain.outcome()).status == "not-due"
    assert (await forced.outcome()).status == "done"


async def test_an_order_joins_another_process(
    engine: LocalEngine, other: LocalEngine, gate: Gate, memory: LiveMemory
) -> None:
    """A flush that runs in another process is joined, and its outcome found on Redis."""
    await memory.append(talk(20))
    first = await engine.start(ORDER)
    second = await other.start(ORDER)
    assert (second.started, second.run_id, second.workflow_id) == (False, first.run_id, first.workflow_id)
    waiting = asyncio.create_task(second.outcome())
    await eventually(lambda: gate.arrived)
    gate.open.set()
    assert await waiting == await first.outcome()
    assert gate.arrived == 1


async def test_whoever_stops_waiting_stops_nothing(engine: LocalEngine, gate: Gate, memory: LiveMemory) -> None:
    """A client that gives up waiting leaves the flush running for the others."""
    await memory.append(talk(20))
    handle = await engine.start(ORDER)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(handle.outcome(), 0.01)
    gate.open.set()
    assert (await handle.outcome()).status == "done"


async def test_another_round_follows(engine: LocalEngine, gate: Gate, memory: LiveMemory) -> None:
    """Appends that cross the threshold while a flush runs are flushed in a round of their own."""
    await memory.append(talk(20))
    handle = await engine.start(ORDER)
    await eventually(lambda: gate.arrived)
    await memory.append(talk(20))
    gate.open.set()
    outcome = await handle.outcome()
    assert outcome.again

    async def compacted() -> bool:
        return not await memory.marked()

    done: bool = await eventually(compacted)
    assert done
    assert gate.arrived == 2
    assert (await memory.meta())["last_run"] != handle.run_id
    assert sum(message.tokens for message in await memory.messages()) <= 500
    await memory.assert_totals()


async def test_rounds_are_bounded(redis_client: Redis, memory: LiveMemory) -> None:
    """A memory that grows faster than it is flushed does not keep its place for ever; its mark stays."""

    class Flood(Gate):
        async def summarise(
            self, earlier: str, messages: Sequence[StoredMessage], budget: int, count: Callable[[str], int]
        ) -> str:
            await memory.append(talk(20))
            return await super().summarise(earlier, messages, budget, count)

    flood = Flood()
    flood.open.set()
    engine = engine_of(redis_client, flood)
    await memory.append(talk(20))
    await (await engine.start(ORDER)).outcome()
    await eventually(lambda: flood.arrived == MAX_ROUNDS and not engine.busy)
    assert await memory.marked()
    await memory.assert_totals()
    await engine.close()


async def test_only_so_many_work_at_once(redis_client: Redis, gate: Gate) -> None:
    """No more flushes work at once than allowed; the others have begun and follow."""
    engine = engine_of(redis_client, gate, concurrency=2)
    for number in range(6):
        await LiveMemory(redis_client, SUMMED, f"m{number}").append(talk(20))
    handles = [await engine.start(FlushOrder("summed", f"m{number}")) for number in range(6)]
    await eventually(lambda: gate.at_once == 2)
    gate.open.set()
    outcomes = await asyncio.gather(*(handle.outcome() for handle in handles))
    assert [outcome.status for outcome in outcomes] == ["done"] * 6
    assert gate.most_at_once == 2
    await engine.close()


async def test_the_lease_is_renewed(redis_client: Redis, gate: Gate, memory: LiveMemory) -> None:
    """A flush that takes many times its lease is not overtaken."""
    engine, other = (engine_of(redis_client, gate, lease_ms=150) for _ in range(2))
    await memory.append(talk(20))
    first = await engine.start(ORDER)
    begun_until = int((await memory.meta())["flush_until"])

    async def renewed() -> bool:
        return int((await memory.meta())["flush_until"]) > begun_until + 300

    done: bool = await eventually(renewed)
    assert done
    assert (await other.start(ORDER)).run_id == first.run_id
    gate.open.set()
    assert (await first.outcome()).status == "done"
    await engine.close()
    await other.close()


async def test_a_lost_lease_stops_the_work(redis_client: Redis, gate: Gate, memory: LiveMemory) -> None:
    """A flush whose memory is cleared stops at the next renewal and reports it."""
    engine = engine_of(redis_client, gate, lease_ms=90)
    await memory.append(talk(20))
    handle = await engine.start(ORDER)
    await eventually(lambda: gate.arrived)
    await memory.clear()
    outcome = await handle.outcome()
    assert (outcome.status, gate.at_once) == ("failed", 0)
    assert "stale-fence" in outcome.error
    await engine.close()


async def test_a_summariser_that_crashes(redis_client: Redis, gate: Gate, memory: LiveMemory) -> None:
    """A bug in a summariser is tried again and then done without: it must not stop a memory's flushes for good."""
    await memory.append(talk(20))
    gate.then = RuntimeError("a message's text")
    gate.open.set()
    engine = engine_of(redis_client, gate, patience=Patience(tries=2, first_pause_s=0.0))
    assert (await (await engine.start(ORDER)).outcome()).status == "done"
    assert gate.arrived == 2
    assert "some text" in (await memory.meta())["summary"]
    await engine.close()


async def test_close_lets_others_take_over(
    engine: LocalEngine, other: LocalEngine, gate: Gate, memory: LiveMemory
) -> None:
    """A process that stops releases its flushes, leaves their marks, and another one starts them at once."""
    await memory.append(talk(20))
    before = await memory.messages()
    handle = await engine.start(ORDER)
    await eventually(lambda: gate.arrived)
    await engine.close()
    assert (await handle.outcome()).status == "failed"
    assert "flush_run" not in await memory.meta()
    assert await memory.marked()
    assert await memory.messages() == before
    with pytest.raises(EngineUnavailable):
        await engine.start(ORDER)
    assert not await engine.healthy()
    gate.open.set()
    taken = await other.start(ORDER)
    assert (await taken.outcome()).status == "done"


async def test_a_process_that_dies_is_followed(redis_client: Redis, gate: Gate, memory: LiveMemory) -> None:
    """A process that vanishes without a word is reported as failed to who joined it, and overtaken."""
    other = engine_of(redis_client, gate)
    await memory.append(talk(20))
    dead = FlushStore(redis_client, SPACE)
    await dead.begin(*memory.address, run_id="dead", lease_ms=100, force=False, limits=memory.limits)
    joined = await other.start(ORDER)
    assert joined.run_id == "dead"
    assert (await joined.outcome()).status == "failed"
    gate.open.set()
    taken = await other.start(ORDER)
    assert taken.started
    assert (await taken.outcome()).status == "done"
    await other.close()


async def test_a_start_that_is_cancelled_leaves_a_flush(engine: LocalEngine, gate: Gate, memory: LiveMemory) -> None:
    """Whoever gives up while a flush begins leaves it to the others, and nothing is left behind."""
    await memory.append(talk(20))
    starting = asyncio.create_task(engine.start(ORDER))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    gate.open.set()

    async def flushed() -> bool:
        return not await memory.marked()

    done: bool = await eventually(flushed)
    assert done
    await eventually(lambda: not engine.busy)


async def test_an_unknown_definition(engine: LocalEngine) -> None:
    """A memory of a configuration that is gone is refused, and may be asked for again."""
    for _ in range(2):
        with pytest.raises(UnknownMemory):
            await engine.start(FlushOrder("gone", "i"))
    assert not engine.busy


async def test_redis_away(start_redis: StartRedis, gate: Gate) -> None:
    """Without Redis nothing starts, waiting ends, and after its return everything works."""
    server = start_redis(appendonly=True)
    async with Redis.from_url(server.url, retry=Retry(NoBackoff(), 0)) as client:
        engine, other = engine_of(client, gate), engine_of(client, gate)
        memory = LiveMemory(client, SUMMED)
        await memory.append(talk(20))
        first = await engine.start(ORDER)
        joined = await other.start(ORDER)
        await eventually(lambda: gate.arrived)
        server.stop()
        with pytest.raises(EngineUnavailable):
            await joined.outcome()
        with pytest.raises(EngineUnavailable):
            await other.start(FlushOrder("summed", "another"))
        assert not await other.healthy()
        gate.open.set()
        outcome = await first.outcome()
        assert outcome.status == "failed"
        server.start()
        await memory.lose_lease()
        assert (await (await other.start(ORDER)).outcome()).status == "done"
        await memory.assert_totals()
        await engine.close()
        await other.close()


async def test_many_memories(redis_client: Redis, gate: Gate) -> None:
    """More flushes than may begin at once all come to their end."""
    engine = engine_of(redis_client, gate, concurrency=1)
    gate.open.set()
    memories = [LiveMemory(redis_client, SUMMED, f"m{number}") for number in range(40)]
    for memory in memories:
        await memory.append(talk(20))

    async def flush(memory: LiveMemory) -> FlushOutcome:
        return await (await engine.start(FlushOrder(*memory.address))).outcome()

    outcomes = await asyncio.gather(*(flush(memory) for memory in memories))
    assert [outcome.status for outcome in outcomes] == ["done"] * 40
    for memory in memories:
        await memory.assert_totals()
    await engine.close()


async def test_close_before_the_first_step(engine: LocalEngine, memory: LiveMemory) -> None:
    """Whoever starts a flush at the moment of the close is answered, and so is everybody after that."""
    await memory.append(talk(30))
    starting = asyncio.create_task(engine.start(ORDER))
    await asyncio.sleep(0)  # the flush has its task, which has not begun
    await engine.close()
    async with asyncio.timeout(5):
        with pytest.raises(EngineUnavailable, match="closed"):
            await starting
    assert not engine.busy


async def test_an_answer_that_gets_lost(redis_client: Redis, gate: Gate, memory: LiveMemory) -> None:
    """A commit that was made, and whose answer got lost, is a flush that is done."""
    await memory.append(talk(30))

    class Losing(FlushStore):
        lost = 0

        async def commit(self, *lease: Any, **others: Any) -> CommitReply:
            reply = await super().commit(*lease, **others)
            self.lost += 1
            if self.lost == 1:
                raise Uncertain("the connection broke")
            return reply

    gate.open.set()
    engine = engine_of(redis_client, gate, store=Losing(redis_client, SPACE))
    outcome = await (await engine.start(ORDER)).outcome()
    assert (outcome.status, outcome.removed > 0) == ("done", True)
    assert len(await memory.ids()) == outcome.messages
