"""`parts/room.lua`: what goes to make room is what the strategy `fifo` would take; then examples of what stays."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from redis.asyncio import Redis

from sidecar.errors import OverBudget
from sidecar.memory.definition import Definition
from sidecar.memory.message import MessageFacts
from sidecar.memory.plan import Limits, make_plan
from tests.flush.memories import Entry, LiveMemory
from tests.store.crafting import craft, shown
from tests.store.histories import SETTINGS, histories
from tests.store.live import ENCODING, LiveStore, change, memory
from tests.store.model import Stored

CALLS = st.sampled_from([("a",), ("b", "c")])
NEW = st.lists(
    st.one_of(
        st.builds(Stored, st.just((2, 0)), st.sampled_from(["user", "assistant", "system"]), st.integers(1, 30)),
        st.builds(
            Stored,
            st.just((2, 0)),
            st.just("assistant"),
            st.integers(1, 30),
            calls=st.sampled_from([("a",), ("b", "c")]),
        ),
        st.builds(Stored, st.just((2, 0)), st.just("tool"), st.integers(1, 30), answers=st.sampled_from("abcdef")),
    ),
    min_size=1,
    max_size=4,
)


def planned(log: Sequence[Stored], new: Sequence[Stored], definition: Definition) -> list[str] | None:
    """Return the ids that the planner leaves of the log; None where there is no room for what is new, which stays."""
    facts = [
        MessageFacts(shown(each.id), each.role, each.tokens, each.calls, each.answers, pinned=each.kept)
        for each in [*log, *(replace(each, pinned=True) for each in new)]
    ]
    plan = make_plan("fifo", facts, Limits(definition.max_tokens, definition.max_messages, 0, 0))
    if not plan.reached:
        return None
    ids = [fact.id for fact in facts]
    gone = {id_ for part in plan.ranges for id_ in ids[ids.index(part.first) : ids.index(part.last) + 1]}
    return [id_ for id_ in ids[: len(log)] if id_ not in gone]


def entry(message: Stored) -> Entry:
    """Return a message as the store takes it."""
    if message.calls:
        fields = json.dumps({"tool_calls": [{"id": call} for call in message.calls]}, separators=(",", ":"))
        return message.role, "", message.tokens, fields
    if message.answers is not None:
        return message.role, "42", message.tokens, json.dumps({"tool_call_id": message.answers}, separators=(",", ":"))
    return message.role, "said", message.tokens


@SETTINGS
@given(log=histories(), new=NEW, most_tokens=st.integers(10, 500), most_messages=st.none() | st.integers(1, 30))
async def test_what_makes_room_is_what_fifo_takes(
    live: LiveStore,
    redis_client: Redis,
    log: list[Stored],
    new: list[Stored],
    most_tokens: int,
    most_messages: int | None,
) -> None:
    """For the same need the oldest messages go that a plan by `fifo` removes, and where it does not suffice, none."""
    definition = Definition(
        id="ring", type="buffer", overflow="trim", max_tokens=most_tokens, max_messages=most_messages
    )
    where = await craft(redis_client, log, definition=definition)
    await change(redis_client, where, {"encoding": ENCODING, "epoch": 1})
    there = LiveMemory(redis_client, definition, where.instance)
    new = [replace(each, id=(2, at)) for at, each in enumerate(new)]
    expected = planned(log, new, definition)
    try:
        await live.append(where, *map(entry, new))
    except OverBudget:
        assert expected is None
        assert await there.ids() == [shown(each.id) for each in log]
    else:
        assert (await there.ids())[: -len(new)] == expected
        event(f"{len(log) - len(expected or [])} went")


RING = Definition(id="ring", type="buffer", overflow="trim", max_tokens=None, max_messages=3)
CALL: Entry = ("assistant", "", 5, '{"tool_calls":[{"id":"a"},{"id":"b"}]}')
RESULTS: tuple[Entry, ...] = (("tool", "1", 5, '{"tool_call_id":"a"}'), ("tool", "2", 5, '{"tool_call_id":"b"}'))
USER: Entry = ("user", "hi", 5)


async def roles(redis: Redis) -> list[str]:
    """Return the roles of what is there."""
    return [message.role for message in await LiveMemory(redis, RING, "i").messages()]


async def test_a_call_stays_until_its_results_are_there(live: LiveStore, redis_client: Redis) -> None:
    """A result does not make its own call go: it would come to nothing without it."""
    where = memory(RING)
    for each in (CALL, USER, USER):
        await live.append(where, each)
    await live.append(where, RESULTS[0])
    assert await roles(redis_client) == ["assistant", "user", "tool"]


async def test_a_call_that_waits_stays(live: LiveStore, redis_client: Redis) -> None:
    """While results of a call are still to come it stays, also where the result of another one comes."""
    where = memory(RING)
    for each in (USER, USER, CALL):
        await live.append(where, each)
    await live.append(where, ("tool", "?", 5, '{"tool_call_id":"stray"}'))
    assert await roles(redis_client) == ["user", "assistant", "tool"]
    await live.append(where, *RESULTS)
    assert await roles(redis_client) == ["assistant", "tool", "tool"]


async def test_a_call_that_nobody_waits_for_goes(live: LiveStore, redis_client: Redis) -> None:
    """Once another message comes, a call goes in its turn."""
    where = memory(RING)
    await live.append(where, CALL)
    for _ in range(3):
        await live.append(where, USER)
    assert await roles(redis_client) == ["user"] * 3


async def test_instructions_do_not_empty_the_talk(live: LiveStore, redis_client: Redis) -> None:
    """The newest message of the talk stays where only instructions come; those that are too many are refused."""
    where = memory(RING)
    await live.append(where, USER, USER)
    await live.append(where, ("system", "be kind", 5), ("system", "be brief", 5))
    assert await roles(redis_client) == ["user", "system", "system"]
    with pytest.raises(OverBudget):
        await live.append(where, ("developer", "be quick", 5))
    assert await roles(redis_client) == ["user", "system", "system"]
