"""An undo gives back exactly what the last flush took, whatever happened since; and when there is nothing to undo."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from sidecar.errors import FlushLocked, FlushRefused
from sidecar.flush.removal import former_spans
from sidecar.flush.staging import decode
from sidecar.flush.steps import FlushSteps
from sidecar.flush.undo import Undo
from sidecar.memory.definition import Definition
from sidecar.memory.ports import FlushUndo, UndoOutcome
from sidecar.store.flush_copies import FlushCopies, Stream
from sidecar.store.flush_store import FlushStore
from sidecar.store.undo_store import UndoStore
from tests.flush.memories import CHAT, SPACE, SUMMED, LiveMemory, NotingSummariser, WordCounter, talk
from tests.flush.stepping import begin, flush


@pytest.fixture
def undo(redis_client: Redis) -> FlushUndo:
    """The undo under test."""
    return Undo(store=UndoStore(redis_client, SPACE), copies=FlushCopies(redis_client, SPACE))


@pytest.fixture
def memory(redis_client: Redis) -> LiveMemory:
    """An empty memory that is flushed with a summary."""
    return LiveMemory(redis_client, SUMMED)


async def summary_of(memory: LiveMemory) -> dict[str, str]:
    """Return what meta knows of the summary."""
    return {name: value for name, value in (await memory.meta()).items() if name.startswith("summary")}


async def test_everything_comes_back(steps: FlushSteps, undo: FlushUndo, memory: LiveMemory) -> None:
    """Messages, counts and the earlier summary are as they were before the flush, with what came since."""
    await memory.append([("system", "be kind", 10), *talk(20)])
    await flush(steps, memory, "first")
    await memory.append(talk(20, content="more"))
    messages, summary = await memory.messages(), await summary_of(memory)
    outcome = await flush(steps, memory, "second")
    new = await memory.append(talk(2, content="later"))
    undone = await undo.undo(*memory.address)
    assert (await memory.messages())[:-2] == messages
    assert (await memory.ids())[-2:] == new
    assert await summary_of(memory) == summary
    total = sum(message.tokens for message in await memory.messages())
    assert undone == UndoOutcome(outcome.removed, len(messages) + 2, total, int(summary["summary_tokens"]))
    await memory.assert_totals()


async def test_only_once(steps: FlushSteps, undo: FlushUndo, memory: LiveMemory) -> None:
    """What was put back is not kept for another undo, and the memory can be flushed again at once."""
    ids = await memory.append(talk(20))
    await flush(steps, memory, "first")
    assert (await undo.undo(*memory.address)).restored is not None
    assert await undo.undo(*memory.address) == UndoOutcome(None)
    assert await memory.ids() == ids
    assert "summary" not in await memory.meta()
    assert (await flush(steps, memory, "second")).status == "done"


async def test_a_flush_that_took_nothing_leaves_the_one_before(
    steps: FlushSteps, undo: FlushUndo, memory: LiveMemory
) -> None:
    """The last flush that took something is undone, not one that found nothing to take."""
    ids = await memory.append(talk(20))
    await flush(steps, memory, "first")
    await memory.pin(*await memory.ids())
    assert (await flush(steps, memory, "second", force=True)).removed == 0
    assert (await undo.undo(*memory.address)).restored is not None
    assert await memory.ids() == ids


@pytest.mark.parametrize("how", ["never flushed", "cleared", "replaced", "expired", "unknown", "made anew"])
async def test_nothing_to_undo(steps: FlushSteps, undo: FlushUndo, memory: LiveMemory, how: str) -> None:
    """Without a flush, or after its content is gone for good, an undo changes nothing and says so."""
    if how != "unknown":
        await memory.append(talk(20))
    if how not in ("never flushed", "unknown"):
        await flush(steps, memory)
    if how in ("cleared", "made anew"):
        await memory.clear()
        assert await memory.redis.keys("*") == []
    if how in ("replaced", "made anew"):
        await memory.write(talk(3))
    elif how == "expired":
        await memory.redis.delete(memory.keys.undo, memory.keys.was)
    before = await memory.state()
    assert await undo.undo(*memory.address) == UndoOutcome(None)
    assert await memory.state() == before


@pytest.mark.parametrize(("undo_ttl_ms", "ttl_ms", "longest"), [(5_000, None, 5_000), (90_000, 10_000, 10_000)])
async def test_how_long_it_can_be_undone(
    redis_client: Redis, undo_ttl_ms: int, ttl_ms: int | None, longest: int
) -> None:
    """What went is kept for `undo_ttl`, and never longer than the memory lives."""
    definition = replace(CHAT, ttl_ms=ttl_ms, flush=replace(CHAT.flush, undo_ttl_ms=undo_ttl_ms))
    memory = LiveMemory(redis_client, definition)
    await memory.append(talk(20))
    await flush(steps_for(redis_client, definition), memory)
    for key in (memory.keys.undo, memory.keys.was):
        assert longest - 3_000 < await redis_client.pttl(key) <= longest
    left = {str(key).split(":")[1] for key in await redis_client.keys("*")}
    assert left == {"log", "meta", "undo", "was"}


async def test_without_undo_nothing_is_kept(redis_client: Redis, undo: FlushUndo) -> None:
    """With an `undo_ttl` of 0 a flush leaves nothing behind, not even of the one before."""
    memory = LiveMemory(redis_client, CHAT)
    await memory.append(talk(20))
    await flush(steps_for(redis_client, CHAT), memory, "first")
    await memory.append(talk(20))
    never = replace(CHAT, flush=replace(CHAT.flush, undo_ttl_ms=None))
    await flush(steps_for(redis_client, never), memory, "second")
    assert await redis_client.exists(*memory.keys.belongings) == 0
    assert await undo.undo(*memory.address) == UndoOutcome(None)


def steps_for(redis: Redis, definition: Definition) -> FlushSteps:
    """Return steps over one definition."""
    return FlushSteps(
        store=FlushStore(redis, SPACE),
        definitions={definition.id: definition},
        counter=lambda encoding: WordCounter(),
        summariser=NotingSummariser(),
    )


async def test_a_flush_under_way_plans_anew(steps: FlushSteps, undo: FlushUndo, memory: LiveMemory) -> None:
    """An undo does not wait for a flush: that one is refused, and the memory is whole."""
    ids = await memory.append(talk(20))
    await flush(steps, memory, "first")
    await memory.append(talk(20))
    ticket = await begin(steps, memory, "second")
    await steps.plan(ticket)
    await undo.undo(*memory.address)
    with pytest.raises(FlushRefused, match="stale-fence"):
        await steps.commit(ticket)
    assert (await memory.ids())[:20] == ids
    await memory.assert_totals()


async def test_two_at_once(undo: FlushUndo, steps: FlushSteps, memory: LiveMemory) -> None:
    """While somebody undoes, another undo is refused; one that vanished is overtaken when its lease has run out."""
    await memory.append(talk(20))
    await flush(steps, memory)
    store = UndoStore(memory.redis, SPACE)
    assert (await store.begin(*memory.address, run_id="undo:other")).code == "begun"
    with pytest.raises(FlushRefused, match="undo-busy"):
        await undo.undo(*memory.address)
    await memory.lose_lease()
    assert (await undo.undo(*memory.address)).restored is not None


async def test_a_locked_memory(undo: FlushUndo, steps: FlushSteps, memory: LiveMemory) -> None:
    """What the holder of the turn lock reads stays; the refused undo stands in no flush's way."""
    await memory.append(talk(20))
    await flush(steps, memory)
    await memory.lock()
    before = await memory.messages()
    with pytest.raises(FlushLocked):
        await undo.undo(*memory.address)
    assert await memory.messages() == before
    await memory.unlock()
    assert (await begin(steps, memory, "next", force=True)).run_id == "next"


