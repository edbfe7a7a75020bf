"""A TLS front for a server that speaks plain text only: a Temporal dev server, a Redis that was built without TLS.

It does what a proxy of a production cluster does: it ends TLS, may ask for a client certificate, and hands the
bytes on. What came from the client is kept.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.certificates import Certificate

CHUNK = 1 << 16


@dataclass
class Relay:
    """A running front. `received` is what clients sent, without the encryption."""

    address: str
    received: bytearray = field(default_factory=bytearray)

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])


@asynccontextmanager
async def tls_relay(
    target: str, server: Certificate, *, clients: Path | None = None, alpn: Sequence[str] = ()
) -> AsyncIterator[Relay]:
    """Relay TLS connections to `target` (`host:port`).

    `clients` is the authority that must have signed a client's certificate; None asks for none. `alpn` are the
    protocols that are offered.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=clients)
    context.load_cert_chain(server.cert, server.key)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    host, _, port = target.rpartition(":")
    relay = Relay("")
    open_ways: set[asyncio.Task[None]] = set()
    serving: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: bytearray) -> None:
        while data := await reader.read(CHUNK):
            kept += data
            writer.write(data)
            await writer.drain()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        this = asyncio.current_task()
        assert this is not None
        serving.add(this)
        up_reader, up_writer = await asyncio.open_connection(host, int(port))
        ways = [
            asyncio.create_task(pump(reader, up_writer, relay.received)),
            asyncio.create_task(pump(up_reader, writer, bytearray())),
        ]
        open_ways.update(ways)
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        for end in (writer, up_writer):
            end.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    relay.address = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    async with listening:
        yield relay
        listening.close()
        for way in open_ways:
            way.cancel()
        await asyncio.gather(*serving)
