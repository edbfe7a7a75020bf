"""The steps as an order wants them: with a strategy, with a target, as a preview; and what the definition adds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from redis.asyncio import Redis

from sidecar.errors import UnknownMemory
from sidecar.flush.steps import FlushSteps
from sidecar.memory.catalogue import Catalogue
from sidecar.memory.definition import Definition
from sidecar.memory.ports import FlushOrder, FlushOutcome, FlushPreview
from sidecar.store.flush_store import FlushStore
from tests.flush.memories import CHAT, SPACE, SUMMED, LiveMemory, NotingSummariser, WordCounter, talk
from tests.flush.stepping import flush

BUFFER = replace(SUMMED, id="buffer", type="buffer", overflow="trim")
READ_ONLY = replace(SUMMED, id="readonly", mode="read-only")
BRIEF = replace(SUMMED, id="brief", ttl_after_flush_ms=60_000)
ENDLESS = replace(CHAT, id="endless", ttl_after_flush_ms=60_000)
MANY = replace(CHAT, id="many", max_tokens=None, max_messages=10)
CATALOGUE = {each.id: each for each in (CHAT, SUMMED, BUFFER, READ_ONLY, BRIEF, ENDLESS, MANY)}


def steps_of(redis: Redis, definitions: Catalogue, summariser: NotingSummariser) -> FlushSteps:
    """Return the real steps."""
    return FlushSteps(
        store=FlushStore(redis, SPACE),
        definitions=definitions,
        counter=lambda encoding: WordCounter(),
        summariser=summariser,
    )


@pytest.fixture
def catalogue() -> Catalogue:
    """The definitions in force."""
    return Catalogue(CATALOGUE)


@pytest.fixture
def steps(redis_client: Redis, catalogue: Catalogue, summariser: NotingSummariser) -> FlushSteps:
    """The steps under test."""
    return steps_of(redis_client, catalogue, summariser)


async def carry_out(steps: FlushSteps, order: FlushOrder, run_id: str = "a") -> FlushOutcome:
    """Take all steps of an order."""
    begun = await steps.begin(
        order.definition,
        order.instance,
        run_id=run_id,
        force=order.force,
        strategy=order.strategy,
        target_tokens=order.target_tokens,
    )
    if begun.ticket is None:
        assert begun.outcome is not None
        return begun.outcome
    if (await steps.plan(begun.ticket)).summarise:
        await steps.summarise(begun.ticket, lambda: None)
    return await steps.commit(begun.ticket)


async def live(redis: Redis, definition: Definition, messages: int = 20) -> LiveMemory:
    """Return a memory with so many messages of 50 tokens."""
    memory = LiveMemory(redis, definition)
    await memory.append(talk(messages))
    return memory


# ---- strategy and target ----


@pytest.mark.parametrize(
    ("definition", "strategy", "used", "summaries"),
    [
        (CHAT, "", "fifo", 0),
        (CHAT, "hybrid_summary", "hybrid_summary", 1),
        (SUMMED, "", "hybrid_summary", 1),
        (SUMMED, "fifo", "fifo", 0),
    ],
)
async def test_the_strategy_of_the_order(
    redis_client: Redis,
    steps: FlushSteps,
    summariser: NotingSummariser,
    definition: Definition,
    strategy: str,
    used: str,
    summaries: int,
) -> None:
    """A strategy that is asked for takes the place of the definition's, for this flush."""
    memory = await live(redis_client, definition)
    outcome = await carry_out(steps, FlushOrder(*memory.address, strategy=strategy))
    assert (outcome.status, outcome.strategy, len(summariser.calls)) == ("done", used, summaries)
    assert (await memory.meta())["last_strategy"] == used


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(("target", "left"), [(700, 14), (249, 4), (50, 1), (0, 1)])
async def test_the_target_of_the_order(
    redis_client: Redis, steps: FlushSteps, target: int, left: int, force: bool
) -> None:
    """A target is reached exactly, below the threshold too, and FORCE does not go further; the newest one stays."""
    memory = await live(redis_client, CHAT, 16)
    outcome = await carry_out(steps, FlushOrder(*memory.address, force, target_tokens=target))
    assert (outcome.status, outcome.messages) == ("done", left)
    await memory.assert_totals()


