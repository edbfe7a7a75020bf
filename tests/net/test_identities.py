"""As whom MEM commands run, asked of a real Redis with users of all kinds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import redis.asyncio

from sidecar.commands.table import COMMANDS
from sidecar.dev.ports import free_port
from sidecar.dev.servers import RedisServer
from sidecar.errors import NotIdentified, RedisRefused, ReplyableError, TooManyIdentities, Unavailable
from sidecar.memory.requests import Request
from sidecar.metrics import Metrics
from sidecar.net import identities as module
from sidecar.net.command_log import CommandLog
from sidecar.net.dialer import Dialer
from sidecar.net.endpoint import RedisEndpoint
from sidecar.net.identities import Identities, Identity
from sidecar.net.listener import Listener
from sidecar.net.multiplexer import Multiplexer
from sidecar.net.server import Server
from sidecar.resp.watched import Credentials
from sidecar.store.pipe import Pipe, Reply
from tests.support.addressing import addressing
from tests.support.children import StartRedis
from tests.support.waiting import DIAL_LIMIT_S, eventually

ANN = Credentials(b"ann", b"secret-ann")
BOB = Credentials(b"bob", b"secret-bob")
DEFAULT = Credentials(b"default", b"secret-default")
WRONG = Credentials(b"ann", b"secret-wrong")


@dataclass
class Answering:
    """Stands where the memory service does: answers at once, or when the test says so."""

    closed: list[Pipe]
    waiting: list[Callable[[object], None]] | None
    pipe: Pipe
    requests: list[Request] = field(default_factory=list)

    def execute(self, request: Request, done: Callable[[object], None]) -> None:
        self.requests.append(request)
        if self.waiting is None:
            done(7)
        else:
            self.waiting.append(done)

    def stop(self, request: Request) -> None:
        self.requests.remove(request)

    async def close(self) -> None:
        self.closed.append(self.pipe)


class People:
    """Identities in front of one Redis, and what tests ask of them."""

    def __init__(
        self, port: int, *, idle_s: float = 60.0, waiting: list[Callable[[object], None]] | None = None
    ) -> None:
        self.dialer = Dialer(RedisEndpoint("127.0.0.1", port), connect_timeout_s=DIAL_LIMIT_S)
        self.closed: list[Pipe] = []
        self.metrics = Metrics()
        self.identities = Identities(
            connect=self.dialer.connect,
            multiplexer=lambda credentials: Multiplexer(self.dialer.connect, credentials=credentials),
            service=lambda pipe: Answering(self.closed, waiting, pipe),
            idle_s=idle_s,
        )

    @asynccontextmanager
    async def served(self) -> AsyncIterator[int]:
        """Serve clients; the value is the port."""
        server = Server(
            dial=self.dialer.connect,
            commands=COMMANDS,
            resolve=addressing().resolve,
            identify=self.identities.identify,
            command_log=CommandLog(slow_ms=0),
            metrics=self.metrics,
        )
        listener = Listener(server.accept, address="127.0.0.1:0")
        yield await listener.open()
        await listener.close()
        await server.close(0.0)
        await self.identities.close(0.0)

    async def find(self, *candidates: Credentials | None, user: bytes | None = None) -> Identity | ReplyableError:
        """Identify a client that logged in with these, newest first."""
        found: list[Identity | ReplyableError] = []
        self.identities.identify(candidates, user, found.append)
        await eventually(lambda: found)
        (outcome,) = found
        return outcome

    async def name(self, *candidates: Credentials | None, user: bytes | None = None) -> object:
        """Identify a client and return the name that its commands have in Redis, or why there is none."""
        outcome = await self.find(*candidates, user=user)
        if isinstance(outcome, ReplyableError):
            return type(outcome)
        reply = await ask(outcome, "CLIENT", "LIST")
        outcome.release()
        if isinstance(reply, BaseException):
            return reply
        assert isinstance(reply, bytes)
        number = await ask(outcome, "CLIENT", "ID")
        assert isinstance(number, int)
        (own,) = (line for line in reply.decode().splitlines() if f"id={number} " in line)
        return own.split("user=")[1].split(" ")[0]


async def ask(identity: Identity, *command: str) -> Reply:
    replies: list[Reply] = []
    identity.multiplexer.call(command, replies.append, resend=True)
    await eventually(lambda: replies)
    return replies[0]


async def set_user(admin: redis.asyncio.Redis, name: str, *rules: str) -> None:
    await admin.execute_command("ACL", "SETUSER", name, *rules)  # type: ignore[no-untyped-call]


async def logins(admin: redis.asyncio.Redis) -> int:
    """Return how often AUTH was called."""
    return int((await admin.info("commandstats")).get("cmdstat_auth", {}).get("calls", 0))


@pytest.fixture
def server(start_redis: StartRedis) -> RedisServer:
    return start_redis()


@pytest.fixture
async def admin(server: RedisServer) -> AsyncIterator[redis.asyncio.Redis]:
    """A client of a Redis with two users, who may not ask for their names."""
    async with redis.asyncio.Redis.from_url(server.url) as admin:
        for who in (ANN, BOB):
            rules = ("reset", "on", f">{who.password.decode()}", "+@all", "-acl", "~*")
            await set_user(admin, who.user.decode(), *rules)
        yield admin


@pytest.fixture
async def people(server: RedisServer, admin: redis.asyncio.Redis) -> AsyncIterator[People]:
    people = People(server.port)
    yield people
    await people.identities.close(1.0)
    await people.dialer.close()


class TestWhoItIs:
    async def test_nobody(self, people: People) -> None:
        """Who never logged in is what a new connection is, without a question."""
        found: list[Identity | ReplyableError] = []
        people.identities.identify((None,), None, found.append)
        assert isinstance(found[0], Identity)
        assert await people.name(None) == "default"
        assert await people.name(None, user=b"default") == "default"

    async def test_a_user_whom_redis_names(self, people: People) -> None:
        """The credentials of the named user count, whatever the client tried before or after."""
        assert await people.name(ANN, None, user=b"ann") == "ann"
        assert await people.name(BOB, ANN, None, user=b"ann") == "ann"
        assert await people.name(WRONG, ANN, None, user=b"ann") == "ann"
        assert await people.name(ANN, None, user=b"default") == "default"

    @pytest.mark.parametrize("user", [b"bob", b"Ann", b"", b"default"])
    async def test_a_user_whose_password_was_not_shown(self, people: People, user: bytes) -> None:
        """Nobody becomes a user by being named: NOAUTH says who it is, and not with which password it was tried."""
        outcome = await people.find(ANN, user=user)
        assert isinstance(outcome, NotIdentified)
        assert f"user '{user.decode()}'" in str(outcome)
        assert "secret" not in outcome.reply()

    @pytest.mark.parametrize("candidates", [[], [WRONG], [WRONG, Credentials(b"nobody", b"secret")]])
    async def test_no_good_credentials(self, people: People, candidates: list[Credentials]) -> None:
        """Where no credentials are good there is no identity."""
        outcome = await people.find(*candidates)
        assert isinstance(outcome, NotIdentified)
        assert "secret" not in outcome.reply()

    async def test_a_user_whom_redis_does_not_name(self, people: People) -> None:
        """The newest credentials that Redis accepts count."""
        assert await people.name(BOB, ANN, None) == "bob"
        assert await people.name(WRONG, BOB, ANN, None) == "bob"

    async def test_changed_passwords(self, people: People, admin: redis.asyncio.Redis) -> None:
        """An old password is good for nothing, though a connection that it once opened still stands."""
        identity = await people.find(ANN, None)
        assert isinstance(identity, Identity)
        assert await ask(identity, "PING") == b"PONG", "it has not been opened"
        await set_user(admin, "ann", "resetpass", ">new")
        assert await ask(identity, "PING") == b"PONG", "it does not stand any more"
        assert await people.name(ANN) is NotIdentified
        assert await people.name(Credentials(b"ann", b"new"), ANN, None) == "ann"

    @pytest.mark.parametrize("rules", [["off"], ["resetpass"], ["resetkeys", "resetpass"]])
    async def test_no_login_is_no_way_out(self, people: People, admin: redis.asyncio.Redis, rules: list[str]) -> None:
        """A user whom Redis does not name, and whose password is no good any more, does not become the default user."""
        assert await people.name(None) == "default"
        await set_user(admin, "ann", *rules)
        assert await people.name(ANN, None) is NotIdentified

    async def test_an_old_anonymous_connection_proves_nothing(self, people: People, admin: redis.asyncio.Redis) -> None:
        """Once the default user has a password, "no login" is nobody, though our own old connection still works."""
        identity = await people.find(None)
        assert isinstance(identity, Identity)
        assert await ask(identity, "PING") == b"PONG"
        await set_user(admin, "default", ">secret", "-acl")
        assert await people.name(None, ANN) == "ann"
        assert await people.name(None, WRONG) is NotIdentified
        assert await ask(identity, "PING") == b"PONG"

    async def test_no_login_behind_a_failed_one(self, people: People, admin: redis.asyncio.Redis) -> None:
        """Where a new connection may not ask for its name either, it may be what the client is."""
        await set_user(admin, "default", "-acl")
        assert await people.name(WRONG, None) == "default"

    async def test_the_default_user(self, people: People, admin: redis.asyncio.Redis) -> None:
        """The default user has a password, has none, or is switched off, as on Redis."""
        assert await people.name(DEFAULT, None, user=b"default") == "default"
        assert len(people.identities) == 1, "a password that was not needed made another identity"
        await set_user(admin, "default", "resetpass", ">secret-default")
        assert await people.name(DEFAULT, None, user=b"default") == "default"
        assert len(people.identities) == 2
        await set_user(admin, "default", "off")
        assert await people.name(Credentials(b"default", b"x"), None) is NotIdentified


class TestWhenRedisDoesNotSay:
    async def test_too_many_clients(self, people: People, admin: redis.asyncio.Redis) -> None:
        """A Redis that is full makes nobody somebody else: the client is told to try again."""
        assert await people.name(None) == "default"
        await set_user(admin, "default", "-acl")
        connected = len(await admin.client_list())
        await admin.config_set("maxclients", connected)
        outcome = await people.find(ANN, None)
        assert isinstance(outcome, Unavailable)
        assert "max number of clients" in outcome.reply()
        await admin.config_set("maxclients", 100)
        assert await people.name(ANN, None) == "ann"

    async def test_it_is_gone(self) -> None:
        """Where Redis cannot be reached the client is told so, and not that its password is wrong."""
        people = People(free_port())
        outcome = await people.find(ANN, None)
        assert isinstance(outcome, Unavailable)
        assert "secret" not in outcome.reply()
        await people.identities.close(0.0)

    async def test_it_hangs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A Redis that accepts and says nothing is waited for no longer than a greeting may take."""
        monkeypatch.setattr(module, "GREETING_TIMEOUT_S", 0.05)  # the limit is two seconds otherwise
        silent = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        people = People(silent.sockets[0].getsockname()[1])
        assert isinstance(await people.find(ANN, None), Unavailable)
        await people.identities.close(0.0)
        silent.close()


