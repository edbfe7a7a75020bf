"""A real sidecar is told to stop, under load and in every state of Redis: nothing is lost, nothing is cut in half."""

from __future__ import annotations

import asyncio
import os
import signal
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import hiredis
import pytest
import redis
import redis.asyncio

from sidecar.dev.ports import free_port
from sidecar.dev.servers import SidecarProcess
from tests.e2e.agents import stored
from tests.support.certificates import Authority
from tests.support.children import StartRedis, StartSidecar, freeze
from tests.support.waiting import eventually

LIMIT_S = 10.0
"""The default of `shutdown_timeout_s`."""

BIG = b"0123456789abcdef" * (256 * 1024)
"""4 MB."""

BIG_REPLY = b"$%d\r\n%b\r\n" % (len(BIG), BIG)

MEMORIES = 3


def request(*words: str) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word.encode()) for word in words)


class Crowd:
    """Clients of all kinds, each of which works until it is closed and then returns what it has seen."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.progress: Counter[str] = Counter()
        self._clients: dict[str, asyncio.Task[Any]] = {}

    def add(self, name: str, client: Coroutine[Any, Any, Any]) -> None:
        self._clients[name] = asyncio.create_task(client, name=name)

    def worked(self, times: int) -> bool:
        """Whether every client has got so many answers; what waits for good has none."""
        return all(self.progress[name] >= times for name in self._clients if not name.startswith("quiet"))

    async def seen(self) -> dict[str, Any]:
        """Wait until all are closed."""
        async with asyncio.timeout(LIMIT_S + 10):
            return dict(zip(self._clients, await asyncio.gather(*self._clients.values()), strict=True))

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port, limit=2**24)

    async def counts(self, name: str) -> list[bytes]:
        """Count up in pipelines of 16; return all replies."""
        reader, writer = await self._connect()
        replies: list[bytes] = []
        with suppress(ConnectionError):
            while True:
                writer.write(request("INCR", name) * 16)
                for _ in range(16):
                    line = await reader.readline()
                    if not line:
                        writer.close()
                        return replies
                    replies.append(line)
                self.progress[name] += 1
        return replies

    async def reads(self, name: str) -> bytes:
        """Read large values, slowly, two at a time; return the bytes that came of the last two."""
        reader, writer = await self._connect()
        while True:
            writer.write(request("GET", "big") * 2)
            received = bytearray()
            while len(received) < 2 * len(BIG_REPLY):
                data = await reader.read(200_000)
                if not data:
                    writer.close()
                    return bytes(received)
                received += data
                await asyncio.sleep(0)
            assert received == BIG_REPLY * 2
            self.progress[name] += 1

    async def appends(self, name: str, memory: str) -> list[tuple[str, Any]]:
        """Append texts, three at a time; return each text with its reply, None where none came."""
        reader, writer = await self._connect()
        said: list[tuple[str, Any]] = []
        parser = hiredis.Reader(encoding="utf-8")
        with suppress(ConnectionError):
            while True:
                texts = [f"{name} {len(said) + place} end" for place in range(3)]
                writer.write(b"".join(request("MEMAPPEND", memory, "user", text) for text in texts))
                for text in texts:
                    reply = parser.gets()
                    while reply is False and (data := await reader.read(65_536)):
                        parser.feed(data)
                        reply = parser.gets()
                    said.append((text, None if reply is False else reply))
                if said[-1][1] is None:
                    break
                self.progress[name] += 1
        writer.close()
        assert parser.gets() is False
        return said

    async def listens(self, name: str, sent: bytes) -> bytes:
        """Send something and listen; return all that came."""
        reader, writer = await self._connect()
        writer.write(sent)
        received = bytearray()
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                received += data
                self.progress[name] += 1
        writer.close()
        return bytes(received)


async def publish_until(stop: asyncio.Event, url: str) -> None:
    async with redis.asyncio.Redis.from_url(url) as client:
        number = 0
        while not stop.is_set():
            number += 1
            await client.publish("news", f"{number:010}".ljust(500, "."))


@pytest.mark.parametrize("_round", range(2))
async def test_under_load(start_redis: StartRedis, sidecar_process: StartSidecar, _round: int) -> None:
    """Forty clients are at work when SIGTERM comes: what was executed was acknowledged, each reply is whole, nobody who
    was blocked has taken anything along, and the exit code is 0 before the time is over."""
    server = start_redis()
    sidecar = sidecar_process(redis_url=server.url)
    async with redis.asyncio.Redis.from_url(server.url) as direct:
        await direct.set("big", BIG)
        crowd = gathered(sidecar.port)
        enough = asyncio.Event()
        publishing = asyncio.create_task(publish_until(enough, server.url))
        await eventually(lambda: crowd.worked(3), limit_s=40, why="somebody got no answers")

        async def all_wait() -> bool:
            return int((await direct.info("clients"))["blocked_clients"]) == 4

        await eventually(all_wait)
        began = time.monotonic()
        sidecar.terminate()
        seen = await crowd.seen()
        code = await asyncio.to_thread(sidecar.wait, LIMIT_S + 5)
        enough.set()
        await publishing
        assert code == 0
        assert time.monotonic() - began < LIMIT_S
        assert not any('"error"' in line or "Traceback" in line for line in sidecar.tail())
        await check_writers(direct, seen)
        await check_memories(direct, seen)
        check_listeners(seen)
        await check_quiet_ones(direct, seen)


def gathered(port: int) -> Crowd:
    crowd = Crowd(port)
    for number in range(12):
        crowd.add(f"count-{number}", crowd.counts(f"count-{number}"))
        crowd.add(f"append-{number}", crowd.appends(f"append-{number}", f"chat:{number % MEMORIES}"))
    for number in range(3):
        crowd.add(f"read-{number}", crowd.reads(f"read-{number}"))
    for name, sent in {
        "subscribe-2": request("SUBSCRIBE", "news"),
        "subscribe-3": request("HELLO", "3") + request("SUBSCRIBE", "news"),
        "monitor": b"MONITOR\r\n",
        "quiet-pop-0": request("BLPOP", "queue", "0"),
        "quiet-pop-1": request("BLPOP", "queue", "0") + request("SET", "behind", "1"),
        "quiet-pop-2": request("BLPOP", "queue", "0") + request("MEMAPPEND", "chat:behind", "user", "never"),
        "quiet-stream": request("XREAD", "BLOCK", "0", "STREAMS", "stream", "$"),
        "quiet-transaction": request("MULTI") + request("SET", "never", "1"),
        "quiet-half": request("SET", "half", "12345")[:-4],
        "quiet-nothing": b"",
    }.items():
        crowd.add(name, crowd.listens(name, sent))
    return crowd


async def check_writers(direct: redis.asyncio.Redis, seen: dict[str, Any]) -> None:
    """What was executed was acknowledged, and large values are whole."""
    for name, replies in seen.items():
        if name.startswith("count"):
            assert replies == [b":%d\r\n" % number for number in range(1, len(replies) + 1)]
            assert int(await direct.get(name) or 0) == len(replies)
        if name.startswith("read"):
            assert replies in (b"", BIG_REPLY, BIG_REPLY * 2)


async def check_memories(direct: redis.asyncio.Redis, seen: dict[str, Any]) -> None:
    """Each acknowledged message is stored once, under the acknowledged id, and no other one more than once."""
    ids: dict[str, str] = {}
    for memory in range(MEMORIES):
        for entry in await stored(direct, "chat", str(memory)) or await stored(direct, "default", f"chat:{memory}"):
            assert entry.content not in ids
            ids[entry.content] = entry.id
    said = [each for name, texts in seen.items() if name.startswith("append") for each in texts]
    acknowledged = {text: reply for text, reply in said if reply is not None}
    assert len(acknowledged) > 100
    assert all(isinstance(reply, list) for reply in acknowledged.values())
    assert {text: ids.get(text) for text in acknowledged} == {text: reply[1] for text, reply in acknowledged.items()}
    assert set(ids) <= {text for text, _ in said}


def check_listeners(seen: dict[str, Any]) -> None:
    """Messages and lines are whole, and none is missing between two others."""
    for name, kind in {"subscribe-2": b"*", "subscribe-3": b">"}.items():
        start = kind + b"3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$500\r\n"
        messages = seen[name].split(start)[1:]
        numbers = [int(message[:10]) for message in messages]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert {len(message) for message in messages} == {502}
    assert seen["monitor"].endswith(b'"\r\n')


async def check_quiet_ones(direct: redis.asyncio.Redis, seen: dict[str, Any]) -> None:
    """Those who waited got nothing, took nothing, and what stood behind was not done."""
    assert seen["quiet-transaction"] == b"+OK\r\n+QUEUED\r\n"
    quiet = [name for name in seen if name.startswith("quiet") and name != "quiet-transaction"]
    assert {name: seen[name] for name in quiet} == dict.fromkeys(quiet, b"")
    await direct.rpush("queue", "element")
    assert await direct.llen("queue") == 1
    assert not await direct.exists("never", "behind", "half")
    assert not await stored(direct, "default", "chat:behind")


async def blocked(port: int, direct: redis.asyncio.Redis) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect a client that waits in Redis: the sidecar then takes a second to stop."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request("BLPOP", "queue", "0"))

    async def waits() -> bool:
        return int((await direct.info("clients"))["blocked_clients"]) > 0

    await eventually(waits)
    return reader, writer


async def test_further_signals_change_nothing(
    redis_url: str, redis_client: redis.asyncio.Redis, sidecar_process: StartSidecar
) -> None:
    """A second SIGTERM, a SIGINT and a SIGHUP while the sidecar is stopping do not keep it from doing so in order."""
    sidecar = sidecar_process(redis_url=redis_url)
    reader, writer = await blocked(sidecar.port, redis_client)
    sidecar.terminate()
    await eventually(lambda: sidecar.has_printed("sidecar stopping"))
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        os.kill(sidecar.pid, number)
    assert await reader.read() == b""
    writer.close()
    assert await asyncio.to_thread(sidecar.wait, 5) == 0
    assert not sidecar.has_printed("Traceback")


async def test_it_is_not_ready_while_it_stops(
    redis_url: str, redis_client: redis.asyncio.Redis, sidecar_process: StartSidecar
) -> None:
    """From the signal on /readyz says no and /healthz yes, and nobody can connect."""
    sidecar = sidecar_process(redis_url=redis_url)
    _, writer = await blocked(sidecar.port, redis_client)
    assert await asyncio.to_thread(page, sidecar, "readyz") == 200
    sidecar.terminate()
    await eventually(lambda: sidecar.has_printed("sidecar stopping"))
    assert await asyncio.to_thread(page, sidecar, "readyz") == 503
    assert await asyncio.to_thread(page, sidecar, "healthz") == 200
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", sidecar.port)
    writer.close()
    assert await asyncio.to_thread(sidecar.wait, 5) == 0


def page(sidecar: SidecarProcess, name: str) -> int:
    try:
        with urllib.request.urlopen(sidecar.metrics_url.replace("metrics", name), timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as problem:
        return problem.code


async def test_before_redis_was_ever_there(sidecar_process: StartSidecar) -> None:
    """SIGTERM ends a sidecar that still waits for its Redis, at once and with exit code 0."""
    sidecar = sidecar_process(redis_url=f"redis://127.0.0.1:{free_port()}/0", wait=False)
    await eventually(lambda: sidecar.has_printed("gate.closed"), limit_s=20)
    sidecar.terminate()
    assert await asyncio.to_thread(sidecar.wait, 4) == 0
    assert not sidecar.has_printed("Traceback")


async def test_after_redis_has_gone(start_redis: StartRedis, sidecar_process: StartSidecar) -> None:
    """SIGTERM ends a sidecar whose Redis has died, at once and with exit code 0."""
    server = start_redis()
    sidecar = sidecar_process(redis_url=server.url)
    reader, writer = await asyncio.open_connection("127.0.0.1", sidecar.port)
    writer.write(request("MEMAPPEND", "k", "user", "hello"))
    assert await reader.readline()
    server.kill()
    await eventually(lambda: sidecar.has_printed("gate.closed"))
    sidecar.terminate()
    assert await asyncio.to_thread(sidecar.wait, 5) == 0
    assert not sidecar.has_printed("Traceback")


async def test_while_redis_hangs(start_redis: StartRedis, sidecar_process: StartSidecar) -> None:
    """A Redis that answers nothing keeps the sidecar no longer than its limit, plus the seconds of its goodbyes."""
    server = start_redis()
    sidecar = sidecar_process(redis_url=server.url, settings={"MEMSIDECAR_SHUTDOWN_TIMEOUT_S": "1.5"})
    ends = []
    for sent in (request("PING"), request("MEMAPPEND", "k", "user", "hello")):
        reader, writer = await asyncio.open_connection("127.0.0.1", sidecar.port)
        writer.write(sent)
        assert await reader.readline()
        ends.append(writer)
    await freeze(server.pid)
    try:
        for writer in ends:
            writer.write(request("MEMAPPEND", "k", "user", "more") + request("GET", "k"))
        sidecar.terminate()
        assert await asyncio.to_thread(sidecar.wait, 1.5 + 5) == 0
    finally:
        os.kill(server.pid, signal.SIGCONT)
    assert not sidecar.has_printed("Traceback")


async def test_while_a_text_is_counted(start_redis: StartRedis, sidecar_process: StartSidecar) -> None:
    """A text whose tokens take half a minute to count does not keep the process beyond its limit."""
    sidecar = sidecar_process(redis_url=start_redis().url, settings={"MEMSIDECAR_SHUTDOWN_TIMEOUT_S": "0.5"})
    _, writer = await asyncio.open_connection("127.0.0.1", sidecar.port)
    writer.write(request("MEMCOUNT", "a" * (31 * 1024 * 1024)))
    await writer.drain()
    async with redis.asyncio.Redis(port=sidecar.port) as other:
        await eventually(other.ping)
    sidecar.terminate()
    assert await asyncio.to_thread(sidecar.wait, LIMIT_S) == 0
    writer.close()


async def test_sighup_leaves_connections_alone(
    redis_url: str, redis_client: redis.asyncio.Redis, sidecar_process: StartSidecar
) -> None:
    """A reload changes nothing for those who are connected, transaction and blocked wait included, nor for others."""
    sidecar = sidecar_process(redis_url=redis_url)
    waiting, held = await blocked(sidecar.port, redis_client)
    reader, writer = await asyncio.open_connection("127.0.0.1", sidecar.port)
    writer.write(request("MULTI") + request("SET", "k", "1"))
    assert await reader.readexactly(14) == b"+OK\r\n+QUEUED\r\n"
    os.kill(sidecar.pid, signal.SIGHUP)
    await eventually(lambda: sidecar.has_printed("reload.done"))
    writer.write(request("EXEC"))
    assert await reader.readexactly(9) == b"*1\r\n+OK\r\n"
    await redis_client.rpush("queue", "element")
    assert (await waiting.readline()) == b"*2\r\n"
    held.close()
    async with redis.asyncio.Redis.from_url(sidecar.url) as client:
        assert await client.get("k") == b"1"
    assert sidecar.running
    assert sidecar.stop()
    assert sidecar.exit_code == 0


class TestCertificate:
    async def _served_by(self, sidecar: SidecarProcess, authority: Authority) -> str:
        """Return whose certificate a new client is shown."""
        context = authority.client_context()
        reader, writer = await asyncio.open_connection("localhost", sidecar.port, ssl=context)
        writer.write(request("PING"))
        assert await reader.readline() == b"+PONG\r\n"
        shown: Any = writer.get_extra_info("peercert")
        writer.close()
        return str(dict(each for part in shown["subject"] for each in part)["commonName"])

    @pytest.mark.parametrize("broken", ["no certificate", "", "another key"])
    async def test_a_broken_one_is_refused(
        self, redis_url: str, sidecar_process: StartSidecar, tmp_path: Path, broken: str
    ) -> None:
        """The log says that the new file cannot be used, the old one still serves, and a good one is taken later."""
        authority = Authority(tmp_path)
        first, second = authority.issue("first"), authority.issue("second")
        cert = second.cert.read_bytes() if broken == "another key" else broken.encode()
        sidecar = sidecar_process(
            redis_url=redis_url,
            settings={"MEMSIDECAR_TLS_CERT": str(first.cert), "MEMSIDECAR_TLS_KEY": str(first.key)},
        )
        assert await self._served_by(sidecar, authority) == "first"
        first.cert.write_bytes(cert)
        os.kill(sidecar.pid, signal.SIGHUP)
        await eventually(lambda: sidecar.has_printed("reload.refused"))
        assert sidecar.has_printed(str(first.cert))
        assert not sidecar.has_printed("Traceback")
        assert await self._served_by(sidecar, authority) == "first"
        first.replace(second)
        os.kill(sidecar.pid, signal.SIGHUP)
        await eventually(lambda: sum('"tls"' in line and "reload.done" in line for line in sidecar.tail()))
        assert await self._served_by(sidecar, authority) == "second"

    def test_a_broken_one_at_the_start(self, redis_url: str, sidecar_process: StartSidecar, tmp_path: Path) -> None:
        """Where there is no old one the sidecar says what is wrong, and ends with exit code 2."""
        issued = Authority(tmp_path).issue("server")
        issued.cert.write_text("no certificate")
        sidecar = sidecar_process(
            redis_url=redis_url,
            settings={"MEMSIDECAR_TLS_CERT": str(issued.cert), "MEMSIDECAR_TLS_KEY": str(issued.key)},
            wait=False,
        )
        assert sidecar.wait(20) == 2
        assert sidecar.has_printed(f"tls_cert: {issued.cert}")
        assert not sidecar.has_printed("Traceback")
