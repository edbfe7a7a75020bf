"""MEMAPPEND … IDEMPOTENT: sent again, an append is answered again and not stored again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio
import redis.exceptions

from sidecar.dev.servers import RedisServer, SidecarProcess
from tests.e2e.agents import SPACE, as_map, run, stored
from tests.support.children import Children, StartSidecar
from tests.support.waiting import eventually

DEFINITIONS = [
    {"id": "chat"},
    {"id": "brief", "idempotency_ttl": "10m"},
    {"id": "due", "max_messages": 10, "flush": {"strategy": "fifo", "threshold": 0.5, "target": 0.2}},
    {"id": "full", "max_messages": 2, "overflow": "reject"},
    {"id": "silent", "privacy": {"do_not_persist": ["tool"]}},
    {"id": "other"},
]

HELLO = ("user", "hello")


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The definitions file of all sidecars here."""
    path = tmp_path_factory.mktemp("idempotent") / "definitions.yaml"
    path.write_text(json.dumps({"definitions": DEFINITIONS}))
    return path


@pytest.fixture(scope="module")
def sidecar(shared_children: Children, redis_server: RedisServer, definitions: Path) -> SidecarProcess:
    """One sidecar for the whole module; every test empties the Redis behind it."""
    return StartSidecar(shared_children)(redis_url=redis_server.url, definitions=definitions)


@pytest.fixture
async def client(sidecar: SidecarProcess, redis_url: str) -> AsyncIterator[redis.asyncio.Redis]:
    """A client of the sidecar, on an empty Redis."""
    assert redis_url
    async with redis.asyncio.Redis.from_url(sidecar.url) as connected:
        yield connected


async def append(client: redis.asyncio.Redis, key: str, token: str | bytes, *messages: str) -> dict[str, Any]:
    return as_map(await run(client, "MEMAPPEND", key, "IDEMPOTENT", token, *messages))


def again(first: dict[str, Any]) -> dict[str, Any]:
    """Return the reply to a repetition of what was answered `first`."""
    assert not first["duplicate"]
    return {**first, "duplicate": type(first["duplicate"])(1)}


async def test_a_repetition_gets_the_first_reply(
    client: redis.asyncio.Redis, redis_client: redis.asyncio.Redis
) -> None:
    """Each field is the first reply's, whatever was stored since; but `duplicate`, which is true."""
    first = await append(client, "chat:one", "a", *HELLO, "assistant", "hi")
    assert (first["appended"], first["messages"]) == (2, 2)
    await run(client, "MEMAPPEND", "chat:one", *HELLO)
    for _ in range(2):
        assert await append(client, "chat:one", "a", *HELLO, "assistant", "hi") == again(first)
    assert len(await stored(redis_client, "chat", "one")) == 3


async def test_the_token_decides_not_the_content(client: redis.asyncio.Redis) -> None:
    """Another content under the same token is not stored, and has the first reply; another token stores the same."""
    first = await append(client, "chat:one", "a", *HELLO)
    assert await append(client, "chat:one", "a", "user", "something else", "user", "and more") == again(first)
    assert (await append(client, "chat:one", "b", *HELLO))["messages"] == 2
    assert (await append(client, "chat:one", "A", *HELLO))["messages"] == 3


async def test_a_token_is_one_memory_s(client: redis.asyncio.Redis) -> None:
    """The same token names other appends on other memories, of this definition or another."""
    for key in ("chat:one", "chat:two", "other:one"):
        first = await append(client, key, "a", *HELLO)
        assert (first["messages"], bool(first["duplicate"])) == (1, False)
        assert await append(client, key, "a", *HELLO) == again(first)


