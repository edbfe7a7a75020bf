"""The shared connection to a real Redis, which is stopped, killed and started again meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
import redis.asyncio

from sidecar.dev.ports import free_port
from sidecar.dev.servers import RedisServer
from sidecar.errors import RedisRefused, Unavailable, Uncertain
from sidecar.net import multiplexer as module
from sidecar.net.dialer import CONNECT_TIMEOUT_S, Dialer
from sidecar.net.endpoint import RedisEndpoint
from sidecar.net.multiplexer import Multiplexer
from sidecar.resp.watched import Credentials
from sidecar.store.pipe import Argument, Reply
from tests.support.children import StartRedis
from tests.support.waiting import eventually


@asynccontextmanager
async def running(
    endpoint: RedisEndpoint,
    *,
    deadline_s: float = 5.0,
    on_reconnect: Callable[[], None] = lambda: None,
    on_round_trip: Callable[[float], None] = lambda _: None,
    on_refused: Callable[[str], None] = lambda _: None,
) -> AsyncIterator[Multiplexer]:
    credentials = None
    if endpoint.password is not None:
        credentials = Credentials((endpoint.username or "default").encode(), endpoint.password.encode())
    multiplexer = Multiplexer(
        Dialer(endpoint, connect_timeout_s=CONNECT_TIMEOUT_S).connect,
        credentials=credentials,
        database=endpoint.database,
        deadline_s=deadline_s,
        on_reconnect=on_reconnect,
        on_round_trip=on_round_trip,
        on_refused=on_refused,
    )
    task = asyncio.create_task(multiplexer.run())
    await asyncio.sleep(0)  # so that it has begun: a task that is cancelled before that does nothing at all
    try:
        yield multiplexer
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def pipe(redis_server: RedisServer, redis_client: redis.asyncio.Redis) -> AsyncIterator[Multiplexer]:
    """A connected multiplexer of the shared, emptied Redis."""
    async with running(RedisEndpoint("127.0.0.1", redis_server.port)) as multiplexer:
        await eventually(lambda: multiplexer.connected)
        yield multiplexer


async def test_round_trips_and_refusals_are_told(redis_server: RedisServer, redis_client: redis.asyncio.Redis) -> None:
    """One round trip for all commands of a turn; each error of Redis's, but not that a script is new to it."""
    trips: list[float] = []
    refusals: list[str] = []
    endpoint = RedisEndpoint("127.0.0.1", redis_server.port)
    await redis_client.script_flush()
    async with running(endpoint, on_round_trip=trips.append, on_refused=refusals.append) as pipe:
        await eventually(lambda: pipe.connected)
        await ask_all(pipe, [("SET", "k", "v"), ("GET", "k"), ("LPUSH", "k", "x"), ("NONE",)])
        assert (len(trips), [line.partition(" ")[0] for line in refusals]) == (1, ["WRONGTYPE", "ERR"])
        assert 0 < trips[0] < 60
        done: list[Reply] = []
        pipe.call_script("probe", ["mem:probe:{00}"], ["once", 1000], done.append, resend=True)
        await eventually(lambda: done)
        assert (len(trips), done, len(refusals)) == (3, [b"once"], 2)


async def ask(pipe: Multiplexer, *command: Argument, resend: bool = True) -> Reply:
    """Call one command and wait for its reply."""
    return (await ask_all(pipe, [command], resend=resend))[0]


async def ask_all(pipe: Multiplexer, commands: Sequence[Sequence[Argument]], *, resend: bool = True) -> list[Reply]:
    """Call commands in one turn of the loop and wait for all replies."""
    replies: list[Reply] = []
    for command in commands:
        pipe.call(command, replies.append, resend=resend)
    await eventually(lambda: len(replies) == len(commands), why="replies are missing")
    return replies


