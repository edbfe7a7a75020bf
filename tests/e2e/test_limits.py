"""The limits of a client, set for a real process: each shows its effect, and its words where it has some."""

from __future__ import annotations

import asyncio
import re
import socket
import urllib.request

import pytest
import redis
import redis.asyncio

from sidecar.dev.servers import SidecarProcess
from tests.e2e.agents import run
from tests.support.children import StartSidecar
from tests.support.waiting import eventually

MEMORIES = 50

CHARACTERS = 200_000
"""Of each memory; all together are more than the sockets between hold."""


def request(*words: str) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word.encode()) for word in words)


async def metric(sidecar: SidecarProcess, name: str) -> float:
    def page() -> str:
        with urllib.request.urlopen(sidecar.metrics_url, timeout=5) as answer:
            return str(answer.read().decode())

    found = re.search(rf"^{re.escape(name)} (\S+)$", await asyncio.to_thread(page), re.MULTILINE)
    assert found is not None, f"there is no metric {name}"
    return float(found[1])


class TestMaxRequestBytes:
    LIMIT = 4_096

    @pytest.fixture
    def sidecar(self, redis_url: str, sidecar_process: StartSidecar) -> SidecarProcess:
        return sidecar_process(redis_url=redis_url, settings={"MEMSIDECAR_MAX_REQUEST_BYTES": str(self.LIMIT)})

    async def test_more_is_refused(self, sidecar: SidecarProcess, redis_client: redis.asyncio.Redis) -> None:
        """A MEM command over the limit is refused in words, nothing of it is stored, and the connection lives on."""
        async with redis.asyncio.Redis.from_url(sidecar.url) as client:
            await run(client, "MEMAPPEND", "k", "user", "x" * (self.LIMIT - 100))
            with pytest.raises(redis.ResponseError) as refused:
                await run(client, "MEMAPPEND", "k", "user", "x" * self.LIMIT)
            assert str(refused.value) == "BADMESSAGE a request may have 4096 bytes; send it in parts"
            assert await run(client, "MEMCOUNT", "hello") == [1]
        (log,) = await redis_client.keys("mem:log:*")
        assert await redis_client.xlen(log) == 1

    async def test_redis_s_own_are_not_touched(self, sidecar: SidecarProcess) -> None:
        """What is Redis's may be as long as Redis takes it."""
        async with redis.asyncio.Redis.from_url(sidecar.url) as client:
            assert await client.set("big", "x" * 1_000_000)
            assert await client.strlen("big") == 1_000_000


async def test_max_request_messages(redis_url: str, sidecar_process: StartSidecar) -> None:
    """An append of more messages is refused in words, whole; one of as many is stored."""
    sidecar = sidecar_process(redis_url=redis_url, settings={"MEMSIDECAR_MAX_REQUEST_MESSAGES": "3"})
    async with redis.asyncio.Redis.from_url(sidecar.url) as client:
        with pytest.raises(redis.ResponseError) as refused:
            await run(client, "MEMAPPEND", "k", *["user", "hello"] * 4)
        expected = "BADMESSAGE a request may have 3 messages, this one has 4; send them in parts"
        assert str(refused.value) == expected
        await run(client, "MEMAPPEND", "k", *["user", "hello"] * 3)
    with redis.Redis.from_url(redis_url) as direct:
        assert [direct.xlen(log) for log in direct.scan_iter("mem:log:*")] == [3]


