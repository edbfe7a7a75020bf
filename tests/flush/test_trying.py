"""Flushes of the local engine on a real Redis whose model, behind a real HTTP server, fails in every way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from redis.asyncio import Redis

from sidecar.flush.local import LocalEngine
from sidecar.flush.steps import FlushSteps
from sidecar.flush.summarisers.extractive import ExtractiveSummariser
from sidecar.flush.summarisers.openai import OpenAiSummariser
from sidecar.flush.trying import Patience
from sidecar.memory.definition import Definition, Fallback
from sidecar.memory.ports import FlushOrder, FlushOutcome
from sidecar.metrics import Metrics
from sidecar.store.flush_store import FlushStore
from tests.flush.memories import SPACE, SUMMED, LiveMemory, WordCounter, counted, talk
from tests.flush.summarisers.endpoint import Answer, Endpoint, cuts, fails, hangs, page, says, serving
from tests.support.waiting import eventually

FALLBACKS: list[Fallback] = ["extractive", "drop", "keep"]
PATIENCE = Patience(first_pause_s=0.01, longest_pause_s=0.02, total_s=5.0)
TALK = talk(20, content="The parcel of Ann weighs 12 kg, number")


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    """A loopback server that speaks chat completions."""
    async with serving() as endpoint:
        yield endpoint


class Stage:
    """A memory of each fallback, and an engine whose summariser is at the endpoint."""

    def __init__(self, redis: Redis, endpoint: Endpoint, patience: Patience = PATIENCE, **options: Any) -> None:
        self.redis = redis
        policies: dict[str, Definition] = {
            name: replace(SUMMED, id=name, flush=replace(SUMMED.flush, summariser="model", fallback=name))
            for name in FALLBACKS
        }
        self.memories = {name: LiveMemory(redis, policy) for name, policy in policies.items()}
        self.metrics = Metrics()
        chosen: dict[str, Any] = {
            "model": "m",
            "api_key": None,
            "base_url": endpoint.url,
            "template": "Sum up.",
            "max_input_tokens": 1_000,
            "timeout_s": 20.0,
            "temperature": None,
            "concurrency": 2,
            "limit_parameter": "max_tokens",
        }
        self.steps = FlushSteps(
            store=FlushStore(redis, SPACE),
            definitions=policies,
            counter=lambda encoding: WordCounter(),
            summariser=ExtractiveSummariser(),
            summarisers={"model": OpenAiSummariser(**{**chosen, **options})},
            metrics=self.metrics,
        )
        self.engine = LocalEngine(steps=self.steps, space=SPACE, patience=patience)

    async def flush(self, name: Fallback) -> FlushOutcome:
        """Flush a memory, and wait for the end."""
        return await (await self.engine.start(FlushOrder(name, "i"))).outcome()


@pytest.fixture
async def stage(redis_client: Redis, endpoint: Endpoint) -> AsyncIterator[Stage]:
    """A stage with little patience."""
    stage = Stage(redis_client, endpoint)
    yield stage
    await stage.engine.close()


async def test_all_is_well(stage: Stage, endpoint: Endpoint) -> None:
    """The model's text is the summary, and what the model reports is counted."""
    memory = stage.memories["keep"]
    await memory.append(TALK)
    endpoint.next.append(says("Ann waits for parcels."))
    assert (await stage.flush("keep")).status == "done"
    assert (await memory.meta())["summary"] == "Ann waits for parcels."
    assert counted(stage.metrics, "model_tokens_total", summariser="model", direction="in") == 100
    assert counted(stage.metrics, "model_tokens_total", summariser="model", direction="out") == 7
    await memory.assert_totals()


LASTING: list[tuple[Answer, str, int]] = [
    (fails(429, Retry_After="0"), "unavailable", 5),
    (fails(500), "unavailable", 5),
    (cuts, "unavailable", 5),
    (fails(401), "refused", 1),
    (says("Ann waits for", "length"), "truncated", 2),
    (says(""), "empty", 2),
    (says("I'm sorry, but I can't help with that."), "refusal", 2),
    (says("word " * 150), "over-budget", 2),
    (page("<html>Gateway</html>", "text/html"), "error", 2),
]


@pytest.mark.parametrize(("answer", "reason", "tries"), LASTING)
async def test_failures_that_last(stage: Stage, endpoint: Endpoint, answer: Answer, reason: str, tries: int) -> None:
    """Each is tried as often as it is worth, then each fallback does what it says, and no fact is lost before."""
    for name in FALLBACKS:
        memory = stage.memories[name]
        before = await memory.append(TALK)
        del endpoint.requests[:]
        endpoint.next.extend([answer] * tries)
        outcome = await stage.flush(name)
        assert len(endpoint.requests) == tries
        meta = await memory.meta()
        if name == "keep":
            assert (outcome.status, await memory.ids()) == ("failed", before)
            assert "no-summary" in outcome.error
            assert await memory.marked()
        else:
            assert outcome.status == "done"
            assert set(await memory.ids()) < set(before)
        assert ("12 kg" in meta.get("summary", "")) is (name == "extractive")
        assert counted(stage.metrics, "flush_fallbacks_total", fallback=name) == 1
        await memory.assert_totals()
    assert counted(stage.metrics, "summaries_failed_total", reason=reason) == 3 * tries


@pytest.mark.parametrize("answer", [fails(503), cuts, says(""), says("Cut", "length")])
async def test_failures_that_pass(stage: Stage, endpoint: Endpoint, answer: Answer) -> None:
    """One failure is made good by the next try; there is no fallback."""
    memory = stage.memories["keep"]
    await memory.append(TALK)
    endpoint.next.extend([answer, says("Ann waits.")])
    assert (await stage.flush("keep")).status == "done"
    assert (await memory.meta())["summary"] == "Ann waits."
    assert counted(stage.metrics, "flush_fallbacks_total", fallback="keep") == 0