class TestSharing:
    async def test_one_connection_for_one_user(self, people: People, admin: redis.asyncio.Redis) -> None:
        """Clients with the same credentials share one connection; others have their own."""
        found = [await people.find(who, None, user=who.user) for who in (ANN, BOB, ANN, ANN)]
        assert found[0] is found[2] is found[3]
        assert found[0] is not found[1]
        await eventually(lambda: all(isinstance(each, Identity) and each.multiplexer.connected for each in found))
        names = [each["user"] for each in await admin.client_list() if each["name"] == "memsidecar"]
        assert sorted(names) == ["ann", "bob"]

    async def test_a_known_user_is_not_asked_again(self, people: People, admin: redis.asyncio.Redis) -> None:
        """Where Redis has named the user, a connection with these very credentials is proof enough."""
        first = await people.find(ANN, None, user=b"ann")
        assert isinstance(first, Identity)
        await eventually(lambda: first.multiplexer.connected)
        before = await logins(admin)
        assert await people.find(ANN, None, user=b"ann") is first
        assert await logins(admin) == before
        assert await people.find(ANN, None) is first
        assert await logins(admin) == before + 1

    async def test_proofs_are_not_kept(self, people: People, admin: redis.asyncio.Redis) -> None:
        """A connection that proved a password is closed, whether it was good or not."""
        before = len(await admin.client_list())
        for _ in range(10):
            await people.find(WRONG, None)

        async def left() -> bool:
            return len(await admin.client_list()) <= before

        await eventually(left)

    async def test_the_same_password_of_two_users(self, people: People, admin: redis.asyncio.Redis) -> None:
        """Users are told apart by their names, whatever their passwords are."""
        await set_user(admin, "bob", "resetpass", ">secret-ann")
        twin = Credentials(b"bob", b"secret-ann")
        assert await people.name(ANN, twin, user=b"bob") == "bob"
        assert await people.name(twin, ANN, user=b"ann") == "ann"


