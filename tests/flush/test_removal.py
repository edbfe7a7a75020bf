"""What is prepared for a commit: where the pieces come from, and that both ways of removing come to the same."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from sidecar.flush.removal import Removal, aside_spans, former_spans, next_spans
from sidecar.flush.staging import MOST_IDS, MOST_TRIMMED, StagedForm, StagedPlan, StagedRange, stage
from sidecar.flush.steps import FlushSteps
from sidecar.memory.message import MessageFacts
from sidecar.memory.plan import Limits, make_plan
from sidecar.store.flush_copies import PIECE, Span, Stream
from sidecar.store.flush_store import FlushStore
from sidecar.store.flush_words import Deed
from tests.flush.memories import CHAT, SPACE, Entry, LiveMemory, WordCounter, talk
from tests.flush.stepping import begin, flush
from tests.store.committing import Flush, ranges

LEFT, GOES, SHORTENED = "left", "goes", "shortened"

FATES = st.lists(st.sampled_from([LEFT, GOES, SHORTENED]), min_size=1, max_size=30)


def planned(ids: list[str], fates: list[str], *, rebuild: bool = True) -> StagedPlan:
    """Return a plan over `ids` by what becomes of each."""
    gone = [id_ for id_, fate in zip(ids, fates, strict=True) if fate == GOES]
    forms = [StagedForm(id_, 4) for id_, fate in zip(ids, fates, strict=True) if fate == SHORTENED]
    found = ranges(ids, gone)
    if rebuild:
        found = [msgspec.structs.replace(part, ids=None) for part in found]
    return StagedPlan("fifo", len(gone), 0, False, True, 100, 0, 0, found, forms, rebuild)


def copied(spans: list[Span], streams: dict[Stream, dict[int, str]]) -> list[str]:
    """Copy as the script does, over streams of the ids 1-0, 2-0, …: by number, what each holds."""
    taken = []
    for span in spans:
        low = 0 if span.first == "-" else int(span.first.strip("(").split("-")[0]) + span.first.startswith("(")
        high = 10**9 if span.last == "+" else int(span.last.strip("(").split("-")[0]) - span.last.startswith("(")
        stream = streams[span.source]
        there = streams[Stream.LOG] if span.only_there else stream
        taken += [stream[number] for number in sorted(stream) if low <= number <= high and number in there]
    return taken


@given(FATES, st.integers(0, 3))
def test_where_everything_comes_from(fates: list[str], later: int) -> None:
    """Aside is what is touched; the next log is the others, short forms and later ones; the former one is all again."""
    numbers = range(1, len(fates) + 1)
    log = {number: f"{number}" for number in range(1, len(fates) + later + 1)}
    plan = planned([f"{number}-0" for number in numbers], fates)
    brief = {number: f"short {number}" for number, fate in zip(numbers, fates, strict=True) if fate == SHORTENED}
    touched = {number: log[number] for number, fate in zip(numbers, fates, strict=True) if fate != LEFT}
    gone = {number for number, fate in zip(numbers, fates, strict=True) if fate == GOES}
    assert copied(list(aside_spans(plan)), {Stream.LOG: log}) == list(touched.values())
    after = {number: brief.get(number, text) for number, text in log.items() if number not in gone}
    assert copied(list(next_spans(plan)), {Stream.LOG: log, Stream.BRIEF: brief}) == list(after.values())
    assert copied(list(former_spans(plan)), {Stream.LOG: after, Stream.UNDO: touched}) == list(log.values())


@pytest.fixture
def memory(redis_client: Redis) -> LiveMemory:
    """An empty memory."""
    return LiveMemory(redis_client, CHAT)


async def commit(store: FlushStore, memory: LiveMemory, plan: StagedPlan, run_id: str) -> Deed:
    """Carry out a plan, whatever it says; what is appended in between is the caller's affair."""
    flush = await Flush(store, memory, run_id).begin()
    code, _ = await store.stage_plan(flush.lease, msgspec.json.encode(plan))
    assert code == "staged"
    deed = await Removal(store.copies).prepare(flush.lease, plan, memory.definition, WordCounter().count)
    assert (await flush.commit(deed=deed, ttl_ms=memory.definition.ttl_ms)).code == "committed"
    return deed


