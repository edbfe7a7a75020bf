"""The flush scripts on a real Redis, return code by return code. Begin and commit have their own files."""

from __future__ import annotations

from dataclasses import replace

import pytest
from redis.asyncio import Redis

from sidecar.errors import RedisRefused
from sidecar.memory.definition import FlushPolicy
from sidecar.memory.ports import Partial
from sidecar.store.flush_store import CONTENT_PAGE, FACTS_PAGE, FACTS_PAGE_BYTES, SEEN_PAGE, FlushStore
from sidecar.store.flush_words import Limits, RawFacts
from tests.flush.memories import CHAT, SPACE, LiveMemory, talk

NONE = Limits(None, None)
LEASE_MS = 60_000


@pytest.fixture
def store(redis_client: Redis) -> FlushStore:
    """The store under test."""
    return FlushStore(redis_client, SPACE)


@pytest.fixture
def memory(redis_client: Redis) -> LiveMemory:
    """An empty memory, due above 800 tokens."""
    return LiveMemory(redis_client)


async def test_facts_come_in_pages_and_end_at_the_snapshot(store: FlushStore, memory: LiveMemory) -> None:
    """The pages hold every message up to the snapshot's last id, each once and in order, and none after it."""
    ids = await memory.append(talk(2 * FACTS_PAGE + 1, tokens=7))
    await memory.append(talk(3))
    pages = [page async for page in store.facts(*memory.address, ids[-1])]
    assert [len(page) for page in pages] == [FACTS_PAGE, FACTS_PAGE, 1]
    found = [facts for page in pages for facts in page]
    assert [facts.id for facts in found] == ids
    assert {(facts.role, facts.tokens, facts.fields) for facts in found} == {("user", 7, ""), ("assistant", 7, "")}


async def test_a_full_last_page_is_the_last(store: FlushStore, memory: LiveMemory) -> None:
    """A range that ends with a page ends the reading."""
    ids = await memory.append(talk(FACTS_PAGE))
    pages = [page async for page in store.facts(*memory.address, ids[-1])]
    assert [facts.id for page in pages for facts in page] == ids


async def test_facts_of_large_messages_come_in_small_pages(store: FlushStore, memory: LiveMemory) -> None:
    """One call looks at about a megabyte, however few messages that are."""
    ids = await memory.append([("user", "x" * 40_000, 10)] * 120, batch=60)
    pages = [page async for page in store.facts(*memory.address, ids[-1])]
    assert [facts.id for page in pages for facts in page] == ids
    assert max(len(page) for page in pages) * 40_000 < 2.5 * FACTS_PAGE_BYTES


async def test_facts_carry_only_the_fields_that_may_hold_a_tool_call(store: FlushStore, memory: LiveMemory) -> None:
    """Of a message's JSON only that with tool calls is read; an image in it stays on Redis."""
    ids = await memory.append(
        [
            ("assistant", "", 5, '{"tool_calls":[{"id":"c1"}]}'),
            ("tool", "42", 5, '{"tool_call_id":"c1"}'),
            ("user", "", 5, '{"content":[{"type":"image_url"}]}'),
        ]
    )
    [page] = [page async for page in store.facts(*memory.address, ids[-1])]
    assert [facts.fields for facts in page] == ['{"tool_calls":[{"id":"c1"}]}', '{"tool_call_id":"c1"}', ""]


async def test_facts_tell_the_class(store: FlushStore, memory: LiveMemory) -> None:
    """The class of a message comes with its facts, wherever the entry has it; most have none."""
    log = memory.keys.log
    await memory.redis.xadd(log, {"r": "user", "c": "", "n": "1"}, id="1-1")
    await memory.redis.xadd(log, {"r": "user", "c": "", "n": "2", "k": "steps"}, id="1-2")
    await memory.redis.xadd(log, {"r": "user", "c": "", "n": "3", "x": '{"name":"k"}', "k": "facts"}, id="1-3")
    [page] = [page async for page in store.facts(*memory.address, "1-3")]
    assert [(facts.tokens, facts.kind) for facts in page] == [(1, ""), (2, "steps"), (3, "facts")]


