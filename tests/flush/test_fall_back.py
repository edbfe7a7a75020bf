"""What a flush does without a summary, on a real Redis: each fallback, with and without an earlier summary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from sidecar.errors import FlushRefused, SummariserRefused, SummaryRejected
from sidecar.flush.steps import FlushSteps
from sidecar.memory.definition import Fallback
from sidecar.memory.stored_message import StoredMessage
from sidecar.metrics import Metrics
from sidecar.store.flush_store import FlushStore
from tests.flush.memories import SPACE, SUMMED, LiveMemory, WordCounter, counted, talk
from tests.flush.stepping import begin, flush


class Says:
    """The port `Summariser`: says what it is told to."""

    def __init__(self, text: str = "Ann lives in Ghent") -> None:
        self.text = text

    async def summarise(
        self, earlier: str, messages: Sequence[StoredMessage], budget: int, count: Callable[[str], int]
    ) -> str:
        return self.text


class Bench:
    """The steps over one definition whose fallback is given, and a memory of it."""

    def __init__(self, redis: Redis, fallback: Fallback, budget: int = 100) -> None:
        policy = replace(SUMMED.flush, fallback=fallback, summary_tokens=budget)
        self.definition = replace(SUMMED, id=fallback, flush=policy)
        self.memory = LiveMemory(redis, self.definition)
        self.says, self.metrics = Says(), Metrics()
        self.steps = FlushSteps(
            store=FlushStore(redis, SPACE),
            definitions={fallback: self.definition},
            counter=lambda encoding: self,
            summariser=self.says,
            metrics=self.metrics,
        )

    encoding = "words"
    engine = "word"
    weight = 1

    def count(self, text: str) -> int:
        """Return the tokens of a text: `weight` for each word."""
        return self.weight * len(text.split())


def nothing() -> None:
    """Take a sign of life."""


async def fall(bench: Bench, run_id: str = "b") -> int:
    """Fill the memory, fail to sum it up, fall back, commit; return what was staged."""
    bench.says.text = ""
    await bench.memory.append(talk(20, content="The parcel of Ann weighs 12 kg, number"))
    ticket = await begin(bench.steps, bench.memory, run_id)
    await bench.steps.plan(ticket)
    with pytest.raises(SummaryRejected, match="empty"):
        await bench.steps.summarise(ticket, nothing)
    weight = await bench.steps.fall_back(ticket, "empty", nothing)
    assert await bench.steps.fall_back(ticket, "empty", nothing) == weight
    await bench.steps.commit(ticket)
    return weight


async def test_extractive(redis_client: Redis) -> None:
    """The built-in summariser takes over, once, and its text and weight are those of the memory then."""
    bench = Bench(redis_client, "extractive")
    weight = await fall(bench)
    meta = await bench.memory.meta()
    assert "12 kg" in meta["summary"]
    assert meta["summary_tokens"] == str(weight)
    assert counted(bench.metrics, "flush_fallbacks_total", fallback="extractive") == 1
    assert counted(bench.metrics, "summaries_failed_total", reason="empty") == 1
    await bench.memory.assert_totals()


async def test_extractive_continues_the_earlier_summary(redis_client: Redis) -> None:
    """What the earlier summary knew is in the one of the fallback."""
    bench = Bench(redis_client, "extractive")
    await bench.memory.append(talk(20))
    await flush(bench.steps, bench.memory)
    await fall(bench)
    assert "Ghent" in (await bench.memory.meta())["summary"]


async def test_extractive_without_room_for_a_word(redis_client: Redis) -> None:
    """Where not one word fits, the messages go as with `drop`."""
    bench = Bench(redis_client, "extractive", budget=1)
    # Each word weighs two of the one token that there is room for.
    bench.weight = 2
    await bench.memory.append(talk(20))
    ticket = await begin(bench.steps, bench.memory)
    await bench.steps.plan(ticket)
    assert await bench.steps.fall_back(ticket, "empty", nothing) == 0
    assert (await bench.steps.commit(ticket)).status == "done"
    assert "summary" not in await bench.memory.meta()


async def test_drop_without_an_earlier_summary(redis_client: Redis) -> None:
    """The messages go, and no summary comes."""
    bench = Bench(redis_client, "drop")
    assert await fall(bench) == 0
    assert "summary" not in await bench.memory.meta()
    assert len(await bench.memory.ids()) < 20
    assert counted(bench.metrics, "flush_fallbacks_total", fallback="drop") == 1
    await bench.memory.assert_totals()


async def test_drop_keeps_the_earlier_summary(redis_client: Redis) -> None:
    """The messages go, and the summary of those before them stays, with its weight."""
    bench = Bench(redis_client, "drop")
    await bench.memory.append(talk(20))
    await flush(bench.steps, bench.memory)
    before = await bench.memory.meta()
    await fall(bench)
    after = await bench.memory.meta()
    assert after["summary"] == before["summary"] == "Ann lives in Ghent"
    assert after["summary_tokens"] == before["summary_tokens"]
    await bench.memory.assert_totals()


async def test_keep(redis_client: Redis) -> None:
    """The memory stays as it is: messages, totals, earlier summary and mark."""
    bench = Bench(redis_client, "keep")
    await bench.memory.append(talk(20))
    await flush(bench.steps, bench.memory)
    bench.says.text = ""
    await bench.memory.append(talk(20))
    ticket = await begin(bench.steps, bench.memory, "b")
    await bench.steps.plan(ticket)
    before = await bench.memory.state()
    with pytest.raises(FlushRefused, match="no-summary"):
        await bench.steps.fall_back(ticket, "empty", nothing)
    assert await bench.memory.state() == before
    assert before[-1] is True
    with pytest.raises(FlushRefused, match="lost-plan"):
        await bench.steps.commit(ticket)
    assert counted(bench.metrics, "flush_fallbacks_total", fallback="keep") == 1


@pytest.mark.parametrize("fallback", ["extractive", "drop", "keep"])
async def test_a_summary_that_was_made_all_the_same(redis_client: Redis, fallback: Fallback) -> None:
    """A summary that an earlier try staged unnoticed, as after a lost answer, is not thrown away."""
    bench = Bench(redis_client, fallback)
    await bench.memory.append(talk(20))
    ticket = await begin(bench.steps, bench.memory)
    await bench.steps.plan(ticket)
    weight = await bench.steps.summarise(ticket, nothing)
    assert await bench.steps.fall_back(ticket, "timeout", nothing) == weight
    await bench.steps.commit(ticket)
    assert (await bench.memory.meta())["summary"] == "Ann lives in Ghent"
    assert counted(bench.metrics, "flush_fallbacks_total", fallback=fallback) == 0


async def test_overtaken(redis_client: Redis) -> None:
    """A run that was overtaken stages nothing over the work of the one that took over."""
    bench = Bench(redis_client, "drop")
    await bench.memory.append(talk(20))
    ticket = await begin(bench.steps, bench.memory)
    await bench.steps.plan(ticket)
    await bench.memory.lose_lease()
    later = await begin(bench.steps, bench.memory, "b")
    with pytest.raises(FlushRefused, match="stale-fence"):
        await bench.steps.fall_back(ticket, "empty", nothing)
    await bench.steps.plan(later)
    with pytest.raises(FlushRefused, match="lost-plan"):
        await bench.steps.fall_back(ticket, "empty", nothing)


async def test_a_summariser_that_is_not_there(redis_client: Redis) -> None:
    """A definition whose summariser this process does not have gets no summary, and falls back."""
    bench = Bench(redis_client, "drop")
    known = replace(bench.definition, flush=replace(bench.definition.flush, summariser="brief"))
    steps = FlushSteps(
        store=FlushStore(redis_client, SPACE),
        definitions={"drop": known},
        counter=lambda encoding: WordCounter(),
        summariser=bench.says,
        summarisers={"other": Says()},
    )
    await bench.memory.append(talk(20))
    ticket = await begin(steps, bench.memory)
    await steps.plan(ticket)
    with pytest.raises(SummariserRefused, match="no summariser 'brief'"):
        await steps.summarise(ticket, nothing)
