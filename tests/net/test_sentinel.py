"""Finding the master: which Sentinel is asked, what is believed, and for how long."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sidecar.dev.ports import LOOPBACK, free_port
from sidecar.dev.servers import RedisServer
from sidecar.net import sentinel
from sidecar.net.endpoint import Address
from sidecar.net.redis_tls import RedisTls
from sidecar.net.role import role_of
from sidecar.net.sentinel import SENTINEL_LIMIT_S, MasterSearch, Sentinels
from tests.net.securing import listening
from tests.support.certificates import Authority
from tests.support.children import Children, freeze
from tests.support.sentinels import MASTER, SentinelServer, StartSentinels
from tests.support.tls_relay import tls_relay
from tests.support.waiting import eventually


@pytest.fixture
def start(children: Children, tmp_path: Path, redis_program: Path) -> StartSentinels:
    return StartSentinels(children, tmp_path, redis_program)


def at(server: RedisServer | SentinelServer) -> Address:
    return Address(LOOPBACK, server.port)


@asynccontextmanager
async def asking(
    *addresses: Address, tls: RedisTls | None = None, username: str | None = None, password: str | None = None
) -> AsyncIterator[Sentinels]:
    sentinels = Sentinels(addresses, MASTER, tls=tls, username=username, password=password)
    try:
        yield sentinels
    finally:
        await sentinels.close()


async def test_the_first_that_knows(start: StartSentinels) -> None:
    """A Sentinel that is gone or watches other masters is passed over, and no longer asked first."""
    knows, other = start.one({MASTER: 7001}), start.one({"another": 7002})
    gone = Address(LOOPBACK, free_port())
    async with asking(gone, at(other), at(knows)) as sentinels:
        assert await sentinels.named() == Address(LOOPBACK, 7001)
        knows.kill()
        with pytest.raises(ConnectionError) as problem:
            await sentinels.named()
        reasons = str(problem.value).removeprefix("no Sentinel names a master: ").split("; ")
        asked = (at(knows), gone, at(other))  # in this order: the one that answered last comes first
        assert all(reason.startswith(f"{one}: ") for reason, one in zip(reasons, asked, strict=True))


async def test_nobody_knows(start: StartSentinels) -> None:
    """The text says for each Sentinel why it named no master, and no password."""
    other = start.one({"another": 7002})
    locked = start.one({MASTER: 7001}, password="secret")
    gone = Address(LOOPBACK, free_port())
    async with asking(gone, at(other), at(locked)) as sentinels:
        with pytest.raises(ConnectionError) as problem:
            await sentinels.named()
    assert str(problem.value) == (
        f"no Sentinel names a master: {gone}: Connection refused; "
        f"{at(other)}: it knows no master '{MASTER}'; {at(locked)}: Authentication required."
    )
    async with asking(at(locked), password="cret") as sentinels:
        with pytest.raises(ConnectionError, match=f"{at(locked)}: .*password") as problem:
            await sentinels.named()
    assert "cret" not in str(problem.value)


@pytest.mark.parametrize("username", [None, "default"])
async def test_a_password(start: StartSentinels, username: str | None) -> None:
    """With their password, Sentinels that ask for one answer."""
    locked = start.one({MASTER: 7001}, password="secret")
    async with asking(at(locked), username=username, password="secret") as sentinels:
        assert await sentinels.named() == Address(LOOPBACK, 7001)


async def test_a_sentinel_that_hangs(start: StartSentinels) -> None:
    """One that does not answer costs its limit once; then another is asked first."""
    knows, hangs = start.one({MASTER: 7001}), start.one({MASTER: 7002})
    loop = asyncio.get_running_loop()
    await freeze(hangs.pid)
    async with asking(at(hangs), at(knows)) as sentinels:
        for longest in (SENTINEL_LIMIT_S * 3, SENTINEL_LIMIT_S / 2):
            began = loop.time()
            assert await sentinels.named() == Address(LOOPBACK, 7001)
            assert loop.time() - began < longest
    hangs.kill()  # it would not stop politely


async def test_a_sentinel_that_comes_back(start: StartSentinels) -> None:
    """A connection that broke is no reason to give a Sentinel up."""
    only = start.one({MASTER: 7001})
    async with asking(at(only)) as sentinels:
        await sentinels.named()
        only.kill()
        with pytest.raises(ConnectionError, match=str(at(only))):
            await sentinels.named()
        only.start()
        assert await sentinels.named() == Address(LOOPBACK, 7001)


async def test_tls(start: StartSentinels, tmp_path: Path) -> None:
    """Sentinels are verified too; one that speaks plain text, or is not who it should be, is not asked."""
    authority = Authority(tmp_path)
    only = start.one({MASTER: 7001}, password="secret")
    tls = RedisTls(ca=authority.ca)
    async with tls_relay(only.address, authority.issue("redis")) as relay:
        async with asking(Address(LOOPBACK, relay.port), tls=tls, password="secret") as sentinels:
            assert await sentinels.named() == Address(LOOPBACK, 7001)
        relay.received.clear()
        async with asking(Address(LOOPBACK, relay.port), tls=RedisTls(), password="secret") as sentinels:
            with pytest.raises(ConnectionError, match="its certificate is refused"):
                await sentinels.named()
        assert not relay.received
    async with listening(b"-ERR what?\r\n") as plain:
        async with asking(Address(LOOPBACK, plain.port), tls=tls, password="secret") as sentinels:
            with pytest.raises(ConnectionError, match="it does not speak TLS"):
                await sentinels.named()
        assert plain.received.startswith(b"\x16\x03\x01")
        assert b"secret" not in plain.received


class CountedSentinels(Sentinels):
    """Counts how often they are asked."""

    asked = 0

    async def named(self) -> Address:
        self.asked += 1
        return await super().named()


class CountedRoles:
    """Asks for roles, counts how often, and may be held up before it does."""

    def __init__(self) -> None:
        self.asked = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def __call__(self, address: Address) -> str | None:
        self.asked += 1
        await self.may_answer.wait()
        return await role_of(address)


@asynccontextmanager
async def searching(*servers: SentinelServer) -> AsyncIterator[tuple[MasterSearch, CountedSentinels, CountedRoles]]:
    sentinels, roles = CountedSentinels([at(one) for one in servers], MASTER), CountedRoles()
    search = MasterSearch(sentinels, roles)
    try:
        yield search, sentinels, roles
    finally:
        await search.close()


async def test_a_storm(redis_server: RedisServer, start: StartSentinels) -> None:
    """Dials at the same time share one search; dials one after the other ask a Sentinel each, and for one role."""
    async with searching(start.one({MASTER: redis_server.port})) as (search, sentinels, roles):
        assert set(await asyncio.gather(*(search.address() for _ in range(100)))) == {at(redis_server)}
        assert sentinels.asked == 1
        for _ in range(5):
            await search.address()
        assert sentinels.asked == 6
        assert roles.asked == 1


async def test_a_storm_without_a_master(start: StartSentinels) -> None:
    """Many dials that go on looking do not ask more often than one would, and not without a pause."""
    loop = asyncio.get_running_loop()
    async with searching(start.one({MASTER: free_port()})) as (search, sentinels, _):
        began = loop.time()
        for round_ in range(1, 4):
            found = await asyncio.gather(*(search.address() for _ in range(100)), return_exceptions=True)
            assert all(isinstance(one, ConnectionError) for one in found)
            assert sentinels.asked == round_
            assert loop.time() - began >= round_ * sentinel.RETRY_S * 0.9  # uvloop's clock counts milliseconds


async def test_belief_ends(redis_server: RedisServer, start: StartSentinels, monkeypatch: pytest.MonkeyPatch) -> None:
    """A master is asked for its role again after a while, after a doubt, and after a connection to it has failed."""
    async with searching(start.one({MASTER: redis_server.port})) as (search, _, roles):
        await search.address()
        await search.address()
        assert roles.asked == 1
        search.suspect()
        await search.address()
        assert roles.asked == 2
        search.distrust(Address(LOOPBACK, 1))
        await search.address()
        assert roles.asked == 2
        search.distrust(at(redis_server))
        await search.address()
        assert roles.asked == 3

        async def again() -> bool:
            await search.address()
            return roles.asked == 4

        await eventually(again, limit_s=sentinel.ROLE_KEPT_S * 5)


async def test_a_doubt_during_a_search(redis_server: RedisServer, start: StartSentinels) -> None:
    """What a search finds that began before the doubt goes to those who wait for it, and is not believed after."""
    async with searching(start.one({MASTER: redis_server.port})) as (search, _, roles):
        roles.may_answer.clear()
        early = asyncio.create_task(search.address())
        await eventually(lambda: roles.asked == 1)
        search.suspect()
        roles.may_answer.set()
        assert await early == at(redis_server)
        assert await search.address() == at(redis_server)
        assert roles.asked == 2


async def test_a_doubt_parts_the_dials(redis_server: RedisServer, start: StartSentinels) -> None:
    """A dial that comes after a doubt does not wait for a search that began before."""
    async with searching(start.one({MASTER: redis_server.port})) as (search, sentinels, _):
        early = asyncio.create_task(search.address())
        await asyncio.sleep(0)
        search.suspect()
        late = asyncio.create_task(search.address())
        assert await early == await late == at(redis_server)
        assert sentinels.asked == 2


async def test_a_sentinel_that_lags(redis_server: RedisServer, start: StartSentinels) -> None:
    """A replica is not taken for the master; the text says so, and the next search asks another Sentinel first."""
    replica = start.replica_of(redis_server)
    lags = start.one({MASTER: replica.port}, down_after_ms=60_000)
    knows = start.one({MASTER: redis_server.port})
    async with searching(lags, knows) as (search, _, _):
        text = f"{at(replica)}: it is a replica, not the master: a failover is under way"
        with pytest.raises(ConnectionError, match=re.escape(text)):
            await search.address()
        assert search.last_doubt == text
        assert await search.address() == at(redis_server)


async def test_a_dial_that_is_given_up(redis_server: RedisServer, start: StartSentinels) -> None:
    """The search goes on for the other dials."""
    async with searching(start.one({MASTER: redis_server.port})) as (search, _, roles):
        given_up, waits = (asyncio.create_task(search.address()) for _ in range(2))
        await asyncio.sleep(0)
        given_up.cancel()
        assert await waits == at(redis_server)
        assert given_up.cancelled()
        assert roles.asked == 1


async def test_closing_during_a_search(start: StartSentinels) -> None:
    """Who waits is told, and is not cancelled."""
    async with searching(start.one({MASTER: free_port()})) as (search, _, _):
        waits = asyncio.create_task(search.address())
        await asyncio.sleep(0)
        await search.close()
        with pytest.raises(ConnectionError, match="the dialer is closed"):
            await waits