async def test_facts_tell_the_length_of_the_text(store: FlushStore, memory: LiveMemory) -> None:
    """The bytes of a text come with the facts; a message without text, or of parts, has none."""
    ids = await memory.append([("user", "für", 5), ("assistant", "", 5, '{"content":[{"type":"text","text":"abc"}]}')])
    [page] = [page async for page in store.facts(*memory.address, ids[-1])]
    assert [facts.text_bytes for facts in page] == [4, 0]


async def test_access_times_come_in_pages(store: FlushStore, memory: LiveMemory) -> None:
    """All access times are found, however many there are; a memory without any has none."""
    assert await store.seen(*memory.address) == {}
    times = {f"{number}-0": 1_700_000_000_000 + number for number in range(3 * SEEN_PAGE)}
    await memory.redis.zadd(memory.keys.seen, times)
    assert await store.seen(*memory.address) == times


async def test_access_times_are_forgotten(store: FlushStore, memory: LiveMemory) -> None:
    """The access times of the named messages go, however many these are; the others stay."""
    await memory.redis.zadd(memory.keys.seen, {f"{number}-0": number for number in range(2 * SEEN_PAGE + 3)})
    await store.forget_seen(*memory.address, [])
    await store.forget_seen(*memory.address, [f"{number}-0" for number in range(2 * SEEN_PAGE + 1)])
    assert await store.seen(*memory.address) == {f"{2 * SEEN_PAGE + n}-0": 2 * SEEN_PAGE + n for n in (1, 2)}


async def test_odd_entries_do_not_stop_the_reading(store: FlushStore, memory: LiveMemory) -> None:
    """An entry that no append of ours wrote is a message without role and weight."""
    id_ = await memory.redis.xadd(memory.keys.log, {b"n": b"many", b"r": b"\xff", b"x": b"tool_call"})
    text = id_.decode() if isinstance(id_, bytes) else str(id_)
    [page] = [page async for page in store.facts(*memory.address, text)]
    assert page == [RawFacts(text, "\ufffd", 0, "tool_call")]
    [contents] = [page async for page in store.contents(*memory.address, "-", text)]
    assert [(message.role, message.content, message.tokens) for message in contents] == [("\ufffd", "", 0)]


async def test_contents_come_in_pages_and_end_at_the_range(store: FlushStore, memory: LiveMemory) -> None:
    """The pages hold exactly the messages of a range, with their texts."""
    await memory.append(talk(2 * CONTENT_PAGE + 10))
    messages = await memory.messages()
    first, last = messages[5], messages[2 * CONTENT_PAGE + 4]
    pages = [page async for page in store.contents(*memory.address, first.id, last.id)]
    assert [len(page) for page in pages] == [CONTENT_PAGE, CONTENT_PAGE]
    assert [message for page in pages for message in page] == messages[5 : 2 * CONTENT_PAGE + 5]


async def test_kept_ids_are_those_of_instructions(store: FlushStore, memory: LiveMemory) -> None:
    """The messages that no flush removes are found without reading the log."""
    ids = await memory.append([("system", "be kind", 3), ("user", "hi", 2), ("developer", "be brief", 3)])
    assert await store.kept_ids(*memory.address) == {ids[0], ids[2]}


async def test_the_first_plan_of_a_run_is_final(store: FlushStore, memory: LiveMemory) -> None:
    """A plan that is staged twice stays the first one, because its summary may be made already."""
    await memory.append(talk(20))
    begun = await store.begin(*memory.address, run_id="a", lease_ms=LEASE_MS, force=False, limits=memory.limits)
    lease = memory.lease("a", begun.epoch, begun.fence)
    assert await store.stage_plan(lease, b"one") == ("staged", b"one")
    assert await store.stage_summary(lease, "text", 9) == "staged"
    assert await store.stage_plan(lease, b"two") == ("staged", b"one")
    work = await store.work(*memory.address, "a")
    assert work is not None
    assert (work.plan, work.summary_tokens) == (b"one", 9)
    assert 0 < await memory.redis.pttl(memory.keys.work) <= 15 * 60_000


