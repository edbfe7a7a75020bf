"""Imports whose connection to Redis breaks at each of their scripts, before, within and after it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat

import pytest
from redis.asyncio import Redis

from sidecar.errors import Uncertain
from sidecar.memory.message import Message
from sidecar.net.dialer import Dialer
from sidecar.net.endpoint import RedisEndpoint
from sidecar.net.redis_client import redis_client as make_client
from sidecar.store.incoming import PAGE_MESSAGES, Arrival, Incoming
from tests.support.cutting_relay import Cut, CuttingRelay
from tests.transfer.moving import bring, content, memory, talk

PAGES = 2
SCRIPTS = PAGES + 2
"""A gathering for each full page and one for the rest, and the commit."""

MOST_RUNS = 6

CUTS = [Cut("request", passed) for passed in (0, 40, None)] + [Cut("reply", passed) for passed in (0, 3, None)]


def at(script: int, cut: Cut) -> Iterator[Cut | None]:
    """Cut once, at the script of that number."""
    yield from repeat(None, script)
    yield cut


async def until_done(relay: CuttingRelay, data: bytes) -> None:
    """Run an import until one ends well."""
    for _ in range(MOST_RUNS):
        dialer = Dialer(RedisEndpoint.parse(relay.url))
        client = make_client(dialer, username=None, password=None, database=0)
        try:
            await bring(client, data)
        except Uncertain:
            continue
        else:
            return
        finally:
            await client.aclose()
            await dialer.close()
    pytest.fail(f"no import of {MOST_RUNS} ended well")


@pytest.mark.parametrize("script", range(SCRIPTS))
async def test_each_message_is_there_once(redis_url: str, redis_client: Redis, script: int) -> None:
    """Whatever Redis has got and answered, the import that ends well has stored each message once."""
    data = talk("chat:1", PAGES * PAGE_MESSAGES + 9)
    await bring(redis_client, data)  # so that Redis knows the scripts, and each is one request
    once = await content(redis_client, "chat:1")
    for cut in CUTS:
        await redis_client.flushdb()
        async with CuttingRelay(redis_url, at(script, cut)) as relay:
            await until_done(relay, data)
            assert relay.cuts == 1, cut
        assert await content(redis_client, "chat:1") == once, cut
        assert await redis_client.keys("mem:fork:*") == [], cut


async def test_a_commit_that_is_sent_twice_is_made_once(redis_client: Redis) -> None:
    """The second one finds what the first has brought, also when it has grown since."""
    incoming, where = Incoming(redis_client), memory("chat:1")
    await incoming.gather(where, "n", "o200k_base", [Arrival("1-1", Message("user", "hi"), 5, False)], 0, "d")
    assert await incoming.commit(where, "n", None, "import:d") == "done"
    await redis_client.xadd(where.keys.log, {"r": "user", "c": "later", "n": "4"})
    assert await incoming.commit(where, "n", None, "import:d") == "done"
    assert await redis_client.xlen(where.keys.log) == 2
