"""The script calls that are compared with the sidecar's commands."""

from __future__ import annotations

from typing import Any

import hiredis
import redis

from benchmarks.load import NUMBER
from benchmarks.scripts import ScriptCalls, load_scripts
from sidecar.store import scripts
from sidecar.store.packed import unpacked
from tests.support.addressing import addressing

MEMORY = addressing().resolve(b"default:somebody")


def words(request: bytes) -> list[bytes]:
    """Return the words of a packed request: it is an array, as replies are."""
    reader = hiredis.Reader()
    reader.feed(request)
    found = reader.gets()
    assert isinstance(found, list)
    return found


def test_an_append_calls_the_script_with_a_number_to_fill_in() -> None:
    """It is EVALSHA of append.lua with the memory's keys; the number of the batch is left to the generator."""
    found = words(ScriptCalls(7).append(MEMORY, ("user", "hello")))
    keys = MEMORY.keys
    assert found[:2] == [b"EVALSHA", scripts.load("append").sha.encode()]
    assert found[3 : 3 + int(found[2])] == [
        key.encode() for key in (keys.log, keys.meta, keys.keep, keys.due, keys.lock)
    ]
    assert found.count(NUMBER) == 1
    assert b"hello" in found


def test_redis_stores_and_returns_what_they_say(redis_url: str) -> None:
    """Redis executes both calls: the message is stored with its exact count, and read back within a budget."""
    calls = ScriptCalls(7)
    with redis.Redis.from_url(redis_url, protocol=2) as client:
        load_scripts(client, "append", "read")
        send: Any = client.execute_command
        send(*words(calls.append(MEMORY, ("user", "hello")).replace(NUMBER, b"1000000000")))
        _, _, messages, tokens, more, left_out, entries, *_ = send(*words(calls.read(MEMORY, 8_000)))
    assert [int(number) for number in (messages, tokens, more, left_out)] == [1, 5, 0, 0]  # 3 + role + text
    assert [message.content for message in unpacked(entries)] == ["hello"]
