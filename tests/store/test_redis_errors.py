"""redis-py's exceptions in our terms, from a real Redis that refuses, hangs and is away."""

from __future__ import annotations

import pytest
import redis
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from sidecar.dev.ports import free_port
from sidecar.errors import RedisRefused, Unavailable, Uncertain
from sidecar.store.redis_errors import translated
from tests.support.children import StartRedis

ONCE = Retry(NoBackoff(), 0)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("NOSUCH",), "ERR unknown command"),
        (("HGET", "text", "x"), "WRONGTYPE "),
        (("EVALSHA", "0" * 40, 0), "NOSCRIPT "),
    ],
)
async def test_a_refusal_keeps_the_words_of_redis(redis_client: Redis, words: tuple[str, ...], line: str) -> None:
    """The first word of Redis's error is the first word of ours, whether redis-py knows it or not."""
    await redis_client.set("text", "x")
    with pytest.raises(RedisRefused) as refused, translated():
        await redis_client.execute_command(*words)  # type: ignore[no-untyped-call]
    assert refused.value.reply().startswith(line)


async def test_a_refused_login_is_a_refusal(redis_server_with_password: str) -> None:
    """A Redis that wants a password has answered; it is not away."""
    async with Redis.from_url(redis_server_with_password, retry=ONCE) as client:
        with pytest.raises(RedisRefused) as refused, translated():
            await client.get("x")
    assert refused.value.reply().startswith("NOAUTH ")


async def test_nobody_there_is_unavailable() -> None:
    """Where no connection comes about, nothing was sent."""
    async with Redis(port=free_port(), retry=ONCE) as client:
        with pytest.raises(Unavailable), translated():
            await client.get("x")


async def test_a_full_pool_is_unavailable(redis_url: str) -> None:
    """A command that gets no connection of its own was not sent."""
    pool = BlockingConnectionPool.from_url(redis_url, max_connections=1, timeout=0.01)
    # The second has a connection of its own as long as it lives.
    async with Redis.from_pool(pool) as client, client.client() as holder:
        await holder.ping()
        with pytest.raises(Unavailable), translated():
            await client.get("x")


async def test_silence_is_uncertain(start_redis: StartRedis) -> None:
    """A command that was sent and not answered in time may have been executed."""
    server = start_redis()
    async with Redis.from_url(server.url, socket_timeout=0.05, retry=ONCE) as client:
        await client.execute_command("CLIENT", "PAUSE", 5_000)  # type: ignore[no-untyped-call]
        with pytest.raises(Uncertain), translated():
            await client.get("x")


async def test_a_connection_that_breaks_is_uncertain(start_redis: StartRedis) -> None:
    """A command whose connection ended before the answer may have been executed."""
    server = start_redis()
    async with Redis.from_url(server.url, retry=ONCE) as client:
        with pytest.raises(Uncertain), translated():
            await client.execute_command("SHUTDOWN", "NOSAVE")  # type: ignore[no-untyped-call]


def test_other_errors_of_redis_py_are_uncertain() -> None:
    """What redis-py says beyond that is not taken for a promise."""
    with pytest.raises(Uncertain, match="RedisError"), translated():
        raise RedisError


def test_our_own_errors_pass() -> None:
    """What is not redis-py's goes through untouched."""
    with pytest.raises(ZeroDivisionError), translated():
        raise ZeroDivisionError


@pytest.fixture
def redis_server_with_password(start_redis: StartRedis) -> str:
    """Address, without the password, of a Redis that wants one."""
    server = start_redis()
    with redis.Redis.from_url(server.url) as client:
        client.config_set("requirepass", "secret")
    return server.url