class TestAccess:
    async def test_deluser(self, people: People, admin: redis.asyncio.Redis) -> None:
        """A deleted user's connection is taken away and not let in again; commands say so at once."""
        identity = await people.find(ANN, None, user=b"ann")
        assert isinstance(identity, Identity)
        assert await ask(identity, "PING") == b"PONG"
        await admin.acl_deluser("ann")

        async def refused() -> bool:
            reply = await ask(identity, "PING")
            return isinstance(reply, RedisRefused) and reply.line.startswith("WRONGPASS")

        await eventually(refused)
        assert await people.name(ANN, user=b"ann") is NotIdentified

    async def test_a_user_who_is_back(self, people: People, admin: redis.asyncio.Redis) -> None:
        """Who logs in anew after having been away is served, and not told why our own connection was refused before."""
        identity = await people.find(ANN, None, user=b"ann")
        assert isinstance(identity, Identity)
        assert await ask(identity, "PING") == b"PONG"
        await set_user(admin, "ann", "off")
        await admin.execute_command("CLIENT", "KILL", "USER", "ann")  # type: ignore[no-untyped-call]
        attempts = await logins(admin)

        async def tried() -> bool:
            return await logins(admin) >= attempts + 1

        await eventually(tried)
        await set_user(admin, "ann", "on")
        assert await people.find(ANN, None, user=b"ann") is identity
        assert await ask(identity, "PING") == b"PONG"