async def test_a_memory_within_the_target_is_not_due(redis_client: Redis, steps: FlushSteps) -> None:
    """A memory that is not above the target is left alone, and its mark too where it is above its threshold."""
    memory = await live(redis_client, CHAT)
    outcome = await carry_out(steps, FlushOrder(*memory.address, target_tokens=1_000))
    assert (outcome.status, outcome.messages) == ("not-due", 20)
    assert await memory.marked()


async def test_the_summary_fits_into_the_target(
    redis_client: Redis, steps: FlushSteps, summariser: NotingSummariser
) -> None:
    """Summary and messages together are within the target, of which the summary takes at most half."""
    memory = await live(redis_client, SUMMED, 16)
    outcome = await carry_out(steps, FlushOrder(*memory.address, target_tokens=180))
    meta = await memory.meta()
    assert summariser.calls[0][2] == 90 - 9
    assert (outcome.messages, int(meta["tokens"]) + int(meta["summary_tokens"]) <= 180) == (1, True)


async def test_a_target_is_in_tokens_only(redis_client: Redis, steps: FlushSteps) -> None:
    """Where a definition counts messages, a target takes the place of its own target."""
    memory = await live(redis_client, MANY)
    outcome = await carry_out(steps, FlushOrder(*memory.address, target_tokens=900))
    assert (outcome.status, outcome.messages) == ("done", 18)


# ---- the definition's kind ----


@pytest.mark.parametrize("definition", [BUFFER, READ_ONLY])
async def test_some_definitions_are_never_due(redis_client: Redis, steps: FlushSteps, definition: Definition) -> None:
    """A buffer, and what may not be changed, is left alone at any size, and a mark of earlier times goes."""
    memory = await live(redis_client, definition)
    await memory.mark()
    outcome = await carry_out(steps, FlushOrder(*memory.address))
    assert (outcome.status, outcome.messages) == ("not-due", 20)
    assert not await memory.marked()


@pytest.mark.parametrize("strategy", ["", "fifo", "hybrid_summary"])
async def test_a_forced_buffer_has_no_summary(
    redis_client: Redis, steps: FlushSteps, summariser: NotingSummariser, strategy: str
) -> None:
    """Forced, a buffer loses its oldest messages; whatever is asked for, it gets no summary, and says so."""
    memory = await live(redis_client, BUFFER)
    outcome = await carry_out(steps, FlushOrder(*memory.address, force=True, strategy=strategy))
    assert (outcome.strategy, outcome.messages, summariser.calls) == ("fifo", 10, [])
    assert (await steps.preview(FlushOrder(*memory.address, True, strategy))).strategy == "fifo"


@pytest.mark.parametrize(("definition", "life_ms"), [(SUMMED, 3_600_000), (BRIEF, 60_000), (ENDLESS, 60_000)])
async def test_life_after_a_flush(redis_client: Redis, steps: FlushSteps, definition: Definition, life_ms: int) -> None:
    """After a flush everything of a memory lives for `ttl_after_flush`, else for its `ttl`."""
    memory = LiveMemory(redis_client, definition)
    await memory.append([("system", "be kind", 10), *talk(20)])
    await flush(steps, memory)
    for key in (memory.keys.log, memory.keys.meta, memory.keys.keep):
        assert life_ms - 30_000 < await redis_client.pttl(key) <= life_ms


@pytest.mark.parametrize(("definition", "life_ms"), [(BRIEF, 3_600_000), (ENDLESS, None)])
async def test_the_next_append_brings_the_old_life_back(
    redis_client: Redis, steps: FlushSteps, definition: Definition, life_ms: int | None
) -> None:
    """The short life after a flush is over with the next append."""
    memory = await live(redis_client, definition)
    await flush(steps, memory)
    await memory.append(talk(1))
    for key in (memory.keys.log, memory.keys.meta):
        left = await redis_client.pttl(key)
        assert left == -1 if life_ms is None else life_ms - 30_000 < left <= life_ms


