"""The gate in front of real Redis servers that are killed, restarted, stopped, and set up in dangerous ways."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import pytest
import redis
from structlog.testing import capture_logs
from structlog.types import EventDict

from sidecar.dev.ports import free_port
from sidecar.dev.servers import RedisServer
from sidecar.errors import ConfigurationError
from sidecar.net.gate import CLIENT_NAME, Gate
from sidecar.net.listener import Listener
from tests.support.children import Children, StartRedis, freeze
from tests.support.clusters import cluster_port, start_cluster
from tests.support.waiting import eventually

P = TypeVar("P", bound=asyncio.Protocol)


class Echo(asyncio.Protocol):
    """Answers with what it is sent."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)  # type: ignore[attr-defined]


class Site:
    """A gate that runs, its listener, and its log."""

    def __init__(self, redis_port: int, address: str, protected: bool, greeting: Sequence[tuple[str, ...]]) -> None:
        self._redis_port = redis_port
        self.dials = 0
        self.listener = Listener(Echo, address=address)
        self.gate = Gate(self.listener, self._dial, protected=protected, greeting=greeting, ping_interval_s=0.1)
        self.task = asyncio.create_task(self.gate.run())
        self.port = 0

    async def _dial(self, create: Callable[[], P]) -> P:
        self.dials += 1
        _, protocol = await asyncio.get_running_loop().create_connection(create, "127.0.0.1", self._redis_port)
        return protocol

    async def first(self) -> None:
        async with asyncio.timeout(10):
            self.port = await self.gate.first()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def served(self) -> bool:
        """Whether a client that connects now is answered; False when it is refused, or the listener just closes."""
        try:
            reader, writer = await self.connect()
        except ConnectionError:
            return False
        try:
            return await echo(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, TimeoutError):
            return False
        finally:
            writer.close()

    async def refused(self) -> bool:
        return not await self.served()

    async def dialled(self, times: int) -> None:
        """Wait until the gate has dialled this often more."""
        before = self.dials
        await eventually(lambda: self.dials >= before + times)

    async def close(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.listener.close()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    writer.write(b"hello")
    async with asyncio.timeout(5):
        return await reader.readexactly(5) == b"hello"


Start = Callable[..., Site]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Factory of gates: `start(redis_port)`."""
    sites: list[Site] = []

    def site(
        redis_port: int,
        *,
        address: str = "127.0.0.1:0",
        protected: bool = True,
        greeting: Sequence[tuple[str, ...]] = (),
    ) -> Site:
        sites.append(Site(redis_port, address, protected, greeting))
        return sites[-1]

    yield site
    for each in sites:
        await each.close()


@pytest.fixture
def logs() -> Iterator[list[EventDict]]:
    with capture_logs() as captured:
        yield captured


def said(logs: list[EventDict]) -> list[tuple[str, str]]:
    """What the gate logged: level and event."""
    return [(line["log_level"], line["event"]) for line in logs if line["event"].startswith("gate.")]


OPEN, DOWN, REFUSED = ("info", "gate.open"), ("warning", "gate.closed"), ("error", "gate.closed")


class TestReachable:
    async def test_killed_and_started_again(self, start: Start, start_redis: StartRedis, logs: list[EventDict]) -> None:
        """Clients are refused while Redis is down, and served again after; connected ones are left alone."""
        server = start_redis()
        site = start(server.port)
        await site.first()
        stays = await site.connect()
        for _ in range(2):
            assert await site.served()
            assert (site.gate.up, site.gate.reason) == (True, "")
            server.kill()
            await eventually(site.refused)
            assert not site.gate.up
            assert "Redis cannot be reached" in site.gate.reason
            assert await echo(*stays)
            await site.dialled(3)
            server.start()
            await eventually(site.served)
        assert said(logs) == [OPEN, DOWN, OPEN, DOWN, OPEN]

    async def test_down_at_the_start(self, start: Start, start_redis: StartRedis, logs: list[EventDict]) -> None:
        """The start waits as long as Redis is away, says so once, and then gives the port."""
        port = free_port()
        site = start(port)
        await site.dialled(4)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await site.gate.first()
        assert not site.gate.up
        start_redis(port=port)
        await site.first()
        assert await site.served()
        assert said(logs) == [DOWN, OPEN]

    async def test_its_connection_is_killed(self, start: Start, start_redis: StartRedis, logs: list[EventDict]) -> None:
        """Killing the gate's connection, even again and again, refuses nobody; it has no more than one."""
        server = start_redis()
        site = start(server.port)
        await site.first()
        known: list[str] = []
        with redis.Redis.from_url(server.url) as client:

            def ours() -> list[str]:
                return [str(each["id"]) for each in client.client_list() if each["name"] == CLIENT_NAME]

            for _ in range(5):
                known.extend(await eventually(lambda: set(ours()) - set(known)))
                assert len(ours()) == 1
                client.client_kill_filter(_id=known[-1])
                for _ in range(20):
                    assert await site.served()
        assert said(logs) == [OPEN]

    async def test_loading(self, start: Start, start_redis: StartRedis, logs: list[EventDict]) -> None:
        """A Redis that still reads its data is there: clients get its own LOADING."""
        server = start_redis("--key-load-delay", "400", appendonly=True)
        with redis.Redis.from_url(server.url) as client:
            with client.pipeline(transaction=False) as pipeline:
                for number in range(12_000):
                    pipeline.set(f"ballast-{number}", number)
                pipeline.execute()
            site = start(server.port)
            await site.first()
            server.kill()
            await eventually(site.refused)
            server.spawn()
            await eventually(site.served)
            with pytest.raises(redis.BusyLoadingError):
                client.ping()
        assert said(logs) == [OPEN, DOWN, OPEN]

    async def test_hanging(self, start: Start, start_redis: StartRedis, logs: list[EventDict]) -> None:
        """A Redis that hangs accepts connections, and so do we, also when it hangs from the start."""
        server = start_redis()
        first = start(server.port)
        await first.first()
        await freeze(server.pid)
        second = start(server.port)
        await first.dialled(2)
        assert await first.served()
        await second.first()
        assert await second.served()
        os.kill(server.pid, signal.SIGCONT)
        assert said(logs) == [OPEN, OPEN]

    async def test_no_room_for_another_client(self, start: Start, start_redis: StartRedis) -> None:
        """A Redis whose clients are too many is there: ours get its own words for that."""
        server = start_redis()
        with redis.Redis.from_url(server.url) as client:
            client.config_set("maxclients", 1)
            site = start(server.port)
            await site.first()
            await site.dialled(3)
            assert await site.served()

    async def test_a_port_that_hangs_up(self, start: Start, logs: list[EventDict]) -> None:
        """A forwarder in front of a Redis that is down accepts and hangs up without a word: that is no Redis."""

        async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        site = start(server.sockets[0].getsockname()[1])
        await site.dialled(3)
        assert "closes connections without a word; does it expect TLS?" in site.gate.reason
        assert said(logs) == [DOWN]
        server.close()

    async def test_the_end(self, start: Start, start_redis: StartRedis) -> None:
        """When the gate ends, so does its connection."""
        server = start_redis()
        site = start(server.port)
        await site.first()
        await site.close()
        with redis.Redis.from_url(server.url) as client:
            await eventually(lambda: [each["name"] for each in client.client_list()] == [""])


class TestAddress:
    async def test_taken_at_the_start(self, start: Start, redis_server: RedisServer) -> None:
        """An address that somebody has is an error at the start."""
        first = start(redis_server.port)
        await first.first()
        with pytest.raises(OSError, match="Address already in use"):
            await start(redis_server.port, address=f"127.0.0.1:{first.port}").first()

    async def test_an_unknown_name(self, start: Start, redis_server: RedisServer) -> None:
        """A name that nobody knows is an error at the start."""
        with pytest.raises(OSError, match=r"cannot listen on nowhere\.invalid:0"):
            await start(redis_server.port, address="nowhere.invalid:0").first()

    async def test_taken_later(self, start: Start, start_redis: StartRedis, logs: list[EventDict]) -> None:
        """An address that somebody takes while Redis is down is had again as soon as it is free."""
        server = start_redis()
        site = start(server.port)
        await site.first()
        server.kill()
        await eventually(site.refused)
        squatter = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", site.port)
        server.start()
        await eventually(lambda: "Address already in use" in site.gate.reason)
        assert not site.gate.up
        squatter.close()
        await eventually(site.served)
        assert said(logs) == [OPEN, DOWN, REFUSED, OPEN]


class TestProtection:
    @pytest.mark.parametrize(
        ("address", "protected", "password", "let_in"),
        [
            ("0.0.0.0:0", True, False, False),
            ("0.0.0.0:0", True, True, True),
            ("0.0.0.0:0", False, False, True),
            ("127.0.0.1:0", True, False, True),
            ("localhost:0", True, False, True),
        ],
    )
    async def test_at_the_start(
        self,
        start: Start,
        start_redis: StartRedis,
        address: str,
        protected: bool,
        password: bool,
        let_in: bool,
    ) -> None:
        """Other machines are let in to a Redis with a password, or where the user wants it so."""
        server = start_redis(*(("--requirepass", "secret") if password else ()))
        site = start(server.port, address=address, protected=protected)
        if let_in:
            await site.first()
            assert await site.served()
            return
        with pytest.raises(ConfigurationError) as caught:
            await site.first()
        text = str(caught.value)
        assert "other machines can connect to 0.0.0.0:0" in text
        for advice in ("requirepass", "127.0.0.1", "protected_mode off"):
            assert advice in text

    async def test_a_password_comes_and_goes(
        self, start: Start, start_redis: StartRedis, logs: list[EventDict]
    ) -> None:
        """When Redis loses its password clients are refused, until it has one again; each change is logged once."""
        server = start_redis("--requirepass", "first")
        site = start(server.port, address="0.0.0.0:0")
        await site.first()
        with redis.Redis.from_url(server.url, password="first") as client:
            for password in ("second", "third"):
                client.config_set("requirepass", "")
                await eventually(site.refused)
                assert "asks for no password" in site.gate.reason
                await site.dialled(2)
                assert await site.refused()
                client.config_set("requirepass", password)
                await eventually(site.served)
        assert said(logs) == [OPEN, REFUSED, OPEN, REFUSED, OPEN]

    @pytest.mark.parametrize("rights", ["-ping", "-@all"])
    async def test_rights_are_no_password(self, start: Start, start_redis: StartRedis, rights: str) -> None:
        """A Redis that refuses PING for want of rights has not asked for a password."""
        server = start_redis()
        with redis.Redis.from_url(server.url) as client:
            client.execute_command("ACL", "SETUSER", "default", rights)
            with pytest.raises(ConfigurationError, match="Redis asks for no password"):
                await start(server.port, address="0.0.0.0:0").first()

    async def test_it_does_not_tell(self, start: Start, start_redis: StartRedis) -> None:
        """As long as Redis does not tell whether it asks for a password, other machines stay outside."""
        server = start_redis("--requirepass", "secret")
        with redis.Redis.from_url(server.url, password="secret") as client:
            client.config_set("maxclients", 1)
            site = start(server.port, address="0.0.0.0:0")
            await eventually(lambda: "max number of clients reached" in site.gate.reason)
            assert not site.gate.up
            client.config_set("maxclients", 100)
            await site.first()
            client.config_set("maxclients", 1)
            client.client_kill_filter(_type="normal", skipme=True)
            await site.dialled(2)
            assert await site.served()  # it had told, and what it tells now is no reason to doubt that


class TestCluster:
    @pytest.mark.parametrize("password", [False, True])
    async def test_refused(self, start: Start, start_redis: StartRedis, password: bool) -> None:
        """A cluster is refused at the start, also one that only our own user may ask."""
        server = start_cluster(start_redis, *(("--requirepass", "secret") if password else ()))
        site = start(server.port, greeting=[("AUTH", "secret")] if password else [])
        with pytest.raises(ConfigurationError, match="cluster mode"):
            await site.first()
        assert not site.gate.up
        assert "cluster" in site.gate.reason

    async def test_refused_while_it_hangs(self, start: Start, start_redis: StartRedis) -> None:
        """A cluster that does not answer any more is still a cluster."""
        server = start_cluster(start_redis)
        site = start(server.port)
        with pytest.raises(ConfigurationError, match="cluster mode"):
            await site.first()
        await freeze(server.pid)
        await site.dialled(3)
        assert not site.gate.up
        os.kill(server.pid, signal.SIGCONT)

    async def test_unknown_is_let_in(self, start: Start, start_redis: StartRedis) -> None:
        """Where nobody may ask, clients are let in."""
        server = start_cluster(start_redis, "--requirepass", "secret")
        site = start(server.port)
        await site.first()
        assert await site.served()

    async def test_another_redis_at_the_same_place(
        self,
        start: Start,
        start_redis: StartRedis,
        children: Children,
        redis_program: Path,
        tmp_path: Path,
        logs: list[EventDict],
    ) -> None:
        """A cluster that takes the place of a Redis is refused when it comes, and forgiven when it goes."""
        port = cluster_port()
        alone = start_redis(port=port)
        site = start(port)
        await site.first()
        alone.kill()
        await eventually(site.refused)
        directory = tmp_path / "cluster"
        directory.mkdir()
        options = ("--cluster-enabled", "yes")
        cluster = children.add(RedisServer(port=port, directory=directory, program=redis_program, arguments=options))
        await eventually(lambda: "cluster" in site.gate.reason)
        assert await site.refused()
        cluster.kill()
        alone.start()
        await eventually(site.served)
        assert said(logs) in ([OPEN, DOWN, REFUSED, OPEN], [OPEN, DOWN, REFUSED, DOWN, OPEN])