async def test_the_next_run_starts_with_empty_work(store: FlushStore, memory: LiveMemory) -> None:
    """A run that takes over sees neither plan nor summary of the one before."""
    await memory.append(talk(20))
    first = await store.begin(*memory.address, run_id="a", lease_ms=LEASE_MS, force=False, limits=memory.limits)
    old = memory.lease("a", first.epoch, first.fence)
    await store.stage_plan(old, b"one")
    await store.stage_summary(old, "text", 9)
    await memory.lose_lease()
    second = await store.begin(*memory.address, run_id="b", lease_ms=LEASE_MS, force=False, limits=memory.limits)
    new = memory.lease("b", second.epoch, second.fence)
    assert await store.work(*memory.address, "b") is None
    assert await store.stage_summary(new, "too early", 9) == "lost-plan"
    assert await store.stage_plan(new, b"two") == ("staged", b"two")
    work = await store.work(*memory.address, "b")
    assert work is not None
    assert (work.plan, work.summary_tokens) == (b"two", None)


async def test_an_overtaken_run_stages_nothing(store: FlushStore, memory: LiveMemory) -> None:
    """A run that hung while another took over overwrites none of its work."""
    await memory.append(talk(20))
    first = await store.begin(*memory.address, run_id="a", lease_ms=LEASE_MS, force=False, limits=memory.limits)
    await memory.lose_lease()
    second = await store.begin(*memory.address, run_id="b", lease_ms=LEASE_MS, force=False, limits=memory.limits)
    await store.stage_plan(memory.lease("b", second.epoch, second.fence), b"two")
    old = memory.lease("a", first.epoch, first.fence)
    assert await store.stage_plan(old, b"one") == ("stale-fence", b"")
    assert await store.stage_summary(old, "text", 9) == "stale-fence"
    work = await store.work(*memory.address, "b")
    assert work is not None
    assert work.plan == b"two"


async def test_parts_of_a_summary(store: FlushStore, memory: LiveMemory) -> None:
    """The latest part is what a new try finds; it goes with the whole summary, and never stands for it."""
    await memory.append(talk(20))
    begun = await store.begin(*memory.address, run_id="a", lease_ms=LEASE_MS, force=False, limits=memory.limits)
    lease = memory.lease("a", begun.epoch, begun.fence)
    assert await store.stage_partial(lease, Partial("too early", 1)) == "lost-plan"
    await store.stage_plan(lease, b"one")
    work = await store.work(*memory.address, "a")
    assert work is not None
    assert work.partial == Partial()
    for part in (Partial("first", 3), Partial("second", 6)):
        assert await store.stage_partial(lease, part) == "staged"
        work = await store.work(*memory.address, "a")
        assert work is not None
        assert (work.partial, work.summary_tokens) == (part, None)
    await store.stage_summary(lease, "whole", 9)
    work = await store.work(*memory.address, "a")
    assert work is not None
    assert (work.partial, work.summary_tokens) == (Partial(), 9)


async def test_an_overtaken_run_stages_no_part(store: FlushStore, memory: LiveMemory) -> None:
    """A part that comes too late is refused, as a whole summary is."""
    await memory.append(talk(20))
    first = await store.begin(*memory.address, run_id="a", lease_ms=LEASE_MS, force=False, limits=memory.limits)
    await memory.lose_lease()
    second = await store.begin(*memory.address, run_id="b", lease_ms=LEASE_MS, force=False, limits=memory.limits)
    await store.stage_plan(memory.lease("b", second.epoch, second.fence), b"two")
    assert await store.stage_partial(memory.lease("a", first.epoch, first.fence), Partial("late", 1)) == "stale-fence"
    work = await store.work(*memory.address, "b")
    assert work is not None
    assert work.partial == Partial()