@pytest.mark.parametrize("pieces", [1, 3])
async def test_both_ways_come_to_the_same(store: FlushStore, redis_client: Redis, pieces: int) -> None:
    """In place or with a log made anew: the same messages stay, with the same ids and contents."""
    left: list[list[tuple[str, str]]] = []
    for rebuild in (False, True):
        memory = LiveMemory(redis_client, CHAT, f"rebuild={rebuild}")
        ids = await memory.append([("system", "be kind", 5), *talk(pieces * PIECE + 7)])
        fates = [LEFT if at == 0 or at % 5 == 3 else GOES for at in range(len(ids))]
        fates[-1] = LEFT
        plan = planned(ids, fates, rebuild=rebuild)
        plan = msgspec.structs.replace(plan, freed_tokens=plan.removed * 50)
        await commit(store, memory, plan, "a")
        await memory.assert_totals()
        names = dict(zip(ids, range(len(ids)), strict=True))
        left.append([(str(names[message.id]), message.content) for message in await memory.messages()])
    assert left[0] == left[1]
    assert len(left[0]) == (pieces * PIECE + 7) // 5 + 2


async def test_what_is_appended_while_the_log_is_made_anew(store: FlushStore, memory: LiveMemory) -> None:
    """Few are copied by the commit itself, many in pieces first; all are there, and the id goes on from the last."""
    for run, later in (("few", 3), ("many", 700)):
        ids = await memory.append(talk(20))
        flush = await Flush(store, memory, run).begin()
        plan = planned(ids, [GOES] * 10 + [LEFT] * 10) if run == "few" else planned(ids, [LEFT, GOES] * 10)
        plan = msgspec.structs.replace(plan, freed_tokens=500)
        await store.stage_plan(flush.lease, msgspec.json.encode(plan))
        removal = Removal(store.copies)
        deed = await removal.prepare(flush.lease, plan, memory.definition, WordCounter().count)
        new = await memory.append(talk(later))
        if run == "many":
            assert (await flush.commit(deed=deed)).code == "behind"
            deed = await removal.catch_up(flush.lease, deed)
        before = await memory.ids()
        gone = set(ids[:10] if run == "few" else ids[1::2])
        assert (await flush.commit(deed=deed)).code == "committed"
        assert await memory.ids() == [id_ for id_ in before if id_ not in gone]
        assert set(new) <= set(await memory.ids())
        await memory.assert_totals()


async def test_the_last_id_goes_over_to_the_new_log(store: FlushStore, memory: LiveMemory) -> None:
    """A newest message that was deleted before the flush is not followed by one with an older id."""
    ids = await memory.append(talk(20))
    await memory.delete(ids[-1])
    plan = msgspec.structs.replace(planned(ids[:-1], [GOES] * 10 + [LEFT] * 9), freed_tokens=500)
    await commit(store, memory, plan, "a")
    facts: dict[str, object] = await memory.redis.xinfo_stream(memory.keys.log)
    assert facts["last-generated-id"] == ids[-1].encode()


@pytest.mark.parametrize("ttl_ms", [None, 90_000])
async def test_the_new_log_lives_as_long_as_the_memory(
    store: FlushStore, redis_client: Redis, ttl_ms: int | None
) -> None:
    """The log that takes the old one's place ends with the memory, not with the work it was; access times do, too."""
    memory = LiveMemory(redis_client, replace(CHAT, ttl_ms=ttl_ms))
    ids = await memory.append(talk(20))
    await redis_client.zadd(memory.keys.seen, {ids[-1]: 1})
    plan = msgspec.structs.replace(planned(ids, [GOES] * 10 + [LEFT] * 10), freed_tokens=500)
    await commit(store, memory, plan, "a")
    lives = [await redis_client.pttl(key) for key in (memory.keys.log, memory.keys.meta, memory.keys.seen)]
    if ttl_ms is None:
        assert lives == [-1, -1, -1]
    else:
        assert all(80_000 < life <= 90_000 for life in lives)


