"""Opening a connection to a real Redis as somebody, and to servers that refuse or say nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import redis.asyncio

from sidecar.dev.ports import free_port
from sidecar.dev.servers import RedisServer
from sidecar.errors import RedisRefused
from sidecar.net import greeting
from sidecar.net.dialer import Dialer
from sidecar.net.endpoint import RedisEndpoint
from sidecar.net.greeting import is_passing, open_link
from sidecar.net.link import Link
from sidecar.resp.watched import Credentials

ANN = Credentials(b"ann", b"secret")


async def opened(port: int, credentials: Credentials | None = None, database: int = 0) -> Link:
    return await open_link(Dialer(RedisEndpoint("127.0.0.1", port)).connect, credentials, database)


@pytest.fixture
async def port(redis_server: RedisServer, redis_client: redis.asyncio.Redis) -> AsyncIterator[int]:
    """The shared Redis, with a user who may do next to nothing."""
    await redis_client.execute_command("ACL", "SETUSER", "ann", "reset", "on", ">secret", "+echo", "+select")  # type: ignore[no-untyped-call]
    yield redis_server.port
    await redis_client.acl_deluser("ann")


async def test_as_whom_and_where(port: int) -> None:
    """A user who lacks PING and CLIENT, and can do without, is let in and has what it may."""
    link = await opened(port, ANN, 5)
    assert await link.ask("ECHO", "here") == b"here"
    link.close()


async def test_its_name_and_database(port: int) -> None:
    """The connection has a name in CLIENT LIST, and is in the database that was asked for."""
    link = await opened(port, database=5)
    assert await link.ask("CLIENT", "GETNAME") == b"memsidecar"
    listed = await link.ask("CLIENT", "LIST")
    assert isinstance(listed, bytes)
    (mine,) = [line for line in listed.splitlines() if b" name=memsidecar " in line and b" cmd=client" in line]
    assert b" db=5 " in mine
    link.close()


async def test_a_database_that_is_not_there(port: int) -> None:
    """What Redis says against the database is raised."""
    with pytest.raises(RedisRefused, match="DB index is out of range"):
        await opened(port, database=9_999)


async def test_wrong_credentials(port: int) -> None:
    """A wrong password is Redis's refusal, which stands."""
    with pytest.raises(RedisRefused, match=r"^WRONGPASS") as caught:
        await opened(port, Credentials(b"ann", b"no"))
    assert not is_passing(caught.value)


async def test_nobody_there() -> None:
    """Where nobody listens it is the system's error."""
    with pytest.raises(OSError, match="refused"):
        await opened(free_port())


async def test_it_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Redis that accepts and does not answer is given up after the limit, and its connection closed."""
    monkeypatch.setattr(greeting, "GREETING_TIMEOUT_S", 0.05)  # the limit is two seconds otherwise
    ended = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        ended.set()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        with pytest.raises(TimeoutError):
            await opened(server.sockets[0].getsockname()[1])
        async with asyncio.timeout(10):
            await ended.wait()


@pytest.mark.parametrize(
    ("line", "passing"),
    [
        ("LOADING Redis is loading the dataset in memory", True),
        ("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", True),
        ("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.", True),
        ("ERR max number of clients reached", True),
        ("ERR DB index is out of range", False),
        ("NOAUTH Authentication required.", False),
        ("WRONGPASS invalid username-password pair or user is disabled.", False),
    ],
)
def test_which_refusals_end_by_themselves(line: str, passing: bool) -> None:
    """Those of a Redis that is loading, without its master, busy or full; what is said against a user stands."""
    assert is_passing(RedisRefused(line)) is passing
