"""redis-py's client on connections that our own dialer opens, for everything off the hot path.

So a URL, TLS and a failover mean the same to the flush steps, the outbox and the worker as to clients. redis-py does
the rest: pool, login, commands. It does not try a command again by itself; whoever uses it decides that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

import redis.asyncio
from redis.asyncio.connection import AbstractConnection, BlockingConnectionPool
from redis.exceptions import ReadOnlyError, ResponseError

MAX_CONNECTIONS = 32
"""Connections of the flushes and the sweep to Redis: twice the flushes that run at once. They stay open."""

P = TypeVar("P", bound=asyncio.Protocol)


class Dials(Protocol):
    """Who opens connections (`net.dialer.Dialer`)."""

    async def connect(self, factory: Callable[[], P]) -> P:
        """Connect a protocol, within a limit of its own. Raises OSError."""

    def suspect(self) -> None:
        """The other end is not what it should be."""


def redis_client(
    dialer: Dials,
    *,
    username: str | None = None,
    password: str | None = None,
    database: int = 0,
    client_name: str | None = None,
    reply_timeout_s: float | None = None,
    resp: int | None = None,
    kind: type[redis.asyncio.Redis] = redis.asyncio.Redis,
) -> redis.asyncio.Redis:
    """Return a client; its `aclose` ends its connections, and leaves the dialer alone.

    Args:
        dialer: opens the connections.
        username: with `password`, who we are; None means the user `default`.
        password: None means that we do not log in.
        database: number of the database.
        client_name: what CLIENT LIST shows; None means no name.
        reply_timeout_s: longest wait for a reply; None means for ever.
        resp: version of the protocol; None means redis-py's own choice.
        kind: class of the client.
    """
    # Blocking: with the usual pool, whoever comes when all connections are in use is refused at once.
    pool = BlockingConnectionPool(
        max_connections=MAX_CONNECTIONS,
        timeout=reply_timeout_s,
        connection_class=_Connection,
        dialer=dialer,
        username=username,
        password=password,
        db=database,
        client_name=client_name,
        socket_timeout=reply_timeout_s,
        protocol=resp,
    )
    return kind.from_pool(pool)


class _Connection(AbstractConnection):
    """A connection of redis-py whose socket comes from a dialer."""

    def __init__(self, *, dialer: Dials, **others: Any) -> None:
        self._dialer = dialer
        super().__init__(**others)

    def repr_pieces(self) -> Iterable[tuple[str, str | int]]:
        return [("db", self.db), ("client_name", self.client_name or "")]

    async def _connect(self) -> None:
        try:
            stream = await self._dialer.connect(_Stream)
        except TimeoutError as late:
            raise OSError(str(late)) from late  # redis-py would drop the text of a TimeoutError
        self._reader = stream.reader
        self._writer = asyncio.StreamWriter(stream.transport, stream, stream.reader, asyncio.get_running_loop())

    def _host_error(self) -> str:
        return "Redis"

    def _error_message(self, exception: BaseException) -> str:
        # `store.redis_errors` reads from "connecting to" that nothing was sent.
        return f"Error connecting to Redis: {exception}"

    async def send_packed_command(self, *arguments: Any, **options: Any) -> None:
        task = asyncio.current_task()
        cancelled = task.cancelling() if task else 0
        await super().send_packed_command(*arguments, **options)
        # On Python 3.11 `asyncio.wait_for`, through which redis-py sends, can swallow a cancellation
        # (python/cpython#86296), and who was told to stop would go on: a wait for a flush outlasted its limit so.
        if task and task.cancelling() > cancelled:
            await self.disconnect(nowait=True)  # as for every send that is cancelled: a reply is under way
            raise asyncio.CancelledError

    async def read_response(self, *arguments: Any, **options: Any) -> Any:
        try:
            return await super().read_response(*arguments, **options)
        except ResponseError as refused:
            # In front of an error that a script met, Redis 6.2 puts words of its own.
            if isinstance(refused, ReadOnlyError) or "-READONLY " in str(refused):
                self._dialer.suspect()
                self.mark_for_reconnect()  # type: ignore[no-untyped-call]  # done when it goes back to the pool
            raise


class _Stream(asyncio.StreamReaderProtocol):
    """A protocol that keeps what a writer is made of."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.reader = asyncio.StreamReader()
        super().__init__(self.reader)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # uvloop's are no subclasses of Transport
        super().connection_made(transport)
