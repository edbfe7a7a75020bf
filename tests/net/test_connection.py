"""Client connections over real sockets to a real Redis: everything that the session cannot show."""

from __future__ import annotations

import asyncio
import gc
import socket
import tracemalloc

import pytest
import redis.asyncio

from sidecar.dev.ports import free_port
from sidecar.dev.servers import RedisServer
from sidecar.metrics.counters import MEASURED_FORWARDS
from sidecar.net import connection
from tests.net.conftest import Front, Fronts
from tests.support.children import StartRedis
from tests.support.waiting import eventually

Redis = redis.asyncio.Redis


def command(*words: bytes | str) -> bytes:
    parts = [word.encode() if isinstance(word, str) else word for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


@pytest.fixture
async def front(start_front: Fronts, redis_server: RedisServer, redis_client: Redis) -> Front:
    """A server in front of the shared, emptied Redis."""
    return await start_front(redis_server.port)


async def closed(front: Front) -> None:
    """Wait until the server has no client left."""
    await eventually(lambda: front.metrics.clients == 0, why="a client is still counted")


class TestBasics:
    async def test_forwarding_and_ours(self, front: Front) -> None:
        """Forwarded commands and ours are answered in order on one connection, and bytes are counted."""
        client = await front.connect()
        sent = command("SET", "k", "v") + command("MEMCLEAR", "a") + command("GET", "k") + b"memclear a\r\n"
        await client.ask(sent, b"+OK\r\n:7\r\n$1\r\nv\r\n:7\r\n")
        assert front.metrics.client_bytes_in == len(sent)
        assert front.metrics.client_bytes_out == len(b"+OK\r\n:7\r\n$1\r\nv\r\n:7\r\n")
        assert (front.metrics.clients, front.metrics.clients_accepted) == (1, 1)
        await client.close()
        await closed(front)

    async def test_byte_by_byte(self, front: Front) -> None:
        """Commands that come one byte a packet are answered as any others."""
        client = await front.connect()
        for byte in command("MEMCLEAR", "a") + command("PING"):
            client.writer.write(bytes([byte]))
            await client.writer.drain()
            await asyncio.sleep(0)
        await client.expect(b":7\r\n+PONG\r\n")

    async def test_early_bytes(self, front: Front) -> None:
        """What a client sends with its first packet, before there is an upstream, is not lost."""
        for _ in range(50):
            with socket.create_connection(("127.0.0.1", front.port)) as quick:
                quick.setblocking(False)
                quick.sendall(command("ECHO", "x" * 5_000) + command("MEMCLEAR", "a"))
                reader, _writer = await asyncio.open_connection(sock=quick.dup())
                async with asyncio.timeout(5):
                    assert (await reader.readexactly(len(b"$5000\r\n") + 5_000 + 2 + 4)).endswith(b":7\r\n")

    async def test_many_quick_connections(self, front: Front) -> None:
        """Two hundred clients at once, each with a command of each kind, all get their own answers."""

        async def one(number: int) -> None:
            client = await front.connect()
            await client.ask(
                command("ECHO", f"{number:04}") + command("MEMCLEAR", "a"), b"$4\r\n%04d\r\n:7\r\n" % number
            )
            await client.close()

        await asyncio.gather(*(one(number) for number in range(200)))
        await closed(front)
        assert front.metrics.clients_accepted == 200

    async def test_connections_that_say_nothing(self, front: Front, redis_client: Redis) -> None:
        """A client that connects and leaves at once, as a port scan does, leaves nothing behind, at Redis neither."""
        before = len(await redis_client.client_list())  # other tests may keep connections to this Redis
        for _ in range(100):
            client = await front.connect()
            await client.close()
        await closed(front)

        async def gone() -> bool:
            return len(await redis_client.client_list()) <= before

        await eventually(gone, why="connections to Redis stay open")

    async def test_big_values(self, front: Front) -> None:
        """A value of 64 MB passes both ways."""
        client = await front.connect()
        value = bytes(range(256)) * (64 * 4_096)
        await client.ask(command("SET", "big", value), b"+OK\r\n")
        await client.ask(command("GET", "big"), b"$%d\r\n" % len(value))
        async with asyncio.timeout(30):
            assert await client.reader.readexactly(len(value)) == value

    async def test_modes(self, front: Front, redis_client: Redis) -> None:
        """Transactions, blocking commands, subscriptions and RESP3 work as they do on Redis itself."""
        client = await front.connect()
        await client.ask(b"MULTI\r\nSET a 1\r\nEXEC\r\n", b"+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n")
        client.writer.write(b"BLPOP list 0\r\nMEMCLEAR a\r\n")

        async def blocked() -> bool:
            return any("b" in each["flags"] for each in await redis_client.client_list())

        await eventually(blocked)
        await redis_client.rpush("list", "x")
        await client.expect(b"*2\r\n$4\r\nlist\r\n$1\r\nx\r\n:7\r\n")
        await client.ask(b"SUBSCRIBE news\r\n", b"*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n")
        await redis_client.publish("news", "hi")
        await client.expect(b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$2\r\nhi\r\n")
        client.writer.write(b"MEMCLEAR a\r\n")
        assert (await client.reader.readline()).startswith(b"-ERR Can't execute 'memclear': only ")

    async def test_resp3_subscription(self, front: Front, redis_client: Redis) -> None:
        """On RESP3, MEM commands work while subscribed, and messages come between their replies."""
        client = await front.connect()
        client.writer.write(b"HELLO 3\r\nSUBSCRIBE news\r\n")
        await client.reader.readuntil(b"$4\r\nnews\r\n:1\r\n")
        for number in range(20):
            await client.ask(command("MEMCLEAR", "a"), b":7\r\n")
            await redis_client.publish("news", f"{number:02}")
            await client.expect(b">3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$2\r\n%02d\r\n" % number)

    async def test_a_transaction_fails(self, front: Front) -> None:
        """A MEM command in a transaction is refused, and EXEC then executes nothing."""
        client = await front.connect()
        client.writer.write(b"MULTI\r\nSET never 1\r\nMEMCLEAR a\r\nEXEC\r\nEXISTS never\r\n")
        answer = await client.reader.readuntil(b":0\r\n")
        assert answer.startswith(b"+OK\r\n+QUEUED\r\n-ERR 'memclear' cannot be part of a transaction")
        assert b"\r\n-EXECABORT " in answer
        assert front.executed.requests == []


class TestAccess:
    """What a client may not do on Redis, it may not do here."""

    @pytest.mark.parametrize("silence", ["", "CLIENT REPLY OFF\r\n", "CLIENT REPLY SKIP\r\n", "MULTI\r\n", "RESET\r\n"])
    async def test_without_the_password(self, start_front: Fronts, start_redis: StartRedis, silence: str) -> None:
        """A client that has not logged in runs no MEM command, whatever it asks for before."""
        front = await start_front(start_redis("--requirepass", "secret").port)
        client = await front.connect()
        client.writer.write(
            silence.encode() + b"MEMCLEAR a\r\nECHO end\r\nAUTH secret\r\nCLIENT REPLY ON\r\nECHO done\r\n"
        )
        answer = await client.reader.readuntil(b"$4\r\ndone\r\n")
        assert b"$3\r\nend\r\n" not in answer
        assert answer.count(b"-NOAUTH") >= 2
        assert front.executed.requests == []
        await client.ask(b"MEMCLEAR a\r\n", b":7\r\n")


class TestEnds:
    async def test_quit(self, front: Front) -> None:
        """QUIT is answered by Redis, and then the connection ends."""
        client = await front.connect()
        client.writer.write(b"QUIT\r\n")
        assert await client.rest() == b"+OK\r\n"

    async def test_client_kill(self, front: Front, redis_client: Redis) -> None:
        """A client that is killed on Redis loses its connection here, after all it was owed."""
        client = await front.connect()
        client.writer.write(b"CLIENT ID\r\n")
        number = int((await client.reader.readline())[1:])
        await redis_client.client_kill_filter(_id=str(number))
        assert await client.rest() == b""

    async def test_a_half_closed_client(self, front: Front) -> None:
        """A client that ends its stream behind its last command still gets every reply, ours too."""
        client = await front.connect()
        client.writer.write(command("SET", "k", "v") + command("MEMCLEAR", "a") + command("INCR", "n") * 1_000)
        client.writer.write_eof()
        assert await client.rest() == b"+OK\r\n:7\r\n" + b"".join(b":%d\r\n" % number for number in range(1, 1_001))

    @pytest.mark.parametrize("half", [True, False])
    async def test_last_words(self, front: Front, redis_client: Redis, half: bool) -> None:
        """What a client sent before it closed is executed: 8 MB and an INCR, and with our command among them."""
        for round_ in range(1, 11):
            client = await front.connect()
            client.writer.write(command("SET", "large", b"x" * 8_000_000) + command("MEMCLEAR", "a"))
            client.writer.write(command("INCR", "count") * 100)
            if half:
                client.writer.write_eof()
            else:
                client.writer.close()

            async def counted(expected: int = round_ * 100) -> bool:
                return int(await redis_client.get("count") or 0) == expected

            await eventually(counted, why="the last words did not arrive")
            assert len(front.executed.requests) == round_
            await client.close()
        await closed(front)

    async def test_commands_of_a_client_that_has_left(self, start_front: Fronts, redis_server: RedisServer) -> None:
        """All MEM commands that a client sent take effect, though most of them start after it has left."""
        front = await start_front(redis_server.port, at_once=False)
        client = await front.connect()
        client.writer.write(b"".join(command("MEMCLEAR", f"m{number}") for number in range(500)))
        await eventually(lambda: front.executed.waiting)
        await client.close()
        await eventually(lambda: front.metrics.client_bytes_in > 10_000)
        for number in range(500):
            await eventually(lambda number=number: len(front.executed.waiting) > number)  # type: ignore[misc]
            front.executed.waiting[number](1)
        await closed(front)

    async def test_commands_of_a_client_that_never_read(self, front: Front) -> None:
        """They take effect also if they were held back because the client read no answers."""
        front.executed.answer = "x" * 100_000
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            deaf.setblocking(False)
            await asyncio.get_running_loop().sock_connect(deaf, ("127.0.0.1", front.port))
            deaf.send(b"".join(command("MEMCLEAR", f"m{number}") for number in range(400)))
            await _settled(front)
            assert 0 < len(front.executed.requests) < 400
        await eventually(lambda: len(front.executed.requests) == 400)
        await closed(front)

    async def test_an_abandoned_pop(self, front: Front, redis_client: Redis) -> None:
        """A BLPOP whose client has left does not eat an element, with a MEM command behind it neither."""
        for behind in (b"", command("MEMCLEAR", "a")):
            client = await front.connect()
            client.writer.write(command("BLPOP", "queue", "0") + behind)

            async def blocked() -> int:
                return sum("b" in each["flags"] for each in await redis_client.client_list())

            await eventually(blocked)
            await client.close()

            async def free() -> bool:
                return not await blocked()

            await eventually(free, limit_s=connection.ABANDONED_S + 5, why="Redis still waits for the client")
            await redis_client.rpush("queue", "element")
            assert await redis_client.lpop("queue") == b"element"
        await closed(front)

    async def test_redis_is_down(self, start_front: Fronts) -> None:
        """Where no Redis listens, clients are closed without a word, as if there was no server."""
        front = await start_front(free_port())
        client = await front.connect()
        client.writer.write(b"PING\r\n")
        assert await client.rest() == b""
        await closed(front)

    async def test_redis_dies(self, start_front: Fronts, start_redis: StartRedis) -> None:
        """When Redis dies its clients are closed, and MEM commands that run are answered first."""
        server = start_redis()
        front = await start_front(server.port, at_once=False)
        idle, busy = await front.connect(), await front.connect()
        await idle.ask(b"PING\r\n", b"+PONG\r\n")
        busy.writer.write(command("MEMCLEAR", "a"))
        await eventually(lambda: front.executed.waiting)
        server.kill()
        assert await idle.rest() == b""
        await eventually(lambda: front.metrics.clients == 1)
        front.executed.waiting[0](9)
        assert await busy.rest() == b":9\r\n"
        await closed(front)


class TestBackpressure:
    async def test_a_client_that_never_reads(self, front: Front, redis_client: Redis) -> None:
        """A client that sends requests for large values and reads none costs a bounded amount of memory."""
        await redis_client.set("large", b"x" * 1_000_000)
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            deaf.setblocking(False)
            await asyncio.get_running_loop().sock_connect(deaf, ("127.0.0.1", front.port))
            gc.collect()
            tracemalloc.start()
            deaf.send(command("GET", "large") * 300)
            await _settled(front)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        assert peak < 20_000_000
        assert front.metrics.client_bytes_out < 20_000_000
        await closed(front)

    async def test_a_flood_of_our_commands(self, front: Front) -> None:
        """A client that sends MEM commands and never reads is no longer read after a bounded number of them."""
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            deaf.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(deaf, ("127.0.0.1", front.port))
            flood = loop.create_task(loop.sock_sendall(deaf, b"MEMCLEAR\r\n" * 3_000_000))
            await _settled(front)
            assert not flood.done()
            assert front.metrics.client_bytes_out < 20_000_000
            flood.cancel()
            await asyncio.gather(flood, return_exceptions=True)
        await closed(front)

    async def test_the_slow_reader_gets_everything(self, front: Front, redis_client: Redis) -> None:
        """A client that starts to read late gets every byte, in order."""
        await redis_client.set("large", b"x" * 1_000_000)
        reader, writer = await asyncio.open_connection("127.0.0.1", front.port, limit=1_000)
        writer.write((command("GET", "large") + command("MEMCLEAR", "a")) * 30)
        await _settled(front)
        assert front.metrics.redis_pauses
        answer = b"$1000000\r\n" + b"x" * 1_000_000 + b"\r\n:7\r\n"
        async with asyncio.timeout(30):
            for _ in range(30):
                assert await reader.readexactly(len(answer)) == answer
        writer.close()

    async def test_redis_does_not_read(self, start_front: Fronts) -> None:
        """A client is not read while Redis does not take its bytes."""
        with socket.socket() as deaf_redis:
            deaf_redis.bind(("127.0.0.1", 0))
            deaf_redis.listen(1)
            front = await start_front(deaf_redis.getsockname()[1])
            client = await front.connect()
            flood = asyncio.create_task(_flood(client.writer))
            await _settled(front)
            assert not flood.done()
            assert front.metrics.client_bytes_in < 20_000_000
            assert front.metrics.client_pauses
            flood.cancel()
            await asyncio.gather(flood, return_exceptions=True)


class TestCounting:
    async def test_forwards_are_measured(self, front: Front) -> None:
        """Answers to forwarded bytes are timed until enough have been, and again after a tick; no MEM command is."""
        client = await front.connect()
        await client.ask(command("PING"), b"+PONG\r\n")  # the first bytes of a connection are looked at closely
        await client.ask(command("MEMCLEAR", "a"), b":7\r\n")
        await client.ask(command("PING"), b"+PONG\r\n")  # and those behind a MEM command
        seconds = front.metrics.forward_seconds
        assert sum(seconds.counts) == 0
        for _ in range(MEASURED_FORWARDS + 3):
            await client.ask(command("PING"), b"+PONG\r\n")
        assert sum(seconds.counts) == MEASURED_FORWARDS
        assert 0 < seconds.total < 60
        front.metrics.tick(0.0)
        await client.ask(command("PING"), b"+PONG\r\n")
        assert sum(seconds.counts) == MEASURED_FORWARDS + 1
        await client.close()

    @pytest.mark.parametrize(
        ("sent", "errors"), [(b"*1\r\n+PING\r\n", 1), (b"*2\r\n$x\r\n", 1), (command("PING"), 0), (command("SYNC"), 0)]
    )
    async def test_what_is_no_request(self, front: Front, sent: bytes, errors: int) -> None:
        """A client that breaks the protocol is counted once; one that replicates speaks another language."""
        client = await front.connect()
        client.writer.write(sent)
        await client.reader.read(1)
        await client.close()
        await closed(front)
        assert front.metrics.protocol_errors == errors

    async def test_too_many_clients(self, start_front: Fronts, redis_server: RedisServer) -> None:
        """Who is refused is counted, and not among the accepted."""
        front = await start_front(redis_server.port, max_clients=1)
        client = await front.connect()
        await client.ask(command("PING"), b"+PONG\r\n")
        assert (await (await front.connect()).rest()).startswith(b"-ERR max number of clients")
        assert (front.metrics.clients_refused, front.metrics.clients_accepted) == (1, 1)
        await client.close()


async def _flood(writer: asyncio.StreamWriter) -> None:
    for _ in range(100):
        writer.write(command("SET", "k", b"x" * 1_000_000))
        await writer.drain()


async def _settled(front: Front) -> None:
    """Wait until no more bytes move."""
    seen = (-1, -1)
    still = 0

    def quiet() -> bool:
        nonlocal seen, still
        now = (front.metrics.client_bytes_in, front.metrics.client_bytes_out)
        still = still + 1 if now == seen and any(now) else 0
        seen = now
        return still > 30

    await eventually(quiet, limit_s=30, why="bytes still move")
