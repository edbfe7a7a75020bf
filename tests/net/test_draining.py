"""Connections that are let go when the sidecar stops, over real sockets, plain and TLS, to a real Redis.

What the session decides meanwhile is shown in `session.test_draining`; here: sockets, clients of every kind, and time.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
import redis.asyncio

from sidecar.commands.table import COMMANDS
from sidecar.dev.servers import RedisServer
from sidecar.metrics import Metrics
from sidecar.net import connection
from sidecar.net.client_tls import ClientTls
from sidecar.net.command_log import CommandLog
from sidecar.net.dialer import Dialer
from sidecar.net.endpoint import RedisEndpoint
from sidecar.net.listener import Listener
from sidecar.net.server import CLOSE_LIMIT_S, SILENT_S, Server
from tests.net.conftest import Executed, Front, Fronts, Talk
from tests.net.test_connection import command
from tests.support.addressing import addressing
from tests.support.certificates import Authority
from tests.support.children import StartRedis
from tests.support.waiting import DIAL_LIMIT_S, eventually

Redis = redis.asyncio.Redis
P = TypeVar("P", bound=asyncio.Protocol)

BIG = b"0123456789abcdef" * (512 * 1024)
"""8 MB: far more than the sockets on its way hold."""

BIG_REPLY = b"$%d\r\n%b\r\n" % (len(BIG), BIG)

BUSY = "local t=redis.call('TIME'); local e=t[1]*1000000+t[2]+%d; repeat t=redis.call('TIME') until t[1]*1000000+t[2]>e"
"""A script that keeps Redis from everything else, for a number of microseconds."""

LIMIT_S = 15.0
"""Longer than any of these tests may take, so that nothing ends because the time is over."""


class House:
    """A front, with or without TLS before it, and whatever went wrong in its loop."""

    def __init__(self, front: Front, port: int, context: ssl.SSLContext | None) -> None:
        self.front = front
        self.port = port
        self.problems: list[dict[str, Any]] = []
        self._context = context
        asyncio.get_running_loop().set_exception_handler(lambda _, problem: self.problems.append(problem))

    async def connect(self, *, limit: int = 2**27) -> Talk:
        name = "localhost" if self._context else "127.0.0.1"
        return Talk(*await asyncio.open_connection(name, self.port, ssl=self._context, limit=limit))

    def connect_blocking(self) -> socket.socket:
        """Connect a socket that reads only when it is told to, which the loop's own TLS does not do reliably."""
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT_S)
        return self._context.wrap_socket(plain, server_hostname="localhost") if self._context else plain

    async def drain(self, limit_s: float = LIMIT_S) -> float:
        """Let all clients go; return the seconds that it took."""
        clock = asyncio.get_running_loop().time
        began = clock()
        await self.front.server.close(limit_s)
        assert self.problems == []
        return clock() - began

    async def draining(self) -> asyncio.Task[float]:
        """Begin to let all clients go."""
        task = asyncio.create_task(self.drain())
        await asyncio.sleep(0)  # it has told every client's connection now, before anything else is received
        return task


@pytest.fixture(params=["plain", "tls"])
async def house(
    request: pytest.FixtureRequest, start_front: Fronts, redis_server: RedisServer, redis_client: Redis, tmp_path: Path
) -> AsyncIterator[House]:
    """A server in front of the shared, emptied Redis."""
    front = await start_front(redis_server.port)
    if request.param == "plain":
        yield House(front, front.port, None)
        return
    authority = Authority(tmp_path)
    issued = authority.issue("server")
    listener = Listener(front.server.accept, address="127.0.0.1:0", tls=ClientTls(issued.cert, issued.key))
    yield House(front, await listener.open(), authority.client_context())
    await listener.close()


async def waiting_clients(client: Redis) -> int:
    """Return how many clients Redis has blocked."""
    return int((await client.info("clients"))["blocked_clients"])


