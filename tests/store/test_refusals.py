"""Errors of Redis reach the caller with Redis's own first word, and never claim more than is known."""

from __future__ import annotations

import asyncio

import pytest
import redis.asyncio

from sidecar.errors import RedisRefused, Uncertain
from tests.store.live import LiveStore, memory
from tests.store.lossy import LossyProxy
from tests.support.children import StartRedis
from tests.support.waiting import eventually

REFUSED_THE_SECOND_TIME = """
if redis.call('INCR', KEYS[1]) == 1 then return 1 end
return redis.error_reply("READONLY You can't write against a read only replica.")
"""


async def test_a_full_redis_says_oom(start_redis: StartRedis) -> None:
    """An append that Redis refuses for want of memory is answered OOM, although a script met the error."""
    server = start_redis()
    async with redis.asyncio.Redis.from_url(server.url) as client, LiveStore(server.url) as live:
        await client.config_set("maxmemory", "1")
        with pytest.raises(RedisRefused) as refused:
            await live.append(memory(), ("user", "hello", 5))
        assert refused.value.reply().startswith("OOM ")


async def test_a_refused_second_try_is_uncertain(start_redis: StartRedis) -> None:
    """The first try was executed and its reply lost; what the second one is told says nothing about that."""
    server = start_redis()
    async with (
        redis.asyncio.Redis.from_url(server.url) as client,
        LossyProxy(server.url, iter(())) as proxy,
        LiveStore(proxy.url) as live,
    ):
        await eventually(lambda: live.pipe.connected)
        proxy.plan = iter([True])
        answered: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        live.pipe.call(("EVAL", REFUSED_THE_SECOND_TIME, 1, "n"), answered.set_result, resend=True)
        answer = await asyncio.wait_for(answered, 10)
        assert await client.get("n") == b"2"
    assert isinstance(answer, Uncertain)
    assert "READONLY" in answer.reply()
