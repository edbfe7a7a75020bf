"""TLS as a transport, against Python's own TLS at the other end: what TCP's transports do, it does too."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest

from sidecar.net.client_tls import ClientTls
from sidecar.net.tls_stream import TlsStream
from tests.support.certificates import Authority
from tests.support.waiting import eventually

MEGABYTE = 1024 * 1024


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def tls(authority: Authority) -> ClientTls:
    issued = authority.issue("server")
    return ClientTls(issued.cert, issued.key, handshake_timeout_s=0.3)


class End(asyncio.Protocol):
    """Our end: records what it is told, and echoes if asked to."""

    def __init__(self, echo: bool = False) -> None:
        self.echo = echo
        self.received = bytearray()
        self.ended = 0
        self.lost = 0
        self.writable = True
        self.stream: TlsStream

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, TlsStream)
        self.stream = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        if self.echo:
            self.stream.write(data)

    def eof_received(self) -> bool:
        self.ended += 1
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost += 1

    def pause_writing(self) -> None:
        self.writable = False

    def resume_writing(self) -> None:
        self.writable = True


class Ends:
    """A server whose connections are `End`s; `made` are those whose handshake is done."""

    def __init__(self) -> None:
        self.made: list[End] = []
        self.echo = False
        self.port = 0

    def make(self) -> End:
        self.made.append(End(self.echo))
        return self.made[-1]

    async def only(self) -> End:
        await eventually(lambda: self.made)
        return self.made[-1]


@pytest.fixture
async def ends(tls: ClientTls) -> AsyncIterator[Ends]:
    made = Ends()
    server = await asyncio.get_running_loop().create_server(tls.protect(made.make), "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()
    for end in made.made:
        end.stream.abort()


class Peer:
    """The other end: an `ssl.SSLObject` on a plain connection, so that each half can be ended by itself."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, context: ssl.SSLContext) -> None:
        self.reader = reader
        self.writer = writer
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")

    @classmethod
    async def connect(cls, port: int, context: ssl.SSLContext, *, first: bytes = b"") -> Peer:
        """Connect; `first` leaves in one packet with the last message of the handshake."""
        peer = cls(*await asyncio.open_connection("127.0.0.1", port), context)
        while True:
            try:
                peer.tls.do_handshake()
            except ssl.SSLWantReadError:
                peer.send()
                peer.incoming.write(await peer.reader.read(65_536))
            else:
                break
        if first:
            peer.tls.write(first)
        peer.send()
        return peer

    def send(self, data: bytes = b"") -> None:
        while data:
            data = data[self.tls.write(data) :]
        self.writer.write(self.outgoing.read())

    def end_half(self) -> None:
        with pytest.raises(ssl.SSLWantReadError):
            self.tls.unwrap()
        self.send()

    async def receive(self, size: int) -> bytes:
        """Return `size` bytes, or fewer and then the end with close_notify."""
        received = bytearray()
        async with asyncio.timeout(20):
            while len(received) < size:
                try:
                    data = self.tls.read(size)
                    if not data:
                        break
                    received += data
                except ssl.SSLZeroReturnError:
                    break
                except ssl.SSLWantReadError:
                    cipher = await self.reader.read(65_536)
                    assert cipher, "the connection ended without close_notify"
                    self.incoming.write(cipher)
        return bytes(received)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_large_values(ends: Ends, authority: Authority, version: ssl.TLSVersion) -> None:
    """Eight megabytes come back as they went, in both versions of TLS."""
    ends.echo = True
    context = authority.client_context()
    context.maximum_version = version
    reader, writer = await asyncio.open_connection("localhost", ends.port, ssl=context)
    value = os.urandom(8 * MEGABYTE)
    writer.write(value)
    async with asyncio.timeout(20):
        assert await reader.readexactly(len(value)) == value
    assert (await ends.only()).stream.get_extra_info("cipher")[1] == version.name.replace("_", ".")
    writer.close()
    await eventually(lambda: ends.made[0].ended == 1)


async def test_small_writes(ends: Ends, authority: Authority) -> None:
    """Ten thousand small pieces stay whole and in order, whatever records they come in."""
    ends.echo = True
    peer = await Peer.connect(ends.port, authority.client_context())
    sent = b"".join(b"%d," % number for number in range(10_000))
    for start in range(0, len(sent), 7):
        peer.send(sent[start : start + 7])
    assert await peer.receive(len(sent)) == sent


async def test_data_with_the_handshake(ends: Ends, authority: Authority) -> None:
    """What comes in one packet with the end of the handshake is received."""
    ends.echo = True
    for _ in range(20):
        peer = await Peer.connect(ends.port, authority.client_context(), first=b"early")
        assert await peer.receive(5) == b"early"
        peer.writer.close()