class TestReplies:
    async def test_a_slow_reader_gets_all_of_its_replies(self, house: House, redis_client: Redis) -> None:
        """Replies that Redis still holds back for a client that reads late come to their last byte."""
        await redis_client.set("big", BIG)
        may_read = threading.Event()

        def read_late() -> bytes:
            with house.connect_blocking() as client:
                client.sendall(command("GET", "big") * 3 + command("MEMCLEAR", "a"))
                assert may_read.wait(LIMIT_S)
                received = bytearray()
                while data := client.recv(1 << 20):
                    received += data
                return bytes(received)

        reading = asyncio.create_task(asyncio.to_thread(read_late))
        await eventually(lambda: house.front.metrics.client_bytes_out)
        draining = await house.draining()
        await asyncio.sleep(SILENT_S + 0.5)  # long enough to be taken for somebody who is blocked
        may_read.set()
        assert await reading == BIG_REPLY * 3 + b":7\r\n"
        await draining

    async def test_a_busy_redis_is_waited_for(self, house: House, redis_client: Redis) -> None:
        """While Redis itself is busy nobody is taken for blocked: the replies behind a long script are whole."""
        await redis_client.set("big", BIG)
        client = await house.connect()
        client.writer.write(command("EVAL", BUSY % 2_500_000, "0") + command("GET", "big") * 4)
        await eventually(lambda: house.front.metrics.client_bytes_in)
        draining = await house.draining()
        assert await client.rest() == b"$-1\r\n" + BIG_REPLY * 4
        client.writer.close()
        await draining

    async def test_a_client_that_goes_on_sending(self, house: House, redis_client: Redis) -> None:
        """Each request that was executed has its reply, no other one is, and the flood does not delay the end."""
        client = await house.connect()
        flood = asyncio.create_task(
            send_until_it_fails(client.writer, command("INCR", "n") * 2_000 + b"*2\r\n$4\r\nIN")
        )
        flood.add_done_callback(lambda _: None)
        await client.expect(b":1\r\n")
        draining = await house.draining()
        lines = (await client.rest()).split(b"\r\n")
        flood.cancel()
        client.writer.close()
        assert await draining < LIMIT_S / 2
        assert lines[-1] == b""
        assert int(lines[-2][1:]) == int(await redis_client.get("n") or 0)

    async def test_a_flood_of_long_requests(self, house: House, redis_client: Redis) -> None:
        """A client whose packets never end where a request ends is let go behind the request that was under way."""
        client = await house.connect()
        flood = asyncio.create_task(send_until_it_fails(client.writer, command("APPEND", "k", "x" * 99_991)))
        await client.expect(b":99991\r\n")
        draining = await house.draining()
        lines = (await client.rest()).split(b"\r\n")
        flood.cancel()
        client.writer.close()
        assert await draining < LIMIT_S / 2
        assert int(lines[-2][1:]) == await redis_client.strlen("k")

    async def test_half_a_request(self, house: House) -> None:
        """A request whose first half has gone to Redis is answered when the second comes, and what follows is not."""
        client = await house.connect()
        sent = command("ECHO", "hello")
        client.writer.write(sent[:-4])
        await eventually(lambda: house.front.metrics.client_bytes_in)
        draining = await house.draining()
        client.writer.write(sent[-4:] + command("ECHO", "more"))
        assert await client.rest() == b"$5\r\nhello\r\n"
        client.writer.close()
        assert await draining < SILENT_S


