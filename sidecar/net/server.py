"""All client connections: each gets a session and its own connection to Redis. Where they connect: `net.listener`."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from typing import Protocol, cast

from sidecar.commands.command import Command
from sidecar.commands.resolving import Resolve
from sidecar.memory.tracing import Tracer
from sidecar.metrics import Metrics
from sidecar.net.command_log import CommandLog
from sidecar.net.connection import MAX_OUTPUT_BYTES, ClientConnection
from sidecar.net.find_identity import FindIdentity
from sidecar.net.held_budget import MAX_HELD_BYTES, HeldBudget
from sidecar.net.turn import Turn
from sidecar.net.upstream import Upstream, UpstreamOwner
from sidecar.session.limits import Limits
from sidecar.session.session import Session
from sidecar.session.telemetry import Telemetry

MAX_CLIENTS = 10_000
"""Redis's own default for `maxclients`; each client costs two sockets and about 10 kB at rest (measured)."""

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
        command_log: writes down commands that were slow, or failed.
        tracer: records those that come with TRACEPARENT; None records nothing.
        limits: what one client may ask for.
        max_clients: more are refused as Redis refuses them.
        max_output_bytes: replies to MEM commands that may wait for a client that reads none.
        max_held_bytes: what all clients together may hold of unfinished and waiting requests.
    """

    def __init__(
        self,
        *,
        dial: DialRedis,
        commands: Mapping[bytes, Command],
        resolve: Resolve,
        identify: FindIdentity,
        metrics: Metrics,
        command_log: CommandLog,
        tracer: Tracer | None = None,
        limits: Limits | None = None,
        max_clients: int = MAX_CLIENTS,
        max_output_bytes: int = MAX_OUTPUT_BYTES,
        max_held_bytes: int = MAX_HELD_BYTES,
    ) -> None:
        self._dial_redis = dial
        self._commands = commands
        self._resolve = resolve
        self._identify = identify
        self._metrics = metrics
        self._telemetry = Telemetry(observe=metrics.command, log=command_log, tracer=tracer)
        self._limits = limits or Limits()
        self._max_clients = max_clients
        self._max_output_bytes = max_output_bytes
        self._budget = HeldBudget(max_held_bytes)
        self._turn = Turn()
        self._connections: set[ClientConnection] = set()
        self._closing = False

    @property
    def held_bytes(self) -> int:
        """Bytes of unfinished and waiting requests of all clients."""
        return self._budget.held_bytes

    async def close(self, limit_s: float) -> None:
        """End every connection, once nobody can connect any more.

        1 what clients have sent is answered, and nothing more is read; 2 who is blocked or subscribed is let go; 3 what
        still stands when the time is over is closed.

        Args:
            limit_s: for 1 and 2.
        """
        self._closing = True
        for connection in list(self._connections):
            connection.drain()
        ended = asyncio.get_running_loop().time() + limit_s
        while self._connections and (left := ended - asyncio.get_running_loop().time()) > 0:
            seen = {connection: connection.signs_of_life for connection in self._connections}
            await self._until(lambda: not self._connections, min(SILENT_S, left))
            if not self._connections or not await self._redis_answers():
                continue  # a Redis that is busy lets everybody wait
            for connection in list(self._connections):
                if connection.signs_of_life == seen.get(connection):
                    connection.nudge()
        for connection in list(self._connections):
            connection.close()
        await self._until(lambda: not self._connections, CLOSE_LIMIT_S)

    async def _redis_answers(self) -> bool:
        """Whether Redis serves clients: one that comes now is heard behind all that others have sent before."""
        knock = _Knock()
        upstream: Upstream | None = None
        try:
            async with asyncio.timeout(SILENT_S):
                upstream = await self._dial(knock)
                upstream.write(b"PING\r\n")
                return await knock.heard
        except OSError:  # TimeoutError is one
            return False
        finally:
            if upstream is not None:
                upstream.close()

    async def _until(self, condition: Callable[[], bool], limit_s: float) -> None:
        for _ in range(round(limit_s / CLOSE_POLL_S)):
            if condition():
                return
            await asyncio.sleep(CLOSE_POLL_S)

    def accept(self) -> asyncio.Protocol:
        """Make the protocol of a client that has just connected."""
        if self._closing:
            return _Refusal(b"")  # its handshake was under way
        if len(self._connections) >= self._max_clients:
            self._metrics.clients_refused += 1
            return _Refusal(TOO_MANY_CLIENTS)
        connection = ClientConnection(
            session=Session(
                commands=self._commands,
                resolve=self._resolve,
                nonce=_nonce,
                telemetry=self._telemetry,
                limits=self._limits,
            ),
            dial=self._dial,
            identify=self._identify,
            metrics=self._metrics,
            budget=self._budget,
            turn=self._turn,
            max_output_bytes=self._max_output_bytes,
            on_closed=self._connections.discard,
        )
        self._connections.add(connection)
        return connection

    async def _dial(self, owner: UpstreamOwner) -> Upstream:
        return await self._dial_redis(lambda: Upstream(owner))


class _Knock:
    """Hears whether Redis says anything, be it an error. An `UpstreamOwner`."""

    def __init__(self) -> None:
        self.heard: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def redis_received(self, data: bytes) -> None:
        if not self.heard.done():
            self.heard.set_result(True)

    def redis_lost(self) -> None:
        if not self.heard.done():
            self.heard.set_result(False)

    def redis_writable(self, writable: bool) -> None:
        """Six bytes fit."""


class _Refusal(asyncio.Protocol):
    """Says why it closes, and closes."""

    def __init__(self, why: bytes) -> None:
        self._why = why

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        client = cast("asyncio.Transport", transport)  # uvloop's are no subclasses of it
        client.write(self._why)
        client.close()


def _nonce() -> bytes:
    return secrets.token_hex(16).encode()