async def test_a_token_is_forgotten_in_time(client: redis.asyncio.Redis, redis_client: redis.asyncio.Redis) -> None:
    """After `idempotency_ttl` the same append is stored again; a repetition does not change when that is."""
    first = await append(client, "brief:one", "a", *HELLO)
    key = SPACE.keys("brief", "one").idem("a")
    assert 0 < await redis_client.pttl(key) <= 600_000
    await redis_client.pexpire(key, 3_600_000)
    assert await append(client, "brief:one", "a", *HELLO) == again(first)
    assert await redis_client.pttl(key) > 600_000
    await redis_client.pexpire(key, 1)

    async def forgotten() -> bool:
        return not await redis_client.exists(key)

    await eventually(forgotten)
    second = await append(client, "brief:one", "a", *HELLO)
    assert (second["messages"], bool(second["duplicate"])) == (2, False)
    assert second["first-id"] > first["first-id"]
    assert await append(client, "brief:one", "a", *HELLO) == again(second)


async def test_a_token_outlives_what_it_stored(client: redis.asyncio.Redis) -> None:
    """After a flush, a write or a clear has taken the messages away, the append still is one that was made."""
    first = await append(client, "due:one", "a", *HELLO * 5, "assistant", "hi")
    assert (first["flush"], first["messages"]) == ("due", 6)
    await run(client, "MEMFLUSH", "due:one", "WAIT", "10000")
    assert as_map(await run(client, "MEMINFO", "due:one"))["messages"] == 2
    assert await append(client, "due:one", "a", *HELLO * 5, "assistant", "hi") == again(first)
    await run(client, "MEMWRITE", "due:one", "user", "anew")
    assert await append(client, "due:one", "a", *HELLO * 5, "assistant", "hi") == again(first)
    await run(client, "MEMCLEAR", "due:one")
    assert await append(client, "due:one", "a", *HELLO * 5, "assistant", "hi") == again(first)
    assert as_map(await run(client, "MEMINFO", "due:one"))["messages"] == 0


async def test_a_refusal_uses_no_token_up(client: redis.asyncio.Redis) -> None:
    """An append that was refused was not made: under its token it is stored once there is room, and then only once."""
    await run(client, "MEMAPPEND", "full:one", *HELLO * 2)
    with pytest.raises(redis.exceptions.ResponseError, match="OVERBUDGET"):
        await append(client, "full:one", "a", *HELLO)
    with pytest.raises(redis.exceptions.ResponseError, match="BADMESSAGE"):
        await append(client, "full:one", "a", "robot", "hello", "user", "x")
    await run(client, "MEMCLEAR", "full:one")
    first = await append(client, "full:one", "a", *HELLO * 2)
    assert (first["messages"], bool(first["duplicate"])) == (2, False)
    assert await append(client, "full:one", "a", *HELLO * 2) == again(first)  # although there is no room for it


async def test_what_is_not_persisted_is_repeated_too(client: redis.asyncio.Redis) -> None:
    """An append of which nothing is stored has a reply like any other, and the same one again."""
    first = await append(client, "silent:one", "a", "tool", "a secret")
    assert (first["appended"], first["first-id"], first["messages"]) == (0, None, 0)
    assert await append(client, "silent:one", "a", "user", "hello") == again(first)


async def test_in_one_pipeline(client: redis.asyncio.Redis, redis_client: redis.asyncio.Redis) -> None:
    """Repetitions that are sent before the first reply is read are found as well, between other appends."""
    pipeline = client.pipeline(transaction=False)
    for token in ("a", "b", "a", "a", "c", "b"):
        pipeline.execute_command("MEMAPPEND", "chat:one", "IDEMPOTENT", token, "user", token)
        pipeline.execute_command("MEMAPPEND", "chat:one", "user", "between")
    replies = [as_map(reply) for reply in await pipeline.execute()][::2]
    assert [bool(reply["duplicate"]) for reply in replies] == [False, False, True, True, False, True]
    assert replies[2] == replies[3] == again(replies[0])
    assert replies[5] == again(replies[1])
    said = [entry.content for entry in await stored(redis_client, "chat", "one") if entry.content != "between"]
    assert said == ["a", "b", "c"]