class TestBlocked:
    @pytest.mark.parametrize("wait", [("BLPOP", "queue", "0"), ("XREAD", "BLOCK", "0", "STREAMS", "queue", "$")])
    async def test_it_is_let_go(self, house: House, redis_client: Redis, wait: tuple[str, ...]) -> None:
        """A blocked client is closed without a reply, and neither its wait nor what follows takes effect later."""
        client = await house.connect()
        client.writer.write(command(*wait) + command("SET", "behind", "1") + command("MEMCLEAR", "a"))
        await eventually(lambda: waiting_clients(redis_client))
        draining = await house.draining()
        assert await client.rest() == b""
        client.writer.close()
        assert SILENT_S <= await draining < SILENT_S + 2
        if wait[0] == "BLPOP":
            await redis_client.rpush("queue", "element")
            assert await redis_client.lpop("queue") == b"element"
        assert not await redis_client.exists("behind")
        assert house.front.executed.requests == []

    async def test_one_that_is_served_in_time(self, house: House, redis_client: Redis) -> None:
        """An element that comes before a blocked client is let go is delivered, and the commands behind it run."""
        client = await house.connect()
        client.writer.write(command("BLPOP", "queue", "0") + command("SET", "behind", "1") + command("MEMCLEAR", "a"))
        await eventually(lambda: waiting_clients(redis_client))
        draining = await house.draining()
        await redis_client.rpush("queue", "element")
        assert await client.rest() == b"*2\r\n$5\r\nqueue\r\n$7\r\nelement\r\n+OK\r\n:7\r\n"
        client.writer.close()
        await draining


class TestSubscribed:
    @pytest.mark.parametrize("greeting", [b"", b"HELLO 3\r\n"])
    async def test_messages_are_whole(self, house: House, redis_client: Redis, greeting: bytes) -> None:
        """Subscribers under a flood of messages are closed behind a whole one, and none is missing before it."""
        clients = [await house.connect() for _ in range(5)]
        for client in clients:
            client.writer.write(greeting + b"SUBSCRIBE news\r\n")
            await client.reader.readuntil(b"$4\r\nnews\r\n:1\r\n")
        enough = asyncio.Event()
        publishing = asyncio.create_task(publish_until(enough, redis_client))
        kind = b">" if greeting else b"*"
        start = kind + b"3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$2000\r\n"
        for client in clients:
            await client.expect(start)
        draining = await house.draining()
        for client in clients:
            messages = (start + await client.rest()).split(start)
            numbers = [int(message[:10]) for message in messages[1:]]
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
            assert all(len(message) == 2_002 for message in messages[1:])
            client.writer.close()
        assert await draining < LIMIT_S / 2
        enough.set()
        await publishing

    async def test_monitor(self, house: House, redis_client: Redis) -> None:
        """A client that watches Redis gets whole lines, up to its end."""
        client = await house.connect()
        client.writer.write(b"MONITOR\r\n")
        await client.expect(b"+OK\r\n")
        enough = asyncio.Event()
        publishing = asyncio.create_task(publish_until(enough, redis_client))
        await client.reader.readuntil(b"PUBLISH")
        draining = await house.draining()
        assert (await client.rest()).endswith(b'"\r\n')
        client.writer.close()
        assert await draining < LIMIT_S / 2
        enough.set()
        await publishing


class TestClientsThatDoNotGo:
    async def test_one_that_keeps_its_half_open(self, house: House) -> None:
        """A client that does not close its half is given some seconds to read, and then closed."""
        client = await house.connect()
        await client.ask(b"PING\r\n", b"+PONG\r\n")
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # so that it does not notice
        assert await house.drain() < connection.LINGER_S + 1
        client.writer.close()

    async def test_one_that_reads_nothing(self, house: House, redis_client: Redis) -> None:
        """A client that reads nothing does not keep the sidecar beyond the limit."""
        await redis_client.set("big", BIG)
        client = await house.connect(limit=1_000)
        client.writer.write(command("GET", "big") * 5)
        await client.expect(BIG_REPLY[:100])
        assert await house.drain(2.0) < 2.0 + CLOSE_LIMIT_S + 1
        client.writer.close()

    async def test_one_that_comes_late(self, house: House) -> None:
        """A client whose handshake ended behind the signal is closed without a word, and not kept waiting."""
        await house.drain()
        client = await house.connect()
        client.writer.write(b"PING\r\n")
        assert await client.rest() == b""