class TestEnds:
    async def test_unused(self, server: RedisServer, admin: redis.asyncio.Redis) -> None:
        """A connection ends a while after its last client; until then whoever comes gets it back."""
        people = People(server.port, idle_s=0.2)
        first = await people.find(ANN, None, user=b"ann")
        assert isinstance(first, Identity)
        second = await people.find(ANN, None, user=b"ann")
        assert second is first
        first.release()
        assert len(people.identities) == 1
        first.release()
        assert await people.find(ANN, None, user=b"ann") is first
        first.release()
        await eventually(lambda: len(people.identities) == 0)
        await eventually(lambda: first.running.done())
        assert people.closed == [first.multiplexer]
        again = await people.find(ANN, None, user=b"ann")
        assert again is not first
        await people.identities.close(0.0)

    async def test_the_limit(self, people: People, admin: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
        """Only so many users are served at a time; an unused connection makes room, one in use does not."""
        monkeypatch.setattr(module, "MAX_IDENTITIES", 2)  # a thousand users otherwise
        nobody, ann = await people.find(None), await people.find(ANN, None, user=b"ann")
        assert isinstance(nobody, Identity)
        assert isinstance(ann, Identity)
        assert isinstance(await people.find(BOB, None, user=b"bob"), TooManyIdentities)
        assert await people.find(ANN, None, user=b"ann") is ann
        nobody.release()
        bob = await people.find(BOB, None, user=b"bob")
        assert isinstance(bob, Identity)
        await eventually(lambda: people.closed == [nobody.multiplexer])
        assert isinstance(await people.find(None), TooManyIdentities)
        assert len(people.identities) == 2

    async def test_all_end(self, server: RedisServer, admin: redis.asyncio.Redis) -> None:
        """At the end every connection is closed after its last reply, in use or not, and nothing runs on."""
        people = People(server.port)
        found = [await people.find(who, None, user=who.user) for who in (ANN, BOB)]
        replies: list[Reply] = []
        for identity in found:
            assert isinstance(identity, Identity)
            await eventually(lambda identity=identity: identity.multiplexer.connected)  # type: ignore[misc]
            identity.multiplexer.call(("PING",), replies.append, resend=True)
        await people.identities.close(5.0)
        assert replies == [b"PONG", b"PONG"]
        assert all(isinstance(each, Identity) and each.running.done() for each in found)
        assert len(people.identities) == 0
        for identity in found:
            assert isinstance(identity, Identity)
            identity.release()  # its client goes afterwards

    async def test_clients_that_vanish(self, server: RedisServer, admin: redis.asyncio.Redis) -> None:
        """Every client gives its identity back, whatever it was doing when it went: nothing is kept for nobody."""
        people = People(server.port, idle_s=0.05)
        async with people.served() as port:
            names = ("ann", "bob")
            lines = [f"AUTH {name} secret-{name}\r\nMEMCLEAR m\r\n".encode() for name in names]
            for number in range(60):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"".join(lines) * 3)
                await reader.read(number)  # how far it gets: from nothing to a reply or two
                if number % 2:
                    writer.transport.abort()
                else:
                    writer.close()
            await eventually(lambda: len(people.closed) >= 2)
            await eventually(lambda: len(people.identities) == 0)

    async def test_a_client_that_leaves_commands_behind(self, server: RedisServer, admin: redis.asyncio.Redis) -> None:
        """What waits for another command runs although both its connections are gone, and gives its identity back."""
        waiting: list[Callable[[object], None]] = []
        people = People(server.port, idle_s=0.05, waiting=waiting)
        async with people.served() as port:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"MEMCLEAR m\r\n" * 3)
            await eventually(lambda: waiting)
            await admin.client_kill_filter(_type="normal", skipme=True)
            writer.transport.abort()

            await eventually(lambda: people.metrics.clients == 0)
            for number in range(3):
                await eventually(lambda number=number: len(waiting) == number + 1)  # type: ignore[misc]
                waiting[number](0)
            await eventually(lambda: len(people.identities) == 0)

    async def test_it_ends_while_somebody_is_identified(self) -> None:
        """A question that is under way does not hold up the end."""
        silent = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        people = People(silent.sockets[0].getsockname()[1])
        found: list[object] = []
        people.identities.identify((ANN, None), None, found.append)
        await asyncio.sleep(0)
        async with asyncio.timeout(5):
            await people.identities.close(0.0)
        assert found == []
        silent.close()


def test_no_password_is_shown() -> None:
    """No representation of what is passed around here has a password in it."""
    assert repr((ANN, DEFAULT)) == "(Credentials(user=b'ann'), Credentials(user=b'default'))"
