"""One connection of our own to Redis: to a real one, and to servers that end it, or refuse it at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import redis.asyncio

from sidecar.dev.servers import RedisServer
from sidecar.errors import RedisRefused
from sidecar.net.dialer import Dialer
from sidecar.net.endpoint import RedisEndpoint
from sidecar.net.link import Link
from sidecar.resp.watched import Credentials
from sidecar.resp.wire import pack
from sidecar.store.pipe import Reply
from tests.support.waiting import DIAL_LIMIT_S, eventually

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Owner:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.losses: list[str] = []

    def replied(self, reply: Reply) -> None:
        self.replies.append(reply)

    def lost(self, why: str) -> None:
        self.losses.append(why)


async def to(port: int) -> Link:
    return await Dialer(RedisEndpoint("127.0.0.1", port), connect_timeout_s=DIAL_LIMIT_S).connect(Link)


@asynccontextmanager
async def server(serve: Serve) -> AsyncIterator[int]:
    """Run a server whose connections are served by `serve`, and closed after it; the value is its port."""

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await serve(reader, writer)
        writer.close()

    listening = await asyncio.start_server(once, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1]


async def set_user(admin: redis.asyncio.Redis, name: str, *rules: str) -> None:
    await admin.execute_command("ACL", "SETUSER", name, *rules)  # type: ignore[no-untyped-call]


@pytest.fixture
async def link(redis_server: RedisServer) -> AsyncIterator[Link]:
    link = await to(redis_server.port)
    yield link
    link.abort()


class TestAsk:
    async def test_replies_and_errors(self, link: Link) -> None:
        """A reply is what hiredis makes of it; an error of Redis comes back and is not raised."""
        assert await link.ask("ECHO", b"\0\r\n") == b"\0\r\n"
        assert await link.ask("DEL", "no such key") == 0
        refused = await link.ask("NO-SUCH-COMMAND")
        assert isinstance(refused, RedisRefused)
        assert refused.line.startswith("ERR unknown command")

    @pytest.mark.parametrize("asked_first", [False, True])
    async def test_a_refusal_at_once(self, asked_first: bool) -> None:
        """What Redis says before it hangs up is the answer, whether it comes before the first question or after."""

        async def full(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if asked_first:
                await reader.read(1)
            writer.write(b"-ERR max number of clients reached\r\n")

        async with server(full) as port:
            link = await to(port)
            if not asked_first:
                await eventually(lambda: link.ended)
            for _ in range(2 - asked_first):
                answer = await link.ask("PING")
                assert isinstance(answer, RedisRefused)
                assert answer.line == "ERR max number of clients reached"

    async def test_the_connection_ends(self) -> None:
        """Who waits for a reply is told that the connection broke, and so is who asks afterwards."""

        async def hang_up(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            await reader.read(1)

        async with server(hang_up) as port:
            link = await to(port)
            for _ in range(2):
                with pytest.raises(ConnectionError, match="it closed the connection"):
                    await link.ask("PING")


class TestLogIn:
    @pytest.fixture(autouse=True)
    async def users(self, redis_client: redis.asyncio.Redis) -> AsyncIterator[None]:
        await set_user(redis_client, "ann", "reset", "on", ">secret ü", "+@all", "~*")
        yield
        await redis_client.acl_deluser("ann")
        await set_user(redis_client, "default", "nopass")

    async def test_nobody(self, link: Link) -> None:
        """No login stays what a new connection is, and asks Redis nothing."""
        await link.log_in(None)
        assert await link.ask("ACL", "WHOAMI") == b"default"

    async def test_a_user(self, link: Link) -> None:
        """A name and a password of any bytes make the connection that user."""
        await link.log_in(Credentials(b"ann", "secret ü".encode()))
        assert await link.ask("ACL", "WHOAMI") == b"ann"

    @pytest.mark.parametrize("credentials", [Credentials(b"ann", b"no"), Credentials(b"nobody", b"no")])
    async def test_wrong_credentials(self, link: Link, credentials: Credentials) -> None:
        """Redis's refusal is raised as it is, and names no password."""
        with pytest.raises(RedisRefused, match=r"^WRONGPASS ") as caught:
            await link.log_in(credentials)
        assert "secret" not in str(caught.value)

    async def test_the_default_user(self, link: Link, redis_client: redis.asyncio.Redis) -> None:
        """The default user logs in by the password alone; where it has none, no password is good."""
        with pytest.raises(RedisRefused, match="without any password"):
            await link.log_in(Credentials(b"default", b"anything"))
        await set_user(redis_client, "default", "resetpass", ">word")
        await link.log_in(Credentials(b"default", b"word"))
        with pytest.raises(RedisRefused, match=r"^WRONGPASS "):
            await link.log_in(Credentials(b"default", b"anything"))


class TestOwner:
    async def test_it_gets_the_replies(self, link: Link) -> None:
        """From `serve` on replies go to the owner in the order of the commands."""
        owner = Owner()
        await link.ask("PING")
        link.serve(owner)
        link.write([pack(("ECHO", number)) for number in range(100)])
        await eventually(lambda: len(owner.replies) == 100)
        assert owner.replies == [b"%d" % number for number in range(100)]

    async def test_nothing_of_before_is_its(self) -> None:
        """What Redis says before anybody asked is never taken for the reply to a command."""

        async def full(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"-ERR max number of clients reached\r\n")

        owner = Owner()
        async with server(full) as port:
            link = await to(port)
            await eventually(lambda: link.ended)
            with pytest.raises(ConnectionError, match="it closed the connection"):
                link.serve(owner)
        assert (owner.replies, owner.losses) == ([], [])

    async def test_it_is_told_of_the_end(self, link: Link, redis_client: redis.asyncio.Redis) -> None:
        """A connection that breaks is reported once; nothing can be written afterwards."""
        owner = Owner()
        number = await link.ask("CLIENT", "ID")
        link.serve(owner)
        await redis_client.client_kill_filter(_id=str(number))
        await eventually(lambda: owner.losses)
        with pytest.raises(ConnectionError):
            link.write([pack(("PING",))])
        assert owner.losses == ["it closed the connection"]

    @pytest.mark.parametrize("end", [Link.abort, Link.close])
    async def test_an_end_of_its_own_is_no_news(self, link: Link, end: Callable[[Link], None]) -> None:
        """Who ends the connection is told nothing, and gets no reply that was under way."""
        owner = Owner()
        link.serve(owner)
        link.write([pack(("PING",))])
        end(link)
        await eventually(lambda: link.ended)
        assert (owner.replies, owner.losses) == ([], [])