async def test_a_lost_answer(undo: FlushUndo, steps: FlushSteps, memory: LiveMemory) -> None:
    """Begin and commit that are sent again tell what they did the first time."""
    await memory.append(talk(20))
    await flush(steps, memory)
    store, copies = UndoStore(memory.redis, SPACE), FlushCopies(memory.redis, SPACE)
    for _ in range(2):
        begun = await store.begin(*memory.address, run_id="undo:mine")
    assert begun.lease is not None
    for _ in range(2):
        tokens = await copies.copy(begun.lease, Stream.NEXT, list(former_spans(decode(begun.plan))))
    cursor = await copies.newest(begun.lease, Stream.NEXT)
    replies = [await store.commit(begun.lease, cursor=cursor, tokens=tokens) for _ in range(2)]
    assert [reply.code for reply in replies] == ["undone", "done"]
    assert replies[0].undone == replies[1].undone
    assert (await store.begin(*memory.address, run_id="undo:mine")).undone == replies[0].undone
    await memory.assert_totals()


ACTIONS = st.lists(st.sampled_from(["append", "append", "delete", "pin", "system", "force"]), max_size=8)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(before=st.integers(18, 60), since=ACTIONS)
async def test_whatever_happened_since(redis_client: Redis, before: int, since: list[str]) -> None:
    """What was deleted since stays deleted, what was appended stays, and the rest is as before the last flush."""
    await redis_client.flushall()
    memory, steps = LiveMemory(redis_client, SUMMED), steps_for(redis_client, SUMMED)
    undo = Undo(store=UndoStore(redis_client, SPACE), copies=FlushCopies(redis_client, SPACE))
    await memory.append(talk(before))
    expected, summary = await memory.ids(), await summary_of(memory)
    await flush(steps, memory, "first", force=True)
    for number, action in enumerate(since):
        if action in ("append", "system"):
            expected += await memory.append([("user" if action == "append" else "system", "new", 60)])
        elif action == "delete":
            gone = (await memory.ids())[number % 3 : number % 3 + 1]
            await memory.delete(*gone)
            expected = [id_ for id_ in expected if id_ not in gone]
        elif action == "pin":
            await memory.pin(*(await memory.ids())[:1])
        else:
            there, now = await memory.ids(), await summary_of(memory)
            outcome = await flush(steps, memory, f"run {number}", force=True)
            if outcome.removed:
                expected, summary = there, now
    await undo.undo(*memory.address)
    assert await memory.ids() == expected
    assert await summary_of(memory) == summary
    await memory.assert_totals()
    assert await memory.kept() <= set(expected)
