"""What the contract says of several clients at once, of time, and of the moments between a mark and a flush."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import redis

from tests.e2e.contract.speaking import Speaker
from tests.e2e.dialogue import Refusal
from tests.support.waiting import eventually

LIMIT_S = 20.0
"""For what another thread asks."""


@contextmanager
def meanwhile(ask: Callable[[], Any]) -> Iterator[list[Any]]:
    """Ask in a thread; its answer is in the list behind the block."""
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(ask()), daemon=True)
    thread.start()
    yield answers
    thread.join(LIMIT_S)
    assert answers, "nothing was answered"


def listed(speaker: Speaker, *options: str) -> list[str]:
    """Walk the memories to the end, and return all keys."""
    cursor, keys = speaker.ask("MEMLIST", *options)
    while cursor != "0":
        cursor, page = speaker.ask("MEMLIST", cursor, *options)
        keys += page
    return sorted(keys)


async def test_a_waiting_reader_gets_the_next_message(speaker: Speaker, other: Speaker) -> None:
    """MEMREAD SINCE $ BLOCK answers with what another client appends, and with nothing that was there before."""
    key = speaker.key()
    other.ask("MEMAPPEND", key, "user", "before")
    with meanwhile(lambda: speaker.map("MEMREAD", key, "SINCE", "$", "BLOCK", "20000", "FORMAT", "RESP")) as answers:

        def appended() -> bool:  # until the reader waits, what comes is "before" to it
            other.ask("MEMAPPEND", key, "user", "now")
            return bool(answers)

        await eventually(appended, why="the reader was not woken")
    contents = [message["content"] if isinstance(message, dict) else message[5] for message in answers[0]["messages"]]
    assert set(contents) == {"now"}


async def test_whoever_waits_for_the_lease_gets_it_next(speaker: Speaker, other: Speaker) -> None:
    """MEMLOCK WAIT is answered when the holder releases, with a higher fence and the time that it took."""
    key = speaker.key()
    held = other.map("MEMLOCK", key, "60000")
    with meanwhile(lambda: speaker.map("MEMLOCK", key, "60000", "WAIT", "20000")) as answers:
        await eventually(lambda: other.map("MEMHEALTH")["locks"]["waiting"] == 1)
        assert other.ask("MEMUNLOCK", key, held["token"]) == 1
    (granted,) = answers
    assert granted["fence"] > held["fence"]
    assert granted["token"] != held["token"]
    assert granted["waited-ms"] > 0


async def test_an_append_waits_for_the_end_of_the_turn(speaker: Speaker, other: Speaker) -> None:
    """A change without the token is made as soon as the lease is released, within the definition's wait."""
    key = speaker.key()
    held = other.map("MEMLOCK", key, "60000")
    with meanwhile(lambda: speaker.map("MEMAPPEND", key, "user", "hello")) as answers:
        await eventually(lambda: other.map("MEMHEALTH")["locks"]["waiting"] == 1)
        assert other.map("MEMINFO", key)["locked"] is True
        assert other.ask("MEMUNLOCK", key, held["token"]) == 1
    assert answers[0]["messages"] == 1


async def test_memories_that_wait_for_a_flush_are_listed(speaker: Speaker) -> None:
    """MEMLIST DUE walks to those above their threshold, MEMINFO says since when, and a flush takes them off."""
    key = speaker.key("few")
    speaker.ask("MEMAPPEND", speaker.key("few"), "user", "hello")
    token = speaker.map("MEMLOCK", key, "60000")["token"]
    assert speaker.map("MEMAPPEND", key, "LOCK", token, *["user", "hello"] * 9)["flush"] == "due"
    assert listed(speaker, "DUE") == listed(speaker, "DUE", "MATCH", "few:*", "COUNT", "1") == [key]
    assert listed(speaker, "DUE", "MATCH", "default:*") == []
    info = speaker.map("MEMINFO", key)
    assert info["flush"] in ("due", "running")
    assert info["flush-due-since-ms"] > 0
    assert speaker.ask("MEMUNLOCK", key, token) == 1
    await eventually(lambda: listed(speaker, "DUE") == [], why="the mark stayed")
    assert speaker.map("MEMINFO", key)["flush-due-since-ms"] is None


async def test_all_pages_of_a_walk_hold_every_memory(speaker: Speaker) -> None:
    """A walk with MEMLIST in small steps returns each of many memories."""
    keys = sorted(speaker.key("small") for _ in range(50))
    for key in keys:
        speaker.ask("MEMAPPEND", key, "user", "hello")
    assert listed(speaker, "COUNT", "1") == listed(speaker, "MATCH", "small:*", "COUNT", "7") == keys


def test_reading_extends_the_life_unless_it_is_peeking(speaker: Speaker, behind: redis.Redis) -> None:
    """A read puts the TTL back to the definition's, and with PEEK it stays what it was."""
    key = speaker.key("mortal")
    speaker.ask("MEMAPPEND", key, "user", "hello")
    for name in behind.scan_iter(f"mem:*:{key}"):
        behind.pexpire(name, 600_000)
    speaker.ask("MEMREAD", key, "PEEK")
    assert 0 < speaker.map("MEMINFO", key)["ttl-ms"] <= 600_000
    speaker.ask("MEMREAD", key)
    assert 600_000 < speaker.map("MEMINFO", key)["ttl-ms"] <= 3_600_000


def test_a_context_is_that_of_one_connection(speaker: Speaker, other: Speaker) -> None:
    """What one client has said with MEMCONTEXT, another one neither sees nor uses."""
    assert speaker.ask("MEMCONTEXT", '{"user":{"id":"ann"}}') == "OK"
    assert other.ask("MEMCONTEXT") == "{}"
    assert speaker.map("MEMINFO", "{{ user.id }}")["messages"] == 0
    assert isinstance(other.ask("MEMINFO", "{{ user.id }}"), Refusal)


def test_ids_grow_whatever_happens_to_a_memory(speaker: Speaker) -> None:
    """Ids are those of Redis streams, each larger than all before it, through writes, deletions and copies."""
    key = speaker.key()
    ids = []
    for command in ("MEMAPPEND", "MEMAPPEND", "MEMWRITE", "MEMAPPEND", "MEMWRITE"):
        appended = speaker.map(command, key, "user", "hello", "assistant", "there")
        ids += [appended["first-id"], appended["last-id"]]
        assert speaker.ask("MEMDEL", key, appended["last-id"]) == 1
    fork = speaker.key()
    assert speaker.map("MEMFORK", key, fork)["last-id"] == ids[-2]
    ids.append(speaker.map("MEMAPPEND", fork, "user", "hello")["first-id"])
    numbers = [tuple(map(int, each.split("-"))) for each in ids]
    assert numbers == sorted(set(numbers))
