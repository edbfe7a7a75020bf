"""The memory services of two users of Redis, over a connection each."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
from redis.asyncio import Redis

from sidecar.app.building import make_flush_steps, make_undo
from sidecar.app.users import Users
from sidecar.config.settings import Settings
from sidecar.flush.local import LocalEngine
from sidecar.memory.addressing import Memory
from sidecar.memory.catalogue import Catalogue
from sidecar.memory.definition import Definition, PrivacyPolicy
from sidecar.memory.health import Health
from sidecar.memory.message import Message
from sidecar.memory.requests import AppendRequest, LockRequest, ReadRequest, Request, UnlockRequest
from sidecar.memory.service import MemoryService
from sidecar.memory.tracing import Untraced
from sidecar.store.changes import Changes
from sidecar.store.locks import LockManager
from sidecar.store.probe import Probe
from sidecar.tokens.counter import load_counter
from tests.flush.memories import SPACE, LiveMemory
from tests.store.live import LiveStore, memory
from tests.support.waiting import eventually

CHAT = Definition("chat", max_tokens=40, privacy=PrivacyPolicy(redact=("email",)))


class Site:
    """What a process has, for making services."""

    def __init__(self, live: LiveStore, redis: Redis) -> None:
        settings, catalogue = Settings(token_engine="tiktoken"), Catalogue({"chat": CHAT})
        counter = partial(load_counter, engine="tiktoken")
        steps = make_flush_steps(settings, catalogue, redis, live.tally, Untraced())
        self.engine = LocalEngine(steps=steps, space=SPACE)
        self.due: list[Memory] = []
        self.users = Users(
            settings=settings,
            space=SPACE,
            catalogue=catalogue,
            counter=counter,
            engine=self.engine,
            steps=steps,
            undo=make_undo(settings, redis),
            wakeups=live.wakeups,
            metrics=live.tally,
            due=lambda memory, trace: self.due.append(memory),
        )
        self.health = Health(
            ping=Probe(live.pipe, SPACE),
            engine=self.engine,
            gauge=live.tally,
            counter=counter,
            catalogue=catalogue,
            lock_waiters=lambda: self.users.lock_waiters,
        )

    def service(self, live: LiveStore) -> MemoryService:
        return self.users.service(live.pipe, self.health)


@pytest.fixture
async def live(redis_url: str) -> AsyncIterator[LiveStore]:
    """A connection to the shared, emptied Redis."""
    async with LiveStore(redis_url) as store:
        yield store


@pytest.fixture
async def site(live: LiveStore, redis_client: Redis) -> AsyncIterator[Site]:
    found = Site(live, redis_client)
    yield found
    await found.engine.close()


def start(service: MemoryService, request: Request) -> asyncio.Future[Any]:
    """Execute a request; the future has its result."""
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    service.execute(request, future.set_result)
    return future


def append(text: str) -> AppendRequest:
    return AppendRequest(memory(CHAT), [Message("user", text)])


async def test_two_users_write_to_one_memory(site: Site, live: LiveStore, redis_url: str, redis_client: Redis) -> None:
    """Each numbers its changes under a name of its own, so that neither takes the other's for a repetition."""
    async with LiveStore(redis_url) as other:
        first, second = site.service(live), site.service(other)
        results = [await start(service, append(text)) for text in "ab" for service in (first, second)]
    assert [result.messages for result in results] == [1, 2, 3, 4]
    found = LiveMemory(redis_client, CHAT)
    assert len([name for name in await found.meta() if name.startswith("op:")]) == 2
    await found.assert_totals()


async def test_what_a_service_is_made_of(site: Site, live: LiveStore, redis_client: Redis) -> None:
    """Texts are counted by the real tokenizer and redacted by the policy, and what is due is told."""
    service = site.service(live)
    result = await start(service, append("mail ann@example.com " + "parcel " * 40))
    (message,) = (await start(service, ReadRequest(memory(CHAT)))).messages
    assert message.content.startswith("mail [email] parcel")
    assert message.tokens == result.tokens == 3 + 1 + load_counter(CHAT.encoding, "tiktoken").count(message.content)
    assert result.flush == "due"
    assert [where.keys.name for where in site.due] == [memory(CHAT).keys.name]
    assert live.tally.tokens_appended == result.tokens


async def test_who_waits_is_counted(site: Site, live: LiveStore) -> None:
    """Locks and changes that wait for a lease count, of all services; nobody counts once they are served."""
    where = memory(CHAT)
    services = [site.service(live) for _ in range(2)]
    granted = await start(services[0], LockRequest(where, 60_000))
    assert site.users.lock_waiters == 0
    waiting = [start(service, append("hi")) for service in services]
    waiting += [start(service, LockRequest(where, 60_000, wait_ms=60_000)) for service in services]
    await eventually(lambda: site.users.lock_waiters == 4, why="not all are counted")
    assert (await site.health.report()).lock_waiters == 4
    assert await start(services[0], UnlockRequest(where, granted.token))
    for future in asyncio.as_completed(waiting[2:]):
        await start(services[0], UnlockRequest(where, (await future).token))
    await asyncio.gather(*waiting)
    await eventually(lambda: site.users.lock_waiters == 0, why="somebody is still counted")


async def test_a_user_who_has_gone_is_forgotten(site: Site, live: LiveStore) -> None:
    """Nothing of a service stays behind when its user's connection does not need it any more."""
    service = site.service(live)
    await start(service, append("hi"))
    gc.collect()
    before = _held()
    await service.close()
    del service
    gc.collect()
    assert _held() == tuple(number - 1 for number in before)


def _held() -> tuple[int, int]:
    """Return how many lock managers and lines of changes there are in this process."""
    kinds = [type(each) for each in gc.get_objects()]
    return kinds.count(LockManager), kinds.count(Changes)
