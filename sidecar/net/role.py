"""Asks one Redis whether it is a master, on a connection of its own.

Sentinels may lag behind a failover, so what they name is asked itself, as
https://redis.io/docs/latest/develop/reference/sentinel-clients/ wants it.
"""

from __future__ import annotations

import asyncio
from typing import cast

import hiredis

from sidecar.net.endpoint import Address
from sidecar.net.opening import open_connection
from sidecar.net.redis_tls import RedisTls

ROLE_LIMIT_S = 1.0
"""Redis answers ROLE at once, while it loads its data too; one that takes this long hangs."""

MASTER = "master"

_INCOMPLETE = object()


async def role_of(
    address: Address, *, tls: RedisTls | None = None, username: str | None = None, password: str | None = None
) -> str | None:
    """Return the role that Redis says it has (`master`, `slave`), or None if it does not tell us.

    It does not tell whom it does not know (NOAUTH, NOPERM, a wrong password), nor while a script keeps it busy. That
    is no reason to keep clients away, who may be known.

    Args:
        address: where it is.
        tls: how it is verified; None means plain.
        username: with `password`, who we are; None means the user `default`.
        password: None means that we do not log in.

    Raises:
        OSError: it cannot be reached, or says nothing.
    """
    commands: list[tuple[str, ...]] = [("ROLE",)]
    if password is not None:
        commands.insert(0, ("AUTH", *([username] if username else []), password))
    try:
        async with asyncio.timeout(ROLE_LIMIT_S):
            question = await open_connection(lambda: _Question(commands), address, tls)
            try:
                return await question.role
            finally:
                question.close()
    except TimeoutError as late:
        raise TimeoutError(f"{address}: it did not tell its role within {ROLE_LIMIT_S:g} s") from late
    except EOFError as closed:
        raise ConnectionError(f"{address}: it closed the connection when asked for its role") from closed


class _Question(asyncio.Protocol):
    """Sends commands and keeps what the last one's reply says."""

    def __init__(self, commands: list[tuple[str, ...]]) -> None:
        self.role: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._commands = commands
        self._awaited = len(commands)
        self._refused = False
        self._reader = hiredis.Reader(notEnoughData=_INCOMPLETE)
        self._transport: asyncio.Transport | None = None

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclasses of it
        self._transport.writelines([hiredis.pack_command(command) for command in self._commands])  # type: ignore[arg-type]  # its stub means a tuple of one item

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while not self.role.done() and (reply := self._reader.gets()) is not _INCOMPLETE:
            self._awaited -= 1
            self._refused = isinstance(reply, hiredis.ReplyError)
            if self._awaited == 0:
                known = isinstance(reply, list) and reply and isinstance(reply[0], bytes)
                self.role.set_result(reply[0].decode("utf-8", "replace") if known else None)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.role.done():
            return
        if self._refused:  # the client limit: one error and the end, which clients shall see as it is
            self.role.set_result(None)
        else:
            self.role.set_exception(EOFError() if exc is None else ConnectionError(str(exc)))