async def test_the_peer_ends_its_half(ends: Ends, authority: Authority) -> None:
    """After the peer's close_notify it is still written to, and our own close_notify is the end."""
    peer = await Peer.connect(ends.port, authority.client_context())
    peer.send(b"question")
    peer.end_half()
    end = await ends.only()
    await eventually(lambda: end.ended == 1)
    assert end.received == b"question"
    end.stream.write(b"x" * MEGABYTE)
    end.stream.close()
    assert await peer.receive(2 * MEGABYTE) == b"x" * MEGABYTE
    await eventually(lambda: end.lost == 1)


async def test_the_peer_ends_without_close_notify(ends: Ends, authority: Authority) -> None:
    """A stream that just ends counts as ended, once, and what came before it is received."""
    peer = await Peer.connect(ends.port, authority.client_context())
    peer.send(b"question")
    peer.writer.write_eof()
    end = await ends.only()
    await eventually(lambda: end.ended == 1)
    assert end.received == b"question"
    end.stream.write(b"answer")
    assert await peer.receive(6) == b"answer"
    assert (end.ended, end.lost) == (1, 0)


async def test_a_protocol_that_does_not_stay(tls: ClientTls, authority: Authority) -> None:
    """Where the protocol does not want to go on after the peer's end, the connection is closed."""

    class Short(End):
        def eof_received(self) -> bool:
            super().eof_received()
            return False

    short = Short()
    server = await asyncio.get_running_loop().create_server(tls.protect(lambda: short), "127.0.0.1", 0)
    peer = await Peer.connect(server.sockets[0].getsockname()[1], authority.client_context())
    peer.end_half()
    assert await peer.receive(1) == b""
    await eventually(lambda: short.lost == 1)
    server.close()


async def test_we_end_our_half(ends: Ends, authority: Authority) -> None:
    """After our close_notify nothing more is sent, and everything that the peer still sends is received."""
    peer = await Peer.connect(ends.port, authority.client_context())
    end = await ends.only()
    end.stream.write(b"question")
    end.stream.write_eof()
    end.stream.write(b"too late")
    end.stream.write_eof()
    assert await peer.receive(100) == b"question"
    peer.send(b"x" * MEGABYTE)
    await eventually(lambda: len(end.received) == MEGABYTE)
    assert end.stream.can_write_eof()
    assert not end.stream.is_closing()
    peer.writer.close()
    await eventually(lambda: end.ended == 1)