async def test_definitions_are_looked_up_at_use(redis_client: Redis, steps: FlushSteps, catalogue: Catalogue) -> None:
    """A reload counts from the next step on: another threshold, a definition that is new, one that is gone."""
    memory = await live(redis_client, CHAT, 10)
    order = FlushOrder(*memory.address)
    assert (await carry_out(steps, order, "a")).status == "not-due"
    catalogue.replace({"chat": replace(CHAT, max_tokens=500)}, strict=False)
    assert (await carry_out(steps, order, "b")).messages == 5
    catalogue.replace({"other": replace(CHAT, id="other")}, strict=False)
    with pytest.raises(UnknownMemory, match="no memory definition 'chat'"):
        await carry_out(steps, order, "c")
    assert (await carry_out(steps, FlushOrder("other", "i"), "d")).status == "not-due"


# ---- preview ----


LIFE_MS = 1_000_000
"""No definition has this life time, so one that is set anew shows."""


async def everything(redis: Redis) -> dict[Any, Any]:
    """Return each key on Redis with its serialised value; a hash with its fields, whose order a read may change."""
    keys = await redis.keys("*")
    hashes = {key for key in keys if await redis.type(key) == b"hash"}
    return {key: await (redis.hgetall(key) if key in hashes else redis.dump(key)) for key in keys}


async def assert_untouched(redis: Redis, before: dict[Any, Any]) -> None:
    """Fail if a key has come, gone or changed since `before`, or does not live as long as it did."""
    assert await everything(redis) == before
    for key in before:
        assert LIFE_MS - 60_000 < await redis.pttl(key) <= LIFE_MS


ORDERS = [
    pytest.param(FlushOrder("chat", "i"), id="as the definition says"),
    pytest.param(FlushOrder("summed", "i"), id="with a summary"),
    pytest.param(FlushOrder("summed", "i", force=True), id="forced"),
    pytest.param(FlushOrder("summed", "i", strategy="fifo"), id="strategy"),
    pytest.param(FlushOrder("chat", "i", target_tokens=300), id="target"),
    pytest.param(FlushOrder("summed", "i", True, "fifo", 120), id="all of it"),
    pytest.param(FlushOrder("buffer", "i", force=True), id="buffer"),
]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("flushed_before", [False, True])
async def test_a_preview_says_what_the_flush_does(
    redis_client: Redis, steps: FlushSteps, order: FlushOrder, flushed_before: bool
) -> None:
    """A preview has the numbers that the flush has afterwards, and changes no key, no value and no life time."""
    memory = LiveMemory(redis_client, CATALOGUE[order.definition])
    await memory.append([("system", "be kind", 10), *talk(19)])
    if flushed_before:
        await flush(steps, memory, "before", force=True)
        await memory.append(talk(12, tokens=60))
    before = await everything(redis_client)
    for key in before:
        await redis_client.pexpire(key, LIFE_MS)
    port: FlushPreview = steps
    preview = await port.preview(order)
    await assert_untouched(redis_client, before)
    outcome = await carry_out(steps, order)
    assert outcome.status == "done"
    assert outcome.removed > 0
    assert preview == FlushOutcome(
        "done",
        strategy=outcome.strategy,
        removed=outcome.removed,
        messages=outcome.messages,
        tokens=outcome.tokens,
        tokens_freed=outcome.tokens_freed,
    )


async def test_a_preview_disturbs_no_flush(redis_client: Redis, steps: FlushSteps) -> None:
    """A preview during a flush takes neither its lease nor its plan."""
    memory = await live(redis_client, CHAT)
    begun = await steps.begin(*memory.address, run_id="a", force=False)
    assert begun.ticket is not None
    await steps.plan(begun.ticket)
    before = await everything(redis_client)
    assert (await steps.preview(FlushOrder(*memory.address, True, "", 100))).messages == 2
    assert await everything(redis_client) == before
    assert (await steps.commit(begun.ticket)).removed == 10


async def test_a_preview_of_nothing(redis_client: Redis, steps: FlushSteps) -> None:
    """A memory that does not exist is not due, FORCE or not, as a flush would say; it is not made by asking."""
    assert await steps.preview(FlushOrder("summed", "i", force=True)) == FlushOutcome("not-due")
    assert await redis_client.keys("*") == []


async def test_a_preview_of_an_unknown_definition(steps: FlushSteps) -> None:
    """A definition that is not one of ours is refused by name."""
    with pytest.raises(UnknownMemory, match="no memory definition 'gone'"):
        await steps.preview(FlushOrder("gone", "i"))
