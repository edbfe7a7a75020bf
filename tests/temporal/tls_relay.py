"""A TLS front for a Temporal dev server, which speaks plain text only; and the certificates for it.

It does what a proxy of a production cluster does: it ends TLS, may ask for a client certificate, and hands the
bytes on. What came from the client is kept.
"""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

CHUNK = 1 << 16
HOST = "temporal.test"
"""Name on the server's certificate; it is not the address."""


@dataclass(frozen=True)
class Certificate:
    """Files of a certificate and its key."""

    certificate: Path
    key: Path


def self_signed(directory: Path, name: str) -> Certificate:
    """Make a certificate for `name` that is its own authority."""
    made = Certificate(directory / f"{name}.pem", directory / f"{name}.key")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", str(made.key), "-out", str(made.certificate), "-days", "1", "-subj", f"/CN={name}"]
    command += ["-addext", f"subjectAltName=DNS:{name}"]
    subprocess.run(command, check=True, capture_output=True)
    return made


def sign(directory: Path, name: str, authority: Certificate) -> Certificate:
    """Make a certificate for `name` that `authority` has signed."""
    made = Certificate(directory / f"{name}.pem", directory / f"{name}.key")
    request = directory / f"{name}.csr"
    extension = directory / f"{name}.ext"
    extension.write_text(f"subjectAltName=DNS:{name}\nbasicConstraints=CA:FALSE\n")
    new = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    new += ["-keyout", str(made.key), "-out", str(request), "-subj", f"/CN={name}"]
    issue = ["openssl", "x509", "-req", "-in", str(request), "-CA", str(authority.certificate)]
    issue += ["-CAkey", str(authority.key), "-CAcreateserial", "-days", "1"]
    issue += ["-extfile", str(extension), "-out", str(made.certificate)]
    for command in (new, issue):
        subprocess.run(command, check=True, capture_output=True)
    return made


@dataclass
class Relay:
    """A running front. `received` is what clients sent, without the encryption."""

    address: str
    received: bytearray = field(default_factory=bytearray)


@asynccontextmanager
async def tls_relay(target: str, server: Certificate, *, clients: Path | None = None) -> AsyncIterator[Relay]:
    """Relay TLS connections to `target` (`host:port`).

    `clients` is the authority that must have signed a client's certificate; None asks for none.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=clients)
    context.load_cert_chain(server.certificate, server.key)
    context.set_alpn_protocols(["h2"])
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
