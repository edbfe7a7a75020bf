"""Becoming somebody on a new connection to Redis, and what it means where Redis refuses.

The counterparts are `net.link`, which sends and reads, `net.multiplexer`, which keeps such a connection for an
identity's commands, and `net.identities`, which opens one to prove a password.
"""

from __future__ import annotations

import asyncio

from sidecar.errors import RedisRefused
from sidecar.net.link import Connect, Link
from sidecar.resp.watched import Credentials

GREETING_TIMEOUT_S = 2.0
"""A Redis that has accepted and does not answer a login within this time is down."""

_PASSING = ("LOADING", "MASTERDOWN", "BUSY", "ERR max number of clients")


def is_passing(refusal: RedisRefused) -> bool:
    """Whether a refusal ends by itself; every other refusal of a login stands until somebody acts."""
    return refusal.line.startswith(_PASSING)


async def open_link(connect: Connect, credentials: Credentials | None, database: int) -> Link:
    """Open a connection, log in and select the database.

    Args:
        connect: opens a connection to where Redis is now.
        credentials: as whom; None: as a new connection is.
        database: where the memories are.

    Raises:
        OSError: Redis cannot be reached, broke the connection, or did not answer in time (`TimeoutError`).
        RedisRefused: these are no good credentials, or Redis serves nobody for now (`is_passing`).
    """
    link = await connect(Link)
    try:
        async with asyncio.timeout(GREETING_TIMEOUT_S):
            await _greet(link, credentials, database)
    except BaseException:
        link.abort()
        raise
    return link


async def _greet(link: Link, credentials: Credentials | None, database: int) -> None:
    await link.log_in(credentials)
    if database:
        selected = await link.ask("SELECT", database)
        if isinstance(selected, BaseException):
            raise selected
    await link.ask("CLIENT", "SETNAME", "memsidecar")  # a user may lack it, and can do without
    answer = await link.ask("PING")
    # Refused while Redis loads its data, as our commands would be. A user may lack PING and have what it needs.
    if isinstance(answer, RedisRefused) and not answer.line.startswith("NOPERM"):
        raise answer
