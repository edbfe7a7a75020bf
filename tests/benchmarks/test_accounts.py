"""The accounts find what is wrong: each damage to a memory is named."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
import redis.asyncio

from benchmarks.accounts import Accounts
from sidecar.dev.servers import RedisServer, SidecarProcess
from sidecar.memory.keys import KeySpace, MemoryKeys
from tests.support.children import Children, StartSidecar

MEMORY = "default:audited"
KEYS = KeySpace().keys("default", "audited")

Client = redis.asyncio.Redis
Damage = Callable[[Client, MemoryKeys, list[str]], Awaitable[Any]]


@pytest.fixture(scope="module")
def sidecar(redis_server: RedisServer) -> Iterator[SidecarProcess]:
    """One for all tests of this file, which damage memories in Redis itself."""
    children = Children()
    yield StartSidecar(children)(redis_url=redis_server.url)
    children.stop_all()


@pytest.fixture
async def clients(redis_url: str, sidecar: SidecarProcess) -> AsyncIterator[tuple[Client, Client]]:
    """Redis itself, and a sidecar before it; both answer text in RESP3."""
    async with (
        Client.from_url(redis_url, decode_responses=True, protocol=3) as direct,
        Client.from_url(sidecar.url, decode_responses=True, protocol=3) as served,
    ):
        yield direct, served


async def ask(served: Client, *words: str) -> Any:
    """Send a command to the sidecar and return its reply."""
    return await served.execute_command(*words)  # type: ignore[no-untyped-call] # redis-py's own gap


async def filled(served: Client, accounts: Accounts) -> list[str]:
    """Append a system message and four others, and return the ids."""
    ids: list[str] = []
    for number in range(5):
        role = "user" if number else "system"
        reply = await ask(served, "MEMAPPEND", MEMORY, role, f"Parcel {number} went to Rotterdam.")
        ids.append(reply["first-id"])
        accounts.acknowledge(MEMORY, reply["first-id"], protected=not number)
    return ids


async def test_a_sound_memory(clients: tuple[Client, Client]) -> None:
    """What is stored and what was flushed add up, message by message."""
    direct, served = clients
    accounts = Accounts(KeySpace())
    await filled(served, accounts)
    await ask(served, "MEMFLUSH", MEMORY, "FORCE", "TARGET", "30", "WAIT", "10000")
    audit = await accounts.audit(direct, served)
    assert audit.problems == []
    assert audit.appended == 5 == audit.stored + audit.summarised
    assert audit.summarised > 0


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda direct, keys, ids: direct.xdel(keys.log, ids[2]), "1 acknowledged messages are lost"),
        (lambda direct, keys, ids: direct.xdel(keys.log, ids[0]), "a system message was removed"),
        (lambda direct, keys, ids: direct.hset(keys.meta, "messages", 6), "the record says 6 messages, the log has 5"),
        (lambda direct, keys, ids: direct.hset(keys.meta, "tokens", 1), "the record says 1 tokens, the log has"),
        (lambda direct, keys, ids: direct.xadd(keys.log, {"r": "user", "c": "x", "n": 1}), "1 messages in the log"),
        (lambda direct, keys, ids: direct.hset(keys.meta, "summary_messages", 1), "0 messages are gone, and flushes"),
    ],
)
async def test_damage_is_named(clients: tuple[Client, Client], damage: Damage, problem: str) -> None:
    """A message that went without a flush, one too many, totals that are not those of the log: each is found."""
    direct, served = clients
    accounts = Accounts(KeySpace())
    ids = await filled(served, accounts)
    assert (await accounts.audit(direct, served)).problems == []
    await damage(direct, KEYS, ids)
    problems = (await accounts.audit(direct, served)).problems
    assert any(problem in found for found in problems), problems


async def test_marks_are_counted(clients: tuple[Client, Client]) -> None:
    """A memory that waits for a flush, and one that is being flushed, are seen."""
    direct, served = clients
    accounts = Accounts(KeySpace())
    await filled(served, accounts)
    assert (await accounts.marks(direct), await accounts.flushes_under_way(direct)) == (0, 0)
    await direct.zadd(KEYS.due, {"default:demo:elsewhere": 1})
    await direct.hset(KEYS.meta, "flush_run", "r")
    assert (await accounts.marks(direct), await accounts.flushes_under_way(direct)) == (1, 1)