async def test_a_connection_that_is_still_dialling(redis_server: RedisServer, redis_client: Redis) -> None:
    """What a client has sent before its connection to Redis was there is answered, and nothing keeps the end."""
    dialler = Dialer(RedisEndpoint("127.0.0.1", redis_server.port), connect_timeout_s=DIAL_LIMIT_S)
    may_dial = asyncio.Event()

    async def late(factory: Callable[[], P]) -> P:
        await may_dial.wait()
        return await dialler.connect(factory)

    executed, metrics = Executed(), Metrics()
    server = Server(
        dial=late,
        commands=COMMANDS,
        resolve=addressing().resolve,
        identify=executed.identify,
        command_log=CommandLog(slow_ms=0),
        metrics=metrics,
    )
    listener = Listener(server.accept, address="127.0.0.1:0")
    front = Front(server, await listener.open(), metrics, executed)
    quiet, client = await front.connect(), await front.connect()
    client.writer.write(command("INCR", "n") + command("MEMCLEAR", "a"))
    await eventually(lambda: metrics.clients == 2)
    await listener.close()
    closing = asyncio.create_task(server.close(LIMIT_S))
    await asyncio.sleep(0)
    may_dial.set()
    assert await client.rest() == b":1\r\n:7\r\n"
    assert await quiet.rest() == b""
    client.writer.close()
    quiet.writer.close()
    await closing
    assert await redis_client.get("n") == b"1"


async def test_redis_dies_meanwhile(start_front: Fronts, start_redis: StartRedis) -> None:
    """When Redis dies while clients are let go, MEM commands that run are answered, and nobody is waited for."""
    redis_server = start_redis()
    front = await start_front(redis_server.port, at_once=False)
    busy, blocked = await front.connect(), await front.connect()
    blocked.writer.write(command("BLPOP", "queue", "0"))
    busy.writer.write(command("MEMCLEAR", "a"))
    await eventually(lambda: front.executed.waiting)
    closing = asyncio.create_task(front.server.close(LIMIT_S))
    await asyncio.sleep(0)
    redis_server.kill()
    assert await blocked.rest() == b""
    front.executed.waiting[0](9)
    assert await busy.rest() == b":9\r\n"
    busy.writer.close()
    blocked.writer.close()
    async with asyncio.timeout(5):
        await closing


async def test_what_is_sent_into_the_end_takes_no_reply_away(house: House, redis_client: Redis) -> None:
    """Requests that nobody reads any more do not tear down the connection over replies that are still under way."""
    await redis_client.set("k", BIG[:1_000_000])
    sent = command("GET", "k") * 2
    may_read = threading.Event()

    def send_and_read_late() -> bytes:
        with house.connect_blocking() as client:
            client.sendall(sent)
            assert may_read.wait(LIMIT_S)
            client.sendall(command("PING") * 50_000)
            received = bytearray()
            while data := client.recv(1 << 20):
                received += data
            return bytes(received)

    talking = asyncio.create_task(asyncio.to_thread(send_and_read_late))
    await eventually(lambda: house.front.metrics.client_bytes_in == len(sent))
    draining = await house.draining()
    may_read.set()
    assert await talking == (b"$1000000\r\n%b\r\n" % BIG[:1_000_000]) * 2
    await draining


async def send_until_it_fails(writer: asyncio.StreamWriter, data: bytes) -> None:
    try:
        while True:
            writer.write(data)
            await writer.drain()
    except (ConnectionError, RuntimeError):
        pass


async def publish_until(stop: asyncio.Event, client: Redis) -> None:
    number = 0
    while not stop.is_set():
        async with client.pipeline(transaction=False) as pipeline:
            for _ in range(50):
                number += 1
                pipeline.publish("news", f"{number:010}".ljust(2_000, "."))
            await pipeline.execute()