async def test_at_the_same_time(
    sidecar: SidecarProcess,
    sidecar_process: StartSidecar,
    definitions: Path,
    redis_url: str,
    redis_client: redis.asyncio.Redis,
) -> None:
    """Of forty clients of two sidecars that send the same append at once, one stores it, and all have one reply."""
    urls = (sidecar.url, sidecar_process(redis_url=redis_url, definitions=definitions).url)

    async def send(number: int) -> dict[str, Any]:
        async with redis.asyncio.Redis.from_url(urls[number % 2]) as one:
            return await append(one, "chat:one", "a", "user", f"from {number}")

    replies = await asyncio.gather(*(send(number) for number in range(40)))
    (first,) = [reply for reply in replies if not reply["duplicate"]]
    assert [reply for reply in replies if reply["duplicate"]] == [again(first)] * 39
    assert [entry.id for entry in await stored(redis_client, "chat", "one")] == [first["first-id"]]


TOKENS = [
    "a",
    "x" * 256,
    "é" * 128,
    "a:b",
    "a%3Ab",
    "{tag}",
    "{}",
    " ",
    "\r\n",
    "\0",
    "*",
    "🙂",
    "user",
    "JSON",
    "LOCK",
]


async def test_every_token_is_itself(client: redis.asyncio.Redis) -> None:
    """Any text of 1 to 256 bytes is a token, and no two of them are taken for each other."""
    for number, token in enumerate(TOKENS, 1):
        first = await append(client, "chat:one", token, *HELLO)
        assert (first["messages"], bool(first["duplicate"])) == (number, False), token
    for token in TOKENS:
        assert (await append(client, "chat:one", token, *HELLO))["duplicate"], token


@pytest.mark.parametrize(
    ("token", "said"),
    [
        (b"", "IDEMPOTENT takes a token of 1 to 256 bytes, this one has 0"),
        (b"x" * 257, "IDEMPOTENT takes a token of 1 to 256 bytes, this one has 257"),
        ("é".encode() * 129, "IDEMPOTENT takes a token of 1 to 256 bytes, this one has 258"),
        (b"\xff", "the token of IDEMPOTENT is not UTF-8"),
    ],
)
async def test_what_is_no_token(
    client: redis.asyncio.Redis, redis_client: redis.asyncio.Redis, token: bytes, said: str
) -> None:
    """A token that is too short, too long or no text is refused in words, and nothing is stored."""
    with pytest.raises(redis.exceptions.ResponseError, match=said):
        await append(client, "chat:one", token, *HELLO)
    assert await redis_client.dbsize() == 0


async def test_a_thousand_tokens(client: redis.asyncio.Redis, redis_client: redis.asyncio.Redis) -> None:
    """A memory may have as many as there are appends; each is one small key that ends by itself."""
    for _ in range(2):
        pipeline = client.pipeline(transaction=False)
        for number in range(1_000):
            pipeline.execute_command("MEMAPPEND", "chat:one", "IDEMPOTENT", f"t{number}", *HELLO)
        replies = await pipeline.execute()
    assert all(as_map(reply)["duplicate"] for reply in replies)
    assert as_map(await run(client, "MEMINFO", "chat:one"))["messages"] == 1_000
    assert len(await redis_client.keys("mem:idem:*")) == 1_000
    assert 0 < await redis_client.pttl(SPACE.keys("chat", "one").idem("t999")) <= 86_400_000


async def test_a_write_takes_no_token(client: redis.asyncio.Redis) -> None:
    """MEMWRITE has no IDEMPOTENT: written twice, a memory is as it was written once."""
    with pytest.raises(redis.exceptions.ResponseError, match="BADMESSAGE role of message 1 is 'IDEMPOTENT'"):
        await run(client, "MEMWRITE", "chat:one", "IDEMPOTENT", "a", *HELLO)
