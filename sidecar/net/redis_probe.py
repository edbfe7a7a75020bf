"""A small connection to Redis on which `gate` asks its few questions, one at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar, cast

import hiredis

from sidecar.errors import RedisRefused

ANSWER_TIMEOUT_S = 2.0
"""Redis answers PING in less than a millisecond; one that needs longer than this hangs, or runs a long script."""

Reply = bytes | int | list[object] | RedisRefused | None

P = TypeVar("P", bound=asyncio.Protocol)

_INCOMPLETE = object()


class Dial(Protocol):
    """Opens a connection to Redis, with TLS and by way of Sentinel where that is set."""

    def __call__(self, create: Callable[[], P], /) -> Awaitable[P]:
        """Return the connected protocol; raises `OSError`."""


class RedisProbe(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._heard = False
        self._reader = hiredis.Reader(replyError=RedisRefused, notEnoughData=_INCOMPLETE)
        self._transport: asyncio.Transport | None = None
        self._asked: asyncio.Future[Reply] | None = None
        self._lost = asyncio.Event()

    @property
    def mute(self) -> bool:
        """Whether it was closed without a byte: a Redis always says something, be it an error."""
        return self._lost.is_set() and not self._heard

    async def ask(self, *command: str) -> Reply:
        """Send one command and return its reply, error replies too.

        After an exception the connection is of no use any more.

        Raises:
            ConnectionError: it is lost.
            TimeoutError: Redis does not answer.
        """
        if self._transport is None or self._lost.is_set():
            raise ConnectionError("it closed the connection")
        self._asked = asyncio.get_running_loop().create_future()
        self._transport.write(hiredis.pack_command(command))  # type: ignore[arg-type]  # its stub: a tuple of one item
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            return await self._asked

    async def lost_within(self, seconds: float) -> bool:
        """Wait until the connection is lost, at most `seconds`; return whether it is."""
        try:
            async with asyncio.timeout(seconds):
                return await self._lost.wait()
        except TimeoutError:
            return False

    def abort(self) -> None:
        """Drop the connection."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclasses of it

    def data_received(self, data: bytes) -> None:
        self._heard = True
        try:
            self._reader.feed(data)
            reply = self._reader.gets()
        except hiredis.ProtocolError:
            self.abort()  # whoever this is, it is not Redis
            return
        if reply is not _INCOMPLETE and self._asked is not None and not self._asked.done():
            self._asked.set_result(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost.set()
        if self._asked is not None and not self._asked.done():
            self._asked.set_exception(ConnectionError(str(exc) if exc else "it closed the connection"))
