"""All client connections: each gets a session and its own connection to Redis. Where they connect: `net.listener`."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from typing import Protocol, cast

from sidecar.commands.table import Command, Resolve
from sidecar.metrics import Metrics
from sidecar.net.connection import MAX_OUTPUT_BYTES, ClientConnection, FindIdentity
from sidecar.net.upstream import Upstream, UpstreamOwner
from sidecar.session.session import Limits, Session

MAX_CLIENTS = 10_000
"""Redis's own default for `maxclients`; each client costs two sockets and about 30 kB."""

CLOSE_LIMIT_S = 1.0
"""How long the last connections may take to close when the time that was given is over."""

CLOSE_POLL_S = 0.01
"""How often a shutdown looks whether it may go on."""

TOO_MANY_CLIENTS = b"-ERR max number of clients reached\r\n"
"""Redis's own text, on which clients act."""

SILENT_S = 1.0
"""How long a connection may say nothing when the sidecar stops, until it is taken for a blocked one and ended."""


class DialRedis(Protocol):
    """Opens a connection to Redis; `net.dialer.Dialer.connect` is one."""

    async def __call__(self, factory: Callable[[], Upstream]) -> Upstream:
        """Connect. Raises OSError."""
        ...


class Server:
    """Makes a connection for each client that `net.listener` accepts, and ends them all.

    Args:
        dial: opens a connection to Redis, one for each client.
        commands: our commands.
        resolve: finds the memory that a key names.
        identify: finds out as whom a client's MEM commands run.
        metrics: counts.
        limits: what one client may ask for.
        max_clients: more are refused as Redis refuses them.
        max_output_bytes: replies to MEM commands that may wait for a client that reads none.
    """

    def __init__(
        self,
        *,
        dial: DialRedis,
        commands: Mapping[bytes, Command],
        resolve: Resolve,
        identify: FindIdentity,
        metrics: Metrics,
        limits: Limits | None = None,
        max_clients: int = MAX_CLIENTS,
        max_output_bytes: int = MAX_OUTPUT_BYTES,
    ) -> None:
        self._dial_redis = dial
        self._commands = commands
        self._resolve = resolve
        self._identify = identify
        self._metrics = metrics
        self._limits = limits or Limits()
        self._max_clients = max_clients
        self._max_output_bytes = max_output_bytes
        self._connections: set[ClientConnection] = set()

    async def close(self, limit_s: float) -> None:
        """End every connection, once nobody can connect any more.

        1 what clients have sent is answered, and nothing more is read; 2 who is blocked or subscribed is let go; 3 what
        still stands when the time is over is closed.

        Args:
            limit_s: for 1 and 2.
        """
        for connection in list(self._connections):
            connection.drain()
        ended = asyncio.get_running_loop().time() + limit_s
        while self._connections and (left := ended - asyncio.get_running_loop().time()) > 0:
            received = {connection: connection.received_from_redis for connection in self._connections}
            await self._until(lambda: not self._connections, min(SILENT_S, left))
            for connection in list(self._connections):
                if connection.received_from_redis == received.get(connection):
                    connection.nudge()
        for connection in list(self._connections):
            connection.close()
        await self._until(lambda: not self._connections, CLOSE_LIMIT_S)

    async def _until(self, condition: Callable[[], bool], limit_s: float) -> None:
        for _ in range(round(limit_s / CLOSE_POLL_S)):
            if condition():
                return
            await asyncio.sleep(CLOSE_POLL_S)

    def accept(self) -> asyncio.Protocol:
        """Make the protocol of a client that has just connected."""
        if len(self._connections) >= self._max_clients:
            return _Refusal()
        connection = ClientConnection(
            session=Session(
                commands=self._commands,
                resolve=self._resolve,
                nonce=_nonce,
                observe=self._metrics.command,
                limits=self._limits,
            ),
            dial=self._dial,
            identify=self._identify,
            metrics=self._metrics,
            max_output_bytes=self._max_output_bytes,
            on_closed=self._connections.discard,
        )
        self._connections.add(connection)
        return connection

    async def _dial(self, owner: UpstreamOwner) -> Upstream:
        return await self._dial_redis(lambda: Upstream(owner))


class _Refusal(asyncio.Protocol):
    """Says that there are too many clients, and closes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        client = cast("asyncio.Transport", transport)  # uvloop's are no subclasses of it
        client.write(TOO_MANY_CLIENTS)
        client.close()


def _nonce() -> bytes:
    return secrets.token_hex(16).encode()