class TestCalls:
    async def test_order(self, pipe: Multiplexer) -> None:
        """Replies come in the order of the calls, each to its own callback."""
        assert await ask_all(pipe, [["ECHO", number] for number in range(2_000)]) == [
            b"%d" % number for number in range(2_000)
        ]

    async def test_arguments_and_replies(self, pipe: Multiplexer) -> None:
        """Bytes, text and numbers are sent as they are; replies are as hiredis reads them, errors as exceptions."""
        assert await ask(pipe, "SET", "ü", b"\r\n\0") == b"OK"
        assert await ask(pipe, "GET", "ü") == b"\r\n\0"
        assert await ask(pipe, "INCRBY", "n", 2**53) == 2**53
        assert await ask(pipe, "GET", "none") is None
        assert await ask(pipe, "LRANGE", "none", 0, -1) == []
        reply = await ask(pipe, "LPUSH", "n", "x")
        assert isinstance(reply, RedisRefused)
        assert reply.line.startswith("WRONGTYPE ")

    async def test_its_name_and_database(self, redis_server: RedisServer, redis_client: redis.asyncio.Redis) -> None:
        """The connection has a name in CLIENT LIST, and works in the database of the URL."""
        async with running(RedisEndpoint("127.0.0.1", redis_server.port, database=5)) as pipe:
            await ask(pipe, "SET", "k", "in five")
            names = [(each["name"], each["db"]) for each in await redis_client.client_list()]
            assert ("memsidecar", "5") in names
            await ask(pipe, "DEL", "k")

    async def test_one_write_for_one_turn(self, pipe: Multiplexer, redis_client: redis.asyncio.Redis) -> None:
        """What is called within one turn of the loop reaches Redis together: nobody else gets in between."""
        replies: list[Reply] = []
        for _ in range(100):
            pipe.call(["INCR", "n"], replies.append, resend=False)
        other = asyncio.gather(*(redis_client.incr("n") for _ in range(20)))
        await eventually(lambda: len(replies) == 100)
        await other
        assert replies == list(range(replies[0], replies[0] + 100))  # type: ignore[arg-type, operator]

    async def test_drained(self, pipe: Multiplexer) -> None:
        """`drained` waits for every reply, and no longer than it is told to."""
        replies: list[Reply] = []
        for number in range(500):
            pipe.call(["ECHO", number], replies.append, resend=True)
        await pipe.drained(5)
        assert len(replies) == 500
        pipe.call(["BLPOP", "none", 0], replies.append, resend=True)
        async with asyncio.timeout(5):
            await pipe.drained(0.05)
        assert len(replies) == 500


class TestScripts:
    async def test_unknown_scripts(self, pipe: Multiplexer, redis_client: redis.asyncio.Redis) -> None:
        """A script that Redis does not know, or no longer knows, is sent as text and known from then on."""
        for _ in range(2):
            await redis_client.script_flush()
            await redis_client.config_resetstat()
            replies: list[Reply] = []
            for _ in range(3):
                pipe.call_script(
                    "clear",
                    ["log", "meta", "keep", "due", "lock", "work"],
                    ["name", "", 0],
                    replies.append,
                    resend=True,
                )
            await eventually(lambda: len(replies) == 3)  # noqa: B023  # asked before the list is replaced
            assert not any(isinstance(reply, BaseException) for reply in replies)
            await _one_more(pipe)
            calls = await redis_client.info("commandstats")
            assert calls["cmdstat_evalsha"]["calls"] == 4
            assert calls["cmdstat_eval"]["calls"] == 3

    async def test_an_error_inside_a_script(self, pipe: Multiplexer) -> None:
        """An error that a script meets is not mistaken for a script that is not known."""
        await ask(pipe, "SET", "log", "no stream")
        replies: list[Reply] = []
        pipe.call_script("read", ["log", "meta", "keep"], ["x"], replies.append, resend=True)
        await eventually(lambda: replies)
        assert isinstance(replies[0], RedisRefused)


async def _one_more(pipe: Multiplexer) -> None:
    replies: list[Reply] = []
    pipe.call_script(
        "clear", ["log", "meta", "keep", "due", "lock", "work"], ["name", "", 0], replies.append, resend=True
    )
    await eventually(lambda: replies)