async def test_shortened_messages(store: FlushStore, memory: LiveMemory) -> None:
    """A shortened message keeps id, role, class and fields, has less text and its exact count; the totals follow."""
    entries: list[Entry] = [
        ("user", "ask", 3),
        ("assistant", "", 5, '{"tool_calls":[{"id":"c"}]}'),
        ("tool", "one two three four five six", 10, '{"tool_call_id":"c"}'),
        ("user", "go on", 4),
    ]
    ids = await memory.append(entries)
    await memory.redis.xadd(memory.keys.log, {"r": "tool", "c": "a b c d e f", "n": "9", "k": "big"})
    await memory.redis.hincrby(memory.keys.meta, "messages", 1)
    await memory.redis.hincrby(memory.keys.meta, "tokens", 9)
    ids = await memory.ids()
    plan = planned(ids, [LEFT, LEFT, SHORTENED, LEFT, SHORTENED])
    plan = msgspec.structs.replace(plan, shortened=[StagedForm(ids[2], 7), StagedForm(ids[4], 5)])
    deed = await commit(store, memory, plan, "a")
    messages = await memory.messages()
    # A word is a token here; the others of the ten and of the nine are what the message weighs without its text.
    assert [(message.content.strip(), message.tokens) for message in messages[2::2]] == [
        ("one two three", 7),
        ("a b", 5),
    ]
    assert messages[2].fields == '{"truncated":true,"tool_call_id":"c"}'
    assert "b'k': b'big'" in str(await memory.redis.xrevrange(memory.keys.log, count=1))
    assert (deed.shortened, deed.freed_tokens) == (2, 7)
    await memory.assert_totals()


async def test_what_cannot_be_shortened_stays_as_it_is(store: FlushStore, memory: LiveMemory) -> None:
    """A message that is too large without its text is left whole, and nothing is said to be freed."""
    ids = await memory.append([("tool", "one two", 50), ("user", "go on", 4)])
    before = await memory.messages()
    deed = await commit(store, memory, planned(ids, [SHORTENED, LEFT]), "a")
    assert await memory.messages() == before
    assert deed.freed_tokens == 0
    await memory.assert_totals()


@pytest.mark.parametrize("fate", [GOES, SHORTENED])
async def test_a_pin_since_the_plan_voids_it(store: FlushStore, memory: LiveMemory, fate: str) -> None:
    """A message that is pinned before the commit neither goes nor is shortened, whichever way it is made."""
    ids = await memory.append(talk(20))
    flush = await Flush(store, memory).begin()
    plan = planned(ids, [fate] * 10 + [LEFT] * 10)
    await store.stage_plan(flush.lease, msgspec.json.encode(plan))
    deed = await flush.prepare()
    await memory.pin(ids[4])
    before = await memory.state()
    assert (await flush.commit(deed=deed)).code == "stale-plan"
    assert await memory.state() == before


async def test_what_is_left_of_a_broken_off_run_is_nobody_elses(steps: FlushSteps, memory: LiveMemory) -> None:
    """A run that prepared a commit and vanished leaves copies; the next run begins without them."""
    ids = await memory.append(talk(20))
    first = await Flush(FlushStore(memory.redis, SPACE), memory, "first").begin()
    await first.stage(set(ids[5:9]))
    await first.prepare()
    assert await memory.redis.xlen(memory.keys.aside) == 4
    await memory.lose_lease()
    ticket = await begin(steps, memory, "second")
    await steps.plan(ticket)
    assert await memory.redis.exists(memory.keys.aside, memory.keys.brief, memory.keys.next) == 0
    assert (await steps.commit(ticket)).removed == 10
    assert await memory.ids() == ids[10:]


def fact(number: int) -> MessageFacts:
    return MessageFacts(f"{number}-0", "user", 1)


@pytest.mark.parametrize(
    ("messages", "at_head", "rebuild"),
    [
        (MOST_TRIMMED + 5, True, False),
        (MOST_TRIMMED + 6, True, True),
        (MOST_IDS + 5, False, False),
        (MOST_IDS + 6, False, True),
    ],
)
def test_when_the_log_is_made_anew(messages: int, at_head: bool, rebuild: bool) -> None:
    """Only where so much goes that its removal would hold Redis up; then no id travels with the plan."""
    facts = [fact(number) for number in range(1, messages + 1)]
    if not at_head:
        facts[0] = replace(facts[0], role="system")
    plan = make_plan("fifo", facts, Limits(None, 5, 0, 0))
    staged = stage(plan, facts, summary_budget=1, messages=messages, tokens=messages)
    assert staged.removed == messages - 5
    assert staged.rebuild == rebuild
    assert [part.ids is None for part in staged.ranges] == [at_head or rebuild]
    assert isinstance(staged.ranges[0], StagedRange)


async def test_a_large_flush_is_whole(steps: FlushSteps, memory: LiveMemory) -> None:
    """More than one script would remove goes all the same, behind a system prompt too."""
    ids = await memory.append([("system", "be kind", 5), *talk(2_500, tokens=1)])
    await memory.redis.hset(memory.keys.meta, "generation", "0")
    outcome = await flush(steps, memory, force=True)
    work = outcome.removed
    assert work > MOST_IDS
    assert await memory.ids() == [ids[0], *ids[work + 1 :]]
    await memory.assert_totals()
