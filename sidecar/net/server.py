"""Accepts clients and gives each its own connection to Redis."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from typing import cast

from sidecar.commands.table import Command, Resolve
from sidecar.metrics import Metrics
from sidecar.net.connection import ClientConnection, Execute
from sidecar.net.endpoint import RedisEndpoint
from sidecar.net.upstream import Upstream, UpstreamOwner
from sidecar.session import Session

DIAL_TIMEOUT_S = 2.0
"""As for our own connection: a Redis that does not accept within it is down."""

MAX_CLIENTS = 10_000
"""Redis's own default for `maxclients`; each client costs two sockets and about 30 kB."""

CLOSE_LIMIT_S = 1.0
"""How long clients may take to read their last replies when the sidecar stops."""

CLOSE_POLL_S = 0.01
"""How often a shutdown looks whether it may go on."""

TOO_MANY_CLIENTS = b"-ERR max number of clients reached\r\n"
"""Redis's own text, on which clients act."""

BACKLOG = 511
"""Redis's default for `tcp-backlog`."""


class Server:
    """The listening socket and all client connections.

    Args:
        endpoint: where to dial for each client.
        commands: our commands.
        resolve: finds the memory that a key names.
        execute: runs a request.
        metrics: counts.
        max_clients: more are refused as Redis refuses them.
    """

    def __init__(
        self,
        *,
        endpoint: RedisEndpoint,
        commands: Mapping[bytes, Command],
        resolve: Resolve,
        execute: Execute,
        metrics: Metrics,
        max_clients: int = MAX_CLIENTS,
    ) -> None:
        self._endpoint = endpoint
        self._commands = commands
        self._resolve = resolve
        self._execute = execute
        self._metrics = metrics
        self._max_clients = max_clients
        self._connections: set[ClientConnection] = set()
        self._listener: asyncio.Server | None = None

    async def listen(self, host: str, port: int) -> int:
        """Start to accept clients; return the port (that the system chose, where `port` is 0).

        Raises:
            OSError: the address cannot be bound.
        """
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(self._accept, host, port, backlog=BACKLOG)
        bound: int = self._listener.sockets[0].getsockname()[1]
        return bound

    async def close(self, limit_s: float) -> None:
        """Stop in order: accept nobody, let MEM commands that run be answered, close every client.

        Args:
            limit_s: how long running commands may take.
        """
        if self._listener is not None:
            self._listener.close()
        await self._until(lambda: not any(connection.busy for connection in self._connections), limit_s)
        for connection in list(self._connections):
            connection.close()
        await self._until(lambda: not self._connections, CLOSE_LIMIT_S)

    async def _until(self, condition: Callable[[], bool], limit_s: float) -> None:
        for _ in range(round(limit_s / CLOSE_POLL_S)):
            if condition():
                return
            await asyncio.sleep(CLOSE_POLL_S)

    def _accept(self) -> asyncio.Protocol:
        if len(self._connections) >= self._max_clients:
            return _Refusal()
        connection = ClientConnection(
            session=Session(
                commands=self._commands, resolve=self._resolve, nonce=_nonce, observe=self._metrics.command
            ),
            dial=self._dial,
            execute=self._execute,
            metrics=self._metrics,
            on_closed=self._connections.discard,
        )
        self._connections.add(connection)
        return connection

    async def _dial(self, owner: UpstreamOwner) -> Upstream:
        loop = asyncio.get_running_loop()
        create: Callable[[], Upstream] = lambda: Upstream(owner)  # noqa: E731  # typed for create_connection
        async with asyncio.timeout(DIAL_TIMEOUT_S):
            _, upstream = await loop.create_connection(create, self._endpoint.host, self._endpoint.port)
        return upstream


class _Refusal(asyncio.Protocol):
    """Says that there are too many clients, and closes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        client = cast("asyncio.Transport", transport)  # uvloop's are no subclasses of it
        client.write(TOO_MANY_CLIENTS)
        client.close()


def _nonce() -> bytes:
    return secrets.token_hex(16).encode()