async def test_nothing_is_staged_for_a_cleared_memory(store: FlushStore, memory: LiveMemory) -> None:
    """After a clear, and after new messages too, the old run stages nothing."""
    await memory.append(talk(20))
    begun = await store.begin(*memory.address, run_id="a", lease_ms=LEASE_MS, force=False, limits=memory.limits)
    lease = memory.lease("a", begun.epoch, begun.fence)
    await memory.clear()
    assert await store.stage_plan(lease, b"one") == ("stale-epoch", b"")
    await memory.append(talk(20))
    assert await store.stage_plan(lease, b"one") == ("stale-epoch", b"")
    assert await memory.redis.exists(memory.keys.work) == 0


async def test_fail_records_and_releases(store: FlushStore, memory: LiveMemory) -> None:
    """A flush that is given up leaves messages, totals and mark, frees the lease and says why."""
    await memory.append(talk(20))
    before = await memory.messages()
    begun = await store.begin(*memory.address, run_id="a", lease_ms=LEASE_MS, force=False, limits=memory.limits)
    lease = memory.lease("a", begun.epoch, begun.fence)
    await store.stage_plan(lease, b"one")
    duration = await store.fail(lease, begun_ms=begun.now_ms - 5_000, strategy="fifo", error="no model")
    assert duration is not None
    assert 5_000 <= duration < 10_000
    assert await memory.messages() == before
    assert await memory.marked()
    assert await memory.redis.exists(memory.keys.work) == 0
    meta = await memory.meta()
    assert "flush_run" not in meta
    assert "flush_until" not in meta
    assert (meta["last_run"], meta["last_status"], meta["last_error"]) == ("a", "failed", "no model")
    assert int(meta["last_flush"]) >= begun.now_ms
    await memory.assert_totals()
    running = await store.running(*memory.address)
    assert (running.holder, running.record.status, running.record.error) == ("", "failed", "no model")


async def test_begin_after_a_failure_reports_it_to_the_same_run_only(store: FlushStore, memory: LiveMemory) -> None:
    """The begin of a run that has failed is not executed again; a new run begins."""
    await memory.append(talk(20))
    begun = await store.begin(*memory.address, run_id="a", lease_ms=LEASE_MS, force=False, limits=memory.limits)
    lease = memory.lease("a", begun.epoch, begun.fence)
    await store.fail(lease, begun_ms=begun.now_ms, strategy="fifo", error="no model")
    same = await store.begin(*memory.address, run_id="a", lease_ms=LEASE_MS, force=False, limits=memory.limits)
    assert same.code == "done"
    assert same.record is not None
    assert (same.record.status, same.record.error, same.record.again) == ("failed", "no model", True)
    new = await store.begin(*memory.address, run_id="b", lease_ms=LEASE_MS, force=False, limits=memory.limits)
    assert (new.code, new.fence) == ("begun", begun.fence + 1)


async def test_a_lost_fence_can_neither_fail_nor_renew(store: FlushStore, memory: LiveMemory) -> None:
    """An overtaken run cannot give up or prolong the flush of the one that took over."""
    await memory.append(talk(20))
    first = await store.begin(*memory.address, run_id="a", lease_ms=LEASE_MS, force=False, limits=memory.limits)
    await memory.lose_lease()
    await store.begin(*memory.address, run_id="b", lease_ms=LEASE_MS, force=False, limits=memory.limits)
    old = memory.lease("a", first.epoch, first.fence)
    before = await memory.state()
    assert await store.fail(old, begun_ms=first.now_ms, strategy="fifo", error="late") is None
    assert not await store.renew(old, LEASE_MS)
    assert await memory.state() == before