async def test_we_end_our_half_with_data_unread(tls: ClientTls, authority: Authority) -> None:
    """Ending our half while received data waits to be read loses none of it."""

    class Patient(End):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.stream.pause_reading()

    patient = Patient()
    server = await asyncio.get_running_loop().create_server(tls.protect(lambda: patient), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    peer = await Peer.connect(port, authority.client_context(), first=b"early")
    await eventually(lambda: hasattr(patient, "stream"))
    patient.stream.write_eof()
    assert await peer.receive(1) == b""
    patient.stream.resume_reading()
    peer.send(b" and late")
    await eventually(lambda: patient.received == b"early and late")
    patient.stream.abort()
    server.close()


async def test_reading_pauses(ends: Ends, authority: Authority) -> None:
    """While reading is paused nothing is received and the peer gets stuck; later all of it comes."""
    peer = await Peer.connect(ends.port, authority.client_context())
    end = await ends.only()
    end.stream.pause_reading()
    assert not end.stream.is_reading()
    peer.send(b"x" * 32 * MEGABYTE)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await peer.writer.drain()
    assert end.received == b""
    end.stream.resume_reading()
    assert end.stream.is_reading()
    await eventually(lambda: len(end.received) == 32 * MEGABYTE)


async def test_pausing_in_the_middle_of_a_read(tls: ClientTls, authority: Authority) -> None:
    """A protocol that pauses with each piece gets the next one only after it resumes, and loses none."""

    class Careful(End):
        pieces = 0

        def data_received(self, data: bytes) -> None:
            assert self.stream.is_reading()
            super().data_received(data)
            self.pieces += 1
            self.stream.pause_reading()
            asyncio.get_running_loop().call_soon(self.stream.resume_reading)

    careful = Careful()
    server = await asyncio.get_running_loop().create_server(tls.protect(lambda: careful), "127.0.0.1", 0)
    peer = await Peer.connect(server.sockets[0].getsockname()[1], authority.client_context())
    peer.send(b"x" * 8 * MEGABYTE)
    peer.end_half()
    await eventually(lambda: careful.ended == 1)
    assert len(careful.received) == 8 * MEGABYTE
    assert careful.pieces > 8
    careful.stream.abort()
    server.close()


async def test_writing_pauses(ends: Ends, authority: Authority) -> None:
    """A peer that does not read makes the buffer fill up to its mark; when it reads, the protocol may go on."""
    peer = await Peer.connect(ends.port, authority.client_context())
    end = await ends.only()
    end.stream.set_write_buffer_limits(high=MEGABYTE)
    sent = 0
    while end.writable:
        end.stream.write(b"x" * MEGABYTE)
        sent += MEGABYTE
        await asyncio.sleep(0)
        assert sent < 512 * MEGABYTE
    assert end.stream.get_write_buffer_size() > MEGABYTE
    assert await peer.receive(sent) == b"x" * sent
    await eventually(lambda: end.writable)


async def test_closing(ends: Ends, authority: Authority) -> None:
    """Closing sends what is buffered and says goodbye; later writes vanish; the protocol is told once."""
    peer = await Peer.connect(ends.port, authority.client_context())
    end = await ends.only()
    end.stream.writelines([b"good", b"bye" * MEGABYTE])
    end.stream.close()
    assert end.stream.is_closing()
    end.stream.close()
    end.stream.write(b"late")
    assert len(await peer.receive(4 * MEGABYTE)) == 3 * MEGABYTE + 4
    await eventually(lambda: end.lost)
    end.stream.abort()
    assert (end.lost, end.ended) == (1, 0)


async def test_aborting(ends: Ends, authority: Authority) -> None:
    """Aborting ends the connection though the peer reads nothing of what is buffered."""
    await Peer.connect(ends.port, authority.client_context())
    end = await ends.only()
    end.stream.write(b"x" * 64 * MEGABYTE)
    end.stream.abort()
    await eventually(lambda: end.lost == 1)


async def test_damaged_data(ends: Ends, authority: Authority) -> None:
    """Bytes that are no TLS end the connection; what came before them is received, what comes after is not."""
    peer = await Peer.connect(ends.port, authority.client_context())
    peer.send(b"before")
    peer.writer.write(b"\x17\x03\x03\x00\x20" + b"?" * 32)
    peer.send(b"after")
    end = await ends.only()
    await eventually(lambda: end.lost == 1)
    assert (bytes(end.received), end.ended) == (b"before", 0)


async def _nothing(_writer: asyncio.StreamWriter) -> None:
    """Send nothing at all."""


async def _plain(writer: asyncio.StreamWriter) -> None:
    writer.write(b"PING\r\nPING\r\n")


async def _half_a_greeting(writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x16\x03\x01\x02\x00\x01")


async def _leave(writer: asyncio.StreamWriter) -> None:
    writer.write_eof()


@pytest.mark.parametrize("behave", [_nothing, _plain, _half_a_greeting, _leave])
async def test_no_handshake(ends: Ends, behave: Callable[[asyncio.StreamWriter], Awaitable[None]]) -> None:
    """Who does not complete the handshake is closed in time, and is never anybody's client."""
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context))
    reader, writer = await asyncio.open_connection("127.0.0.1", ends.port)
    await behave(writer)
    async with asyncio.timeout(5):
        # An alert at most; the rest of what a plain client sent may make the end a reset.
        with suppress(ConnectionResetError):
            assert len(await reader.read()) <= 7
    writer.close()
    assert (ends.made, complaints) == ([], [])


async def test_a_stuck_handshake_stops_nobody(ends: Ends, authority: Authority) -> None:
    """While some never finish their handshake, others connect and work."""
    ends.echo = True
    stuck = [await asyncio.open_connection("127.0.0.1", ends.port) for _ in range(50)]
    peer = await Peer.connect(ends.port, authority.client_context())
    peer.send(b"ping")
    assert await peer.receive(4) == b"ping"
    assert len(ends.made) == 1
    for _, writer in stuck:
        writer.close()


async def test_what_is_known_of_the_connection(ends: Ends, authority: Authority) -> None:
    """The connection tells about its TLS and about its socket."""
    await Peer.connect(ends.port, authority.client_context())
    end = await ends.only()
    assert isinstance(end.stream.get_extra_info("ssl_object"), ssl.SSLObject)
    assert end.stream.get_extra_info("peercert") is None
    assert end.stream.get_extra_info("sockname")[1] == ends.port
    assert end.stream.get_extra_info("unheard-of", 7) == 7
    assert end.stream.get_protocol() is end
    other = End()
    other.stream = end.stream
    end.stream.set_protocol(other)
    end.stream.abort()
    await eventually(lambda: other.lost == 1)
    assert end.lost == 0


async def test_no_delay(ends: Ends, authority: Authority) -> None:
    """Nodelay holds for TLS connections too: uvloop sets it on every TCP connection."""
    await Peer.connect(ends.port, authority.client_context())
    raw = (await ends.only()).stream.get_extra_info("socket")
    with socket.socket(fileno=os.dup(raw.fileno())) as accepted:
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
