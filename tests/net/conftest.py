"""Servers in the test's own loop, in front of real Redis servers. The loop is uvloop's, as in production."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pytest
import uvloop

from sidecar.commands.table import COMMANDS
from sidecar.errors import ReplyableError
from sidecar.memory.requests import Request
from sidecar.metrics import Metrics
from sidecar.net.command_log import CommandLog
from sidecar.net.connection import MAX_OUTPUT_BYTES
from sidecar.net.dialer import Dialer
from sidecar.net.endpoint import RedisEndpoint
from sidecar.net.find_identity import Identity
from sidecar.net.held_budget import MAX_HELD_BYTES
from sidecar.net.listener import Listener
from sidecar.net.server import MAX_CLIENTS, Server
from sidecar.resp.watched import Credentials
from tests.support.addressing import addressing
from tests.support.waiting import DIAL_LIMIT_S

Done = Callable[[object], None]


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """uvloop differs in when it reads and writes, so these tests run on it."""
    return {"uvloop": uvloop.new_event_loop}


@dataclass
class Executed:
    """Stands where the memory service does: answers with `answer` at once, or when the test says so.

    It is also the identity of every client, and notes what it was asked about them.
    """

    at_once: bool = True
    answer: object = 7
    requests: list[Request] = field(default_factory=list)
    waiting: list[Done] = field(default_factory=list)
    asked: list[tuple[tuple[Credentials | None, ...], bytes | None]] = field(default_factory=list)
    released: int = 0
    stopped: list[Request] = field(default_factory=list)

    def identify(
        self,
        candidates: Sequence[Credentials | None],
        user: bytes | None,
        done: Callable[[Identity | ReplyableError], None],
    ) -> None:
        self.asked.append((tuple(candidates), user))
        done(self)

    def release(self) -> None:
        self.released += 1

    def stop(self, request: Request) -> None:
        self.stopped.append(request)

    def execute(self, request: Request, done: Done) -> None:
        self.requests.append(request)
        if self.at_once:
            done(self.answer)
        else:
            self.waiting.append(done)


@dataclass
class Front:
    """A running server: its port, its counters, and what it was asked to execute."""

    server: Server
    port: int
    metrics: Metrics
    executed: Executed

    async def connect(self) -> Talk:
        return Talk(*await asyncio.open_connection("127.0.0.1", self.port, limit=2**27))


class Talk:
    """One client's connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, data: bytes, answer: bytes) -> None:
        """Send `data` and expect exactly `answer`."""
        self.writer.write(data)
        await self.expect(answer)

    async def expect(self, answer: bytes) -> None:
        async with asyncio.timeout(20):
            assert await self.reader.readexactly(len(answer)) == answer

    async def rest(self) -> bytes:
        """Return what comes until the connection is closed."""
        async with asyncio.timeout(20):
            return await self.reader.read()

    async def close(self) -> None:
        self.writer.close()


class Fronts:
    """Starts servers and stops them."""

    def __init__(self) -> None:
        self._servers: list[tuple[Server, Listener]] = []

    async def __call__(
        self,
        redis_port: int,
        *,
        max_clients: int = MAX_CLIENTS,
        max_output_bytes: int = MAX_OUTPUT_BYTES,
        max_held_bytes: int = MAX_HELD_BYTES,
        at_once: bool = True,
    ) -> Front:
        metrics, executed = Metrics(), Executed(at_once)
        server = Server(
            dial=Dialer(RedisEndpoint("127.0.0.1", redis_port), connect_timeout_s=DIAL_LIMIT_S).connect,
            commands=COMMANDS,
            resolve=addressing().resolve,
            identify=executed.identify,
            command_log=CommandLog(slow_ms=0),
            metrics=metrics,
            max_clients=max_clients,
            max_output_bytes=max_output_bytes,
            max_held_bytes=max_held_bytes,
        )
        listener = Listener(server.accept, address="127.0.0.1:0")
        self._servers.append((server, listener))
        return Front(server, await listener.open(), metrics, executed)

    async def close(self) -> None:
        for server, listener in self._servers:
            await listener.close()
            await server.close(0.0)


@pytest.fixture
async def start_front() -> AsyncIterator[Fronts]:
    """Factory of servers: `await start_front(redis_port)`."""
    fronts = Fronts()
    yield fronts
    await fronts.close()