async def test_a_cleared_memory_can_neither_fail_nor_renew(store: FlushStore, memory: LiveMemory) -> None:
    """After a clear nothing is written for the old run, so that no half memory appears."""
    await memory.append(talk(20))
    begun = await store.begin(*memory.address, run_id="a", lease_ms=LEASE_MS, force=False, limits=memory.limits)
    lease = memory.lease("a", begun.epoch, begun.fence)
    await memory.clear()
    assert await store.fail(lease, begun_ms=begun.now_ms, strategy="fifo", error="late") is None
    assert not await store.renew(lease, LEASE_MS)
    assert await memory.meta() == {}


async def test_renew_extends_the_lease_and_the_work(store: FlushStore, memory: LiveMemory) -> None:
    """A sign of life counts from now, and what is staged lives as long."""
    await memory.append(talk(20))
    begun = await store.begin(*memory.address, run_id="a", lease_ms=1_000, force=False, limits=memory.limits)
    lease = memory.lease("a", begun.epoch, begun.fence)
    await store.stage_plan(lease, b"one")
    await memory.redis.pexpire(memory.keys.work, 5_000)
    assert await store.renew(lease, LEASE_MS)
    assert int((await memory.meta())["flush_until"]) >= begun.now_ms + LEASE_MS
    assert await memory.redis.pttl(memory.keys.work) > 5_000


async def test_running_tells_holder_and_expiry(store: FlushStore, memory: LiveMemory) -> None:
    """Who flushes now is visible from outside, and whether it still shows signs of life."""
    assert (await store.running(*memory.address)).record.status == ""
    await memory.append(talk(20))
    await store.begin(*memory.address, run_id="a", lease_ms=LEASE_MS, force=False, limits=memory.limits)
    now = await store.running(*memory.address)
    assert (now.holder, now.expired) == ("a", False)
    await memory.lose_lease()
    assert (await store.running(*memory.address)).expired


async def test_the_summary_is_read_from_meta(store: FlushStore, memory: LiveMemory) -> None:
    """The present summary is "" where there is none."""
    await memory.append(talk(1))
    assert await store.summary(*memory.address) == ""
    await memory.redis.hset(memory.keys.meta, "summary", "so far")
    assert await store.summary(*memory.address) == "so far"


async def test_a_foreign_type_is_refused_before_anything_is_written(store: FlushStore, memory: LiveMemory) -> None:
    """A key that somebody else uses makes the script fail as a whole, with Redis's own word."""
    await memory.append(talk(20))
    await memory.redis.set(memory.keys.due, "mine")
    before = await memory.meta()
    with pytest.raises(RedisRefused) as refused:
        await store.begin(*memory.address, run_id="a", lease_ms=LEASE_MS, force=True, limits=memory.limits)
    assert "WRONGTYPE" in refused.value.reply()
    assert await memory.meta() == before


async def test_scripts_survive_a_flush_of_the_script_cache(store: FlushStore, memory: LiveMemory) -> None:
    """A restarted Redis, which knows no scripts, is taught them again by the next call."""
    await memory.append(talk(20))
    for run in ("a", "b"):
        await memory.redis.script_flush()
        await store.begin(*memory.address, run_id=run, lease_ms=LEASE_MS, force=True, limits=memory.limits)
    assert (await memory.meta())["flush_run"] == "a"


async def test_definitions_do_not_share_a_memory(store: FlushStore, redis_client: Redis) -> None:
    """The same instance of another definition is another memory."""
    other = replace(CHAT, id="other", flush=FlushPolicy())
    await LiveMemory(redis_client, other).append(talk(20))
    memory = LiveMemory(redis_client)
    reply = await store.begin(*memory.address, run_id="a", lease_ms=LEASE_MS, force=True, limits=NONE)
    assert reply.code == "empty"


async def test_reachable(store: FlushStore) -> None:
    """A Redis that answers is reachable."""
    assert await store.reachable()