@pytest.mark.parametrize(("limit", "taken"), [("2", 3), ("1000", 6)])
async def test_max_pending_commands(
    redis_url: str, redis_client: redis.asyncio.Redis, sidecar_process: StartSidecar, limit: str, taken: int
) -> None:
    """While more MEM commands wait than may, a client is not read; later everything is answered, in order."""
    sidecar = sidecar_process(redis_url=redis_url, settings={"MEMSIDECAR_MAX_PENDING_COMMANDS": limit})
    reader, writer = await asyncio.open_connection("127.0.0.1", sidecar.port)
    block, ours = request("BLPOP", "queue", "0"), request("MEMCOUNT", "hello")
    read = 'memsidecar_client_bytes_total{direction="in"}'

    async def has_read(size: int) -> bool:
        return await metric(sidecar, read) == size

    writer.write(block)
    await eventually(lambda: has_read(len(block)))
    for number in range(6):  # one packet each, as long as they are read
        writer.write(ours)
        size = len(block) + min(number + 1, taken) * len(ours)
        await eventually(lambda size=size: has_read(size))  # type: ignore[misc]
    # A client that came later is served, so the first would have been read meanwhile, too.
    other_reader, other_writer = await asyncio.open_connection("127.0.0.1", sidecar.port)
    other_writer.write(request("PING"))
    assert await other_reader.readline() == b"+PONG\r\n"
    other_writer.close()
    assert await metric(sidecar, read) == len(block) + taken * len(ours) + len(request("PING"))
    await redis_client.rpush("queue", "x")
    answer = b"*2\r\n$5\r\nqueue\r\n$1\r\nx\r\n" + b"*1\r\n:1\r\n" * 6
    async with asyncio.timeout(10):
        assert await reader.readexactly(len(answer)) == answer
    writer.close()


async def long_memories(client: redis.asyncio.Redis) -> bytes:
    """Store long memories and return the requests that read each of them: those of one memory would run in turn."""
    names = [f"long:{number}" for number in range(MEMORIES)]
    for name in names:
        await run(client, "MEMAPPEND", name, "user", "hello ".ljust(CHARACTERS, "."))
    return b"".join(request("MEMREAD", name) for name in names)


async def test_max_output_bytes(redis_url: str, sidecar_process: StartSidecar) -> None:
    """A client that never reads its MEM replies is disconnected, counted and logged, while others are served."""
    sidecar = sidecar_process(redis_url=redis_url, settings={"MEMSIDECAR_MAX_OUTPUT_BYTES": "1000000"})
    over = "memsidecar_clients_over_output_limit_total"
    async with redis.asyncio.Redis.from_url(sidecar.url) as other:
        reads = await long_memories(other)
        assert await metric(sidecar, over) == 0
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            deaf.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(deaf, ("127.0.0.1", sidecar.port))
            await loop.sock_sendall(deaf, reads)

            async def counted() -> bool:
                assert await run(other, "MEMCOUNT", "hello") == [1]
                return await metric(sidecar, over) == 1

            await eventually(counted, why="it was not disconnected")
            assert sum("client.output_limit" in line for line in sidecar.tail()) == 1

            async def gone() -> bool:
                return await metric(sidecar, "memsidecar_clients") == 1

            await eventually(gone, why="it is still counted as a client")
        assert await metric(sidecar, over) == 1
        assert await run(other, "MEMCOUNT", "hello") == [1]


async def test_within_max_output_bytes(redis_url: str, sidecar_process: StartSidecar) -> None:
    """A client that starts to read late gets everything as long as less is waiting than may."""
    sidecar = sidecar_process(redis_url=redis_url, settings={"MEMSIDECAR_MAX_OUTPUT_BYTES": "100000000"})
    async with redis.asyncio.Redis.from_url(sidecar.url) as other:
        reads = await long_memories(other)
    reader, writer = await asyncio.open_connection("127.0.0.1", sidecar.port, limit=1_000)
    writer.write(reads + request("ECHO", "end"))
    await reader.readexactly(1)
    received = 1
    async with asyncio.timeout(60):
        tail = b""
        while not tail.endswith(b"$3\r\nend\r\n"):
            data = await reader.read(1 << 20)
            assert data, "it was disconnected"
            received += len(data)
            tail = (tail + data)[-20:]
    assert received > MEMORIES * CHARACTERS
    assert await metric(sidecar, "memsidecar_clients_over_output_limit_total") == 0
    writer.close()
