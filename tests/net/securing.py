"""What the tests of TLS to Redis share: a listener that only listens, and a protocol that keeps what it hears."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from sidecar.dev.ports import LOOPBACK


@dataclass
class Listener:
    """Accepts, and keeps what it receives."""

    port: int = 0
    received: bytearray = field(default_factory=bytearray)
    accepted: int = 0


@asynccontextmanager
async def listening(answer: bytes = b"", *, hang_up: bool = False) -> AsyncIterator[Listener]:
    """Run a listener that speaks plain text; with `hang_up` it closes when something comes."""
    listener = Listener()
    ends: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        listener.accepted += 1
        ends.append(writer)
        while data := await reader.read(4096):
            listener.received += data
            writer.write(answer)
            if hang_up:
                break
        writer.close()

    server = await asyncio.start_server(serve, LOOPBACK, 0)
    listener.port = server.sockets[0].getsockname()[1]
    async with server:
        yield listener
        for end in ends:
            end.close()


class Collector(asyncio.Protocol):
    """Keeps what happens to a connection."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.received = bytearray()
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # uvloop's are no subclasses of Transport

    def data_received(self, data: bytes) -> None:
        self.received += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(None)

    def send(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)

    def close(self) -> None:
        assert self.transport is not None
        self.transport.abort()
