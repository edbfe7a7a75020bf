"""Our certificates: what clients see before and after they are read anew, and what is refused in clear words."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from sidecar.net.client_tls import ClientTls
from sidecar.net.listener import Listener
from tests.support.certificates import Authority, Certificate
from tests.support.waiting import eventually


class Echo(asyncio.Protocol):
    """Answers with what it is sent."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)  # type: ignore[attr-defined]


class Site:
    """A listener with TLS, and its files, which the test replaces."""

    def __init__(self, directory: Path, authority: Authority, *, client_ca: Path | None = None) -> None:
        first = authority.issue("first")
        self.files = Certificate(directory / "used.crt", directory / "used.key")
        self.files.replace(first)
        self.tls = ClientTls(self.files.cert, self.files.key, client_ca)
        self.listener = Listener(Echo, address="127.0.0.1:0", tls=self.tls)
        self.port = 0


class Client:
    """A connection made by asyncio's own TLS."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, port: int, context: ssl.SSLContext) -> Client:
        return cls(*await asyncio.open_connection("localhost", port, ssl=context))

    async def echo(self, data: bytes) -> bytes:
        self.writer.write(data)
        async with asyncio.timeout(5):
            return await self.reader.readexactly(len(data))

    @property
    def server(self) -> str:
        """The name in the certificate that the server showed."""
        subject = self.writer.get_extra_info("peercert")["subject"]
        return str(dict(pair for entry in subject for pair in entry)["commonName"])


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def site(tmp_path: Path, authority: Authority) -> AsyncIterator[Site]:
    made = Site(tmp_path, authority)
    made.port = await made.listener.open()
    yield made
    await made.listener.close()


@pytest.fixture
async def guarded(tmp_path: Path, authority: Authority) -> AsyncIterator[Site]:
    """A site that lets in only clients with a certificate of `authority`."""
    client_ca = tmp_path / "client_ca.pem"
    client_ca.write_bytes(authority.ca.read_bytes())
    made = Site(tmp_path, authority, client_ca=client_ca)
    made.port = await made.listener.open()
    yield made
    await made.listener.close()


async def refused(port: int, context: ssl.SSLContext) -> bool:
    """Whether the server does not serve a client. With TLS 1.3 it learns that only after its own handshake."""
    try:
        client = await Client.connect(port, context)
        await client.echo(b"hello")
    except (ssl.SSLError, ConnectionError, asyncio.IncompleteReadError):
        return True
    return False


async def test_a_new_certificate(site: Site, authority: Authority) -> None:
    """New connections get the new certificate, those that exist live on with the old one."""
    context = authority.client_context()
    old = await Client.connect(site.port, context)
    site.files.replace(authority.issue("second"))
    before = await Client.connect(site.port, context)
    site.tls.reload()
    new = await Client.connect(site.port, context)
    assert [client.server for client in (old, before, new)] == ["first", "first", "second"]
    for client in (old, before, new):
        assert await client.echo(b"x" * 100_000) == b"x" * 100_000


async def test_nobody_is_refused_meanwhile(site: Site, authority: Authority) -> None:
    """Clients that connect without a pause while certificates change all get one of them."""
    context = authority.client_context()
    second, names = authority.issue("second"), set()
    over = asyncio.Event()

    async def connect_on_and_on() -> None:
        while not over.is_set():
            client = await Client.connect(site.port, context)
            assert await client.echo(b"hello") == b"hello"
            names.add(client.server)
            client.writer.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(connect_on_and_on())
        for number in range(30):
            site.files.replace(second if number % 2 else authority.issue("third"))
            site.tls.reload()
            await asyncio.sleep(0)
        while names != {"second"}:
            names.clear()
            await (await Client.connect(site.port, context)).echo(b"on")
            await asyncio.sleep(0.05)
        over.set()


async def test_client_certificates(guarded: Site, tmp_path: Path, authority: Authority) -> None:
    """With a client authority only its certificates are let in: not none, and not those of another one."""
    stranger = Authority(tmp_path, "stranger").issue("somebody")
    client = await Client.connect(guarded.port, authority.client_context(authority.issue("agent")))
    assert await client.echo(b"hello") == b"hello"
    assert await refused(guarded.port, authority.client_context())
    assert await refused(guarded.port, authority.client_context(stranger))


async def test_a_new_client_authority(guarded: Site, tmp_path: Path, authority: Authority) -> None:
    """Another client authority replaces the first one; whoever is connected stays."""
    other = Authority(tmp_path, "other")
    ours, theirs = authority.issue("agent"), other.issue("agent")
    old = await Client.connect(guarded.port, authority.client_context(ours))
    (tmp_path / "client_ca.pem").write_bytes(other.ca.read_bytes())
    guarded.tls.reload()
    assert await refused(guarded.port, authority.client_context(ours))
    new = await Client.connect(guarded.port, authority.client_context(theirs))
    assert await new.echo(b"hello") == b"hello"
    assert await old.echo(b"hello") == b"hello"


async def test_a_client_that_sends_and_leaves(tmp_path: Path, authority: Authority) -> None:
    """Everything arrives from a client that closes without reading: there is nothing that it would have to read."""
    issued = authority.issue("server")
    received: list[int] = []

    class Count(asyncio.Protocol):
        size = 0

        def data_received(self, data: bytes) -> None:
            self.size += len(data)

        def connection_lost(self, exc: Exception | None) -> None:
            received.append(self.size)

    def send_and_leave(port: int) -> None:
        context = authority.client_context()
        with (
            socket.create_connection(("127.0.0.1", port)) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as client,
        ):
            client.sendall(b"x" * 200_000)

    listener = Listener(Count, address="127.0.0.1:0", tls=ClientTls(issued.cert, issued.key))
    port = await listener.open()
    for _ in range(20):
        await asyncio.to_thread(send_and_leave, port)
    await eventually(lambda: len(received) == 20)
    assert set(received) == {200_000}
    await listener.close()


async def test_old_versions(site: Site, authority: Authority) -> None:
    """TLS 1.1 is refused, 1.2 is not."""
    context = authority.client_context()
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    assert not await refused(site.port, context)
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = ssl.TLSVersion.TLSv1_1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    assert await refused(site.port, context)


def _write(path: Path, text: str) -> None:
    path.write_text(text)


def _replace_by_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


BROKEN: dict[str, tuple[Callable[[Site], object], str]] = {
    "no certificate": (lambda s: _write(s.files.cert, "nonsense"), "are not a certificate and its key in PEM format"),
    "no key": (lambda s: _write(s.files.key, ""), "are not a certificate and its key in PEM format"),
    "missing": (lambda s: s.files.cert.unlink(), "cannot read .*used.crt: No such file"),
    "a directory": (lambda s: _replace_by_directory(s.files.key), "cannot read .*used.key: Is a directory"),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_file(site: Site, authority: Authority, name: str) -> None:
    """A file that cannot be used is named, at a reload and at the start; a reload leaves the old one in place."""
    breaks, text = BROKEN[name]
    breaks(site)
    with pytest.raises(ValueError, match=text):
        site.tls.reload()
    with pytest.raises(ValueError, match=text):
        ClientTls(site.files.cert, site.files.key)
    client = await Client.connect(site.port, authority.client_context())
    assert (client.server, await client.echo(b"hello")) == ("first", b"hello")


async def test_a_key_of_another_certificate(site: Site, authority: Authority) -> None:
    """Half of a new pair is refused; when the other half has come too, it is taken."""
    second = authority.issue("second")
    site.files.cert.write_bytes(second.cert.read_bytes())
    with pytest.raises(ValueError, match=re.escape(f"{site.files.key} does not belong to the certificate")):
        site.tls.reload()
    assert (await Client.connect(site.port, authority.client_context())).server == "first"
    site.files.key.write_bytes(second.key.read_bytes())
    site.tls.reload()
    assert (await Client.connect(site.port, authority.client_context())).server == "second"


def test_a_key_with_a_passphrase(authority: Authority) -> None:
    """A key that needs a passphrase is refused, and nobody is asked for it on the terminal."""
    issued = authority.issue("locked")
    for locked in issued.locked_keys():
        with pytest.raises(ValueError, match="needs a passphrase"):
            ClientTls(issued.cert, locked)


async def test_a_broken_client_authority(guarded: Site, tmp_path: Path, authority: Authority) -> None:
    """A client authority that cannot be read is named, and the old one stays in force."""
    (tmp_path / "client_ca.pem").write_text("nonsense")
    with pytest.raises(ValueError, match=r"client_ca.pem holds no certificates in PEM format"):
        guarded.tls.reload()
    assert not await refused(guarded.port, authority.client_context(authority.issue("agent")))
    assert await refused(guarded.port, authority.client_context())