async def test_a_model_that_hangs(redis_client: Redis, endpoint: Endpoint) -> None:
    """A model that never answers costs its timeout at each try, then the fallback follows."""
    stage = Stage(redis_client, endpoint, replace(PATIENCE, tries=2), timeout_s=0.2)
    await stage.memories["extractive"].append(TALK)
    endpoint.next.extend([hangs] * 2)
    assert (await stage.flush("extractive")).status == "done"
    assert counted(stage.metrics, "summaries_failed_total", reason="unavailable") == 2
    await stage.engine.close()


async def test_more_patience_than_there_is(stage: Stage, endpoint: Endpoint) -> None:
    """A model that asks for an hour is not waited for."""
    await stage.memories["drop"].append(TALK)
    endpoint.next.append(fails(429, Retry_After="3600"))
    async with asyncio.timeout(20):
        assert (await stage.flush("drop")).status == "done"
    assert len(endpoint.requests) == 1


async def test_a_pause_that_is_asked_for(redis_client: Redis, endpoint: Endpoint) -> None:
    """The next try comes no sooner than the model asked for."""
    stage = Stage(redis_client, endpoint)
    await stage.memories["keep"].append(TALK)
    endpoint.next.extend([fails(429, Retry_After="0.3"), says("Ann waits.")])
    clock = asyncio.get_running_loop().time
    began = clock()
    assert (await stage.flush("keep")).status == "done"
    assert clock() - began >= 0.3
    await stage.engine.close()


async def test_a_new_try_pays_only_for_what_is_left(redis_client: Redis, endpoint: Endpoint) -> None:
    """What a failed try had read waits on Redis, and is not read again."""
    stage = Stage(redis_client, endpoint, max_input_tokens=50)
    memory = stage.memories["keep"]
    await memory.append(TALK)
    endpoint.next.extend([says("one"), says("two"), fails(500), says("three")])
    assert (await stage.flush("keep")).status == "done"
    assert [endpoint.user(at).splitlines()[1] for at in range(4)] == ["(none yet)", "one", "two", "two"]
    assert endpoint.user(2).splitlines()[3] == endpoint.user(3).splitlines()[3]
    summary = (await memory.meta())["summary"]
    assert summary == ("three" if len(endpoint.requests) == 4 else f"summary {len(endpoint.requests)}")
    await stage.engine.close()


async def test_another_process_goes_on(redis_client: Redis, endpoint: Endpoint) -> None:
    """The same run in another process, as after a worker has died, goes on with what was laid aside."""
    one, other = (Stage(redis_client, endpoint, max_input_tokens=50) for _ in range(2))
    memory = one.memories["keep"]
    await memory.append(TALK)
    begun = await one.steps.begin(*memory.address, run_id="a", force=False)
    assert begun.ticket is not None
    await one.steps.plan(begun.ticket)
    endpoint.next.extend([says("one"), says("two"), hangs])
    dying = asyncio.create_task(one.steps.summarise(begun.ticket, lambda: None))
    await eventually(lambda: len(endpoint.requests) == 3)
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    staged: Any = await redis_client.hgetall(memory.keys.work)
    assert staged[b"partial"] == b"two"
    signs: list[None] = []
    endpoint.next.append(says("three"))
    await other.steps.summarise(begun.ticket, lambda: signs.append(None))
    assert endpoint.user(3).splitlines()[1] == "two"
    assert len(signs) >= 3, "a page, each part, the summary"
    staged = await redis_client.hgetall(memory.keys.work)
    assert b"partial" not in staged
    await other.steps.commit(begun.ticket)
    await memory.assert_totals()


async def test_overtaken_in_the_middle(redis_client: Redis, endpoint: Endpoint) -> None:
    """A run that was overtaken pays for no further call, and leaves nothing in the work of the later one."""
    stage = Stage(redis_client, endpoint, max_input_tokens=50)
    memory = stage.memories["drop"]
    await memory.append(TALK)
    begun = await stage.steps.begin(*memory.address, run_id="a", force=False)
    assert begun.ticket is not None
    await stage.steps.plan(begun.ticket)
    go_on = asyncio.Event()

    async def waits(request: Any) -> Any:
        await go_on.wait()
        return await says("late")(request)

    endpoint.next.append(waits)
    overtaken = asyncio.create_task(stage.steps.summarise(begun.ticket, lambda: None))
    await eventually(lambda: endpoint.requests)
    await memory.lose_lease()
    later = await stage.steps.begin(*memory.address, run_id="b", force=False)
    assert later.ticket is not None
    await stage.steps.plan(later.ticket)
    go_on.set()
    (problem,) = await asyncio.gather(overtaken, return_exceptions=True)
    assert "stale-fence" in str(problem)
    assert len(endpoint.requests) == 1
    staged: Any = await redis_client.hgetall(memory.keys.work)
    assert b"partial" not in staged
    assert staged[b"run"] == b"b"


async def test_closing_while_it_waits(redis_client: Redis, endpoint: Endpoint) -> None:
    """An engine that is closed during a pause gives the flush up at once; the memory is as it was."""
    stage = Stage(redis_client, endpoint, replace(PATIENCE, first_pause_s=30, longest_pause_s=30, total_s=60))
    memory = stage.memories["drop"]
    before = await memory.append(TALK)
    endpoint.next.append(fails(500))
    handle = await stage.engine.start(FlushOrder("drop", "i"))
    await eventually(lambda: counted(stage.metrics, "summaries_failed_total", reason="unavailable"))
    async with asyncio.timeout(10):
        await stage.engine.close()
    assert (await handle.outcome()).status == "failed"
    assert await memory.ids() == before
    assert await memory.marked()