class TestTrouble:
    async def test_calls_before_the_connection(self, start_redis: StartRedis) -> None:
        """What is called before Redis listens is executed, in order, once it does."""
        port = free_port()
        async with running(RedisEndpoint("127.0.0.1", port)) as pipe:
            replies: list[Reply] = []
            for number in range(10):
                pipe.call(["RPUSH", "list", number], replies.append, resend=False)
            await eventually(lambda: not pipe.connected)
            start_redis(port=port)
            await eventually(lambda: len(replies) == 10)
            assert replies == list(range(1, 11))

    async def test_a_killed_redis(self, start_redis: StartRedis) -> None:
        """What was sent and not answered is sent again where that is harmless, and is uncertain otherwise."""
        server = start_redis(appendonly=True)
        reconnects: list[int] = []
        endpoint = RedisEndpoint("127.0.0.1", server.port)
        async with running(endpoint, deadline_s=10.0, on_reconnect=lambda: reconnects.append(1)) as pipe:
            assert await ask(pipe, "SET", "k", "v") == b"OK"
            harmless: list[Reply] = []
            harmful: list[Reply] = []
            pipe.call(["BLPOP", "none", 0], harmful.append, resend=False)  # so that nothing behind it is answered
            pipe.call(["GET", "k"], harmless.append, resend=True)
            pipe.call(["INCR", "n"], harmful.append, resend=False)
            pipe.call(["STRLEN", "k"], harmless.append, resend=True)
            await asyncio.to_thread(_wait_blocked, server)
            server.kill()
            await eventually(lambda: len(harmful) == 2)
            assert all(isinstance(reply, Uncertain) for reply in harmful)
            assert harmless == []
            server.start()
            await eventually(lambda: len(harmless) == 2)
            assert harmless == [b"v", 1]
            assert await ask(pipe, "INCR", "n", resend=False) == 1
            assert len(reconnects) == 1

    async def test_nothing_was_sent(self, start_redis: StartRedis) -> None:
        """What could not be sent within the deadline is unavailable, whether it may be sent twice or not."""
        server = start_redis()
        async with running(RedisEndpoint("127.0.0.1", server.port), deadline_s=0.5) as pipe:
            await eventually(lambda: pipe.connected)
            server.kill()
            await eventually(lambda: not pipe.connected)
            replies = [await ask(pipe, "INCR", "n", resend=resend) for resend in (True, False)]
            assert all(isinstance(reply, Unavailable) for reply in replies)
            server.start()
            await eventually(lambda: pipe.connected)
            assert await ask(pipe, "INCR", "n") == 1

    async def test_a_redis_that_stays_away(self, start_redis: StartRedis) -> None:
        """What was sent, may be sent again, and could not be within the deadline, is uncertain."""
        server = start_redis()
        async with running(RedisEndpoint("127.0.0.1", server.port), deadline_s=0.8) as pipe:
            replies: list[Reply] = []
            pipe.call(["BLPOP", "none", 0], replies.append, resend=True)
            await asyncio.to_thread(_wait_blocked, server)
            server.kill()
            await eventually(lambda: replies)
            assert isinstance(replies[0], Uncertain)

    async def test_a_redis_that_hangs(self, start_redis: StartRedis) -> None:
        """A connection on which nothing is answered within the deadline is given up, and replaced."""
        server = start_redis()
        async with running(RedisEndpoint("127.0.0.1", server.port), deadline_s=0.5) as pipe:
            replies: list[Reply] = []
            pipe.call(["BLPOP", "none", 0], replies.append, resend=False)
            pipe.call(["GET", "k"], replies.append, resend=True)
            await eventually(lambda: len(replies) == 2)
            assert [type(reply) for reply in replies] == [Uncertain, Uncertain]
            assert "no reply within 0.5 s" in str(replies[0])
            assert await ask(pipe, "PING") == b"PONG"

    async def test_a_wrong_password(self, start_redis: StartRedis) -> None:
        """With a wrong password commands get Redis's reason at once, and none waits for a connection in vain."""
        server = start_redis("--requirepass", "right")
        endpoint = RedisEndpoint("127.0.0.1", server.port, password="wrong")
        async with running(endpoint, deadline_s=60) as pipe:
            for reply in [await ask(pipe, "PING"), await ask(pipe, "PING")]:
                assert isinstance(reply, RedisRefused)
                assert reply.line.startswith("WRONGPASS ")

    async def test_user_and_password(self, start_redis: StartRedis) -> None:
        """With the right password, and with a user's name, it logs in."""
        server = start_redis("--requirepass", "right", "--user", "app", "on", ">word", "~*", "&*", "+@all")
        for username, password in ((None, "right"), ("app", "word")):
            endpoint = RedisEndpoint("127.0.0.1", server.port, username=username, password=password)
            async with running(endpoint) as pipe:
                assert await ask(pipe, "ACL", "WHOAMI") == (username or "default").encode()

    async def test_too_much_waits(self) -> None:
        """While Redis is away, calls beyond the limit of held bytes are refused instead of filling the memory."""
        async with running(RedisEndpoint("127.0.0.1", free_port()), deadline_s=60) as pipe:
            replies: list[Reply] = []
            value = b"x" * 1_000_000
            for _ in range(400):
                pipe.call(["SET", "k", value], replies.append, resend=True)
            assert not replies  # none before its call has returned
            await asyncio.sleep(0)
            assert len(replies) == 400 - module.MAX_HELD_BYTES // (len(value) + 4) - 1
            assert all(isinstance(reply, Unavailable) for reply in replies)
            assert "wait already" in str(replies[0])

    async def test_what_was_held_is_free_again(self, start_redis: StartRedis) -> None:
        """Answered commands do not count any more, after a reconnect neither."""
        server = start_redis()
        value = b"x" * 1_000_000
        async with running(RedisEndpoint("127.0.0.1", server.port)) as pipe:
            for _ in range(4):
                replies = await ask_all(pipe, [["SET", "k", value]] * 100)
                assert replies == [b"OK"] * 100
                server.kill()
                await eventually(lambda: not pipe.connected)
                server.start()

    async def test_stopping(self, start_redis: StartRedis) -> None:
        """When it is stopped, every call still gets an answer, which says whether it was sent."""
        server = start_redis()
        sent: list[Reply] = []
        async with running(RedisEndpoint("127.0.0.1", server.port)) as pipe:
            pipe.call(["BLPOP", "none", 0], sent.append, resend=True)
            await asyncio.to_thread(_wait_blocked, server)
        waiting: list[Reply] = []
        async with running(RedisEndpoint("127.0.0.1", free_port())) as pipe:
            pipe.call(["GET", "k"], waiting.append, resend=True)
        assert [type(reply) for reply in sent + waiting] == [Uncertain, Unavailable]


def _wait_blocked(server: RedisServer) -> None:
    """Wait until Redis has read a BLPOP."""
    with redis.Redis.from_url(server.url) as client:
        server.becomes(lambda: int(client.info("clients")["blocked_clients"]) > 0, limit_s=5)
