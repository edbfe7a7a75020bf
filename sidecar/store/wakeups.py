"""Tells those who wait for a memory that something has happened to it: one subscription for all of a process.

Scripts publish on a memory's channel when they append while somebody waits, and when they release a lease (see
`lua/parts/life.lua` and `lua/unlock.lua`). A message says "look again" and nothing else, so none is ever needed to be
right: after a lost connection everybody is woken, and where subscriptions are refused, whoever waits looks by himself.
"""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType
from typing import Any, Self

import redis.exceptions
import structlog
from redis.asyncio import Redis

MAX_CHANNELS = 10_000
"""Memories that are waited for at a time: as many as a sidecar has clients. Beyond it waiting is looking."""

READY_LIMIT_S = 2.0
"""How long a subscription may take; Redis confirms one in less than a millisecond."""

READ_LIMIT_S = 10.0
"""How long one look for messages takes at most. Silence is normal; a lost connection shows by itself."""

FIRST_RETRY_S = 0.1
LONGEST_RETRY_S = 5.0
"""Between two tries to connect. Meanwhile whoever waits looks by himself."""

log = structlog.get_logger(__name__)


class Watch:
    """One who waits for news of a channel; use with `async with`, whose end waits for nothing."""

    _channel: _Channel

    def __init__(self, wakeups: Wakeups, name: str) -> None:
        self._wakeups = wakeups
        self._name = name
        self._news = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._channel = self._wakeups.wanted(self._name)
        self._channel.watches.add(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._channel.watches.discard(self)
        if not self._channel.watches:
            self._wakeups.unwanted(self._channel)

    async def ready(self) -> bool:
        """Wait until news will come; False where it will not, within `READY_LIMIT_S`, and one has to look oneself."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READY_LIMIT_S):
                await self._channel.answered.wait()
        return self._channel.subscribed

    async def woken(self) -> None:
        """Wait for news since the last call, or since the beginning."""
        await self._news.wait()
        self._news.clear()

    def wake(self) -> None:
        """Give news."""
        self._news.set()


class _Channel:
    """A channel that somebody waits for. `answered`: Redis has said whether it is `subscribed`."""

    __slots__ = ("answered", "name", "subscribed", "watches")

    def __init__(self, name: str) -> None:
        self.name = name
        self.watches: set[Watch] = set()
        self.answered = asyncio.Event()
        self.subscribed = False


class Wakeups:
    """The subscriptions of a process.

    Args:
        redis: a client with the process's own rights.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._channels: dict[str, _Channel] = {}
        self._changed = asyncio.Event()  # what is waited for is not what is subscribed
        self._refused = False
        self._retry_s = FIRST_RETRY_S

    def watch(self, channel: str) -> Watch:
        """Return who will be told of news on a channel, from the time its `ready` has returned True."""
        return Watch(self, channel)

    @property
    def channels(self) -> int:
        """Memories that are waited for now."""
        return len(self._channels)

    async def run(self) -> None:
        """Serve until cancelled. There is a connection only while somebody waits."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            if not self._channels:
                continue
            try:
                await self._serve()
            except (redis.exceptions.RedisError, OSError) as problem:
                self._lost(problem)
                await asyncio.sleep(self._retry_s)
                self._retry_s = min(self._retry_s * 2, LONGEST_RETRY_S)
                self._changed.set()

    # ---- what is waited for ----

    def wanted(self, name: str) -> _Channel:
        """Return a channel; it is subscribed to, unless that was done for another one who waits."""
        if name in self._channels:
            return self._channels[name]
        channel = _Channel(name)
        if len(self._channels) >= MAX_CHANNELS or self._refused:
            channel.answered.set()
        else:
            self._channels[name] = channel
            self._changed.set()
        return channel

    def unwanted(self, channel: _Channel) -> None:
        """Nobody waits for it any more."""
        if self._channels.get(channel.name) is channel:
            del self._channels[channel.name]
            self._changed.set()

    # ---- the connection ----

    async def _serve(self) -> None:
        """Keep the subscriptions as they are wanted until nobody waits."""
        pubsub: Any = self._redis.pubsub()
        held: dict[str, _Channel] = {}
        reading: asyncio.Task[None] | None = None
        try:
            while self._channels or not reading:
                self._changed.clear()
                await self._adjust(pubsub, held)
                reading = reading or asyncio.create_task(self._read(pubsub, held), name="wakeups-reader")
                changed = asyncio.ensure_future(self._changed.wait())
                try:
                    await asyncio.wait({changed, reading}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    changed.cancel()
                if reading.done():
                    reading.result()  # raises why
        finally:
            if reading is not None:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
            for channel in held.values():
                channel.subscribed = False
            with contextlib.suppress(redis.exceptions.RedisError, OSError):
                await pubsub.aclose()

    async def _adjust(self, pubsub: Any, held: dict[str, _Channel]) -> None:
        more = {name: channel for name, channel in self._channels.items() if held.get(name) is not channel}
        less = [name for name in held if name not in self._channels]
        if less:
            await pubsub.unsubscribe(*less)  # meanwhile what is wanted may change, and then we come here again
            for name in less:
                del held[name]
        held.update(more)
        if more:
            await pubsub.subscribe(*more)

    async def _read(self, pubsub: Any, held: dict[str, _Channel]) -> None:
        while True:
            message = await pubsub.get_message(timeout=READ_LIMIT_S)
            channel = held.get(message["channel"].decode()) if message else None
            if channel is None:
                continue
            # Subscribed once more, here or by redis-py itself: a connection was lost, and messages with it.
            if message["type"] == "message" or channel.answered.is_set():
                for watch in list(channel.watches):
                    watch.wake()
            if message["type"] == "subscribe":
                channel.subscribed = True
                channel.answered.set()
                self._retry_s = FIRST_RETRY_S

    def _lost(self, problem: Exception) -> None:
        """Whoever waits looks by himself, now and until there is a connection again."""
        if isinstance(problem, redis.exceptions.NoPermissionError) and not self._refused:
            self._refused = True
            log.warning("wakeups.refused")  # Redis's own text names the user
        for channel in list(self._channels.values()):
            channel.answered.set()
            for watch in list(channel.watches):
                watch.wake()
        if self._refused:
            self._channels.clear()
