"""One connection of our own to Redis: logs in, sends commands, reads replies with hiredis.

`net.multiplexer` keeps one for all commands of an identity; `net.identities` opens one to prove a password. What is
sent, and what a lost connection means, is their business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol, cast

import hiredis

from sidecar.errors import RedisRefused, logged
from sidecar.resp.watched import Credentials
from sidecar.resp.wire import pack
from sidecar.store.pipe import Argument, Reply

_INCOMPLETE = object()


class Connect(Protocol):
    """Opens a connection to Redis and hands it to the protocol; `net.dialer.Dialer.connect` is one."""

    async def __call__(self, factory: Callable[[], Link]) -> Link:
        """Connect.

        Raises:
            OSError: Redis cannot be reached.
        """
        ...


class LinkOwner(Protocol):
    """Who gets the replies once the greeting is over."""

    def replied(self, reply: Reply) -> None:
        """Take a reply; they come in the order of the commands."""

    def lost(self, why: str) -> None:
        """The connection broke; not called after `Link.abort`."""


class Link(asyncio.Protocol):
    """One connection. Until it serves an owner every reply is awaited by `ask`."""

    def __init__(self) -> None:
        self._owner: LinkOwner | None = None
        self._reader = hiredis.Reader(replyError=RedisRefused, notEnoughData=_INCOMPLETE)
        self._transport: asyncio.Transport | None = None
        self._asked: asyncio.Future[Reply] | None = None
        self._unasked: Reply = None  # a refusal that came before the first question
        self._abandoned = False

    @property
    def ended(self) -> bool:
        """Whether there is no connection."""
        return self._transport is None

    def serve(self, owner: LinkOwner) -> None:
        """Hand every reply to an owner from now on.

        Raises:
            ConnectionError: the connection is broken already.
        """
        if self._transport is None:
            raise ConnectionError("it closed the connection")
        self._owner = owner

    async def ask(self, *command: Argument) -> Reply:
        """Send one command and wait for its reply; an error of Redis is returned, not raised.

        Raises:
            ConnectionError: the connection broke first.
        """
        if self._unasked is not None:
            return self._unasked
        self._asked = asyncio.get_running_loop().create_future()
        self.write([pack(command)])
        try:
            return await self._asked
        finally:
            self._asked = None

    async def log_in(self, credentials: Credentials | None) -> None:
        """Become a user; None stays what a new connection is.

        Raises:
            RedisRefused: these are no good credentials.
            ConnectionError: the connection broke first.
        """
        if credentials is None:
            return
        # Without the name where it is the default user's: a Redis that only knows `requirepass` takes both forms, and
        # one whose `default` has no password answers both as it answered the client.
        user = () if credentials.user == b"default" else (credentials.user,)
        reply = await self.ask("AUTH", *user, credentials.password)
        if isinstance(reply, BaseException):
            raise reply

    def write(self, packed: Sequence[bytes]) -> None:
        """Send packed commands."""
        if self._transport is None:
            raise ConnectionError("it closed the connection")
        self._transport.writelines(packed)

    def close(self) -> None:
        """End the connection in good order."""
        self._abandoned = True
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Drop the connection; the owner knows and is not told again."""
        self._abandoned = True
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclasses of it

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while not self._abandoned:
            reply = self._reader.gets()
            if reply is _INCOMPLETE:
                return
            if self._asked is not None:
                if not self._asked.done():
                    self._asked.set_result(reply)
                return
            if self._owner is None:
                self._unasked = reply  # Redis says at once that it has too many clients, and closes
                return
            self._owner.replied(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        why = logged(exc) if exc else "it closed the connection"
        if self._asked is not None and not self._asked.done():
            self._asked.set_exception(ConnectionError(why))
        elif not self._abandoned:
            self._abandoned = True
            if self._owner is not None:
                self._owner.lost(why)
