"""Opens one connection to one address: TCP, TLS or a Unix socket, with the options that Redis itself sets.

Which address that is, how long it may take and what is tried next is decided by `net.dialer`.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from sidecar.net.endpoint import Address
from sidecar.net.redis_tls import RedisTls
from sidecar.net.tls_dial import dial_tls

P = TypeVar("P", bound=asyncio.Protocol)

KEEPALIVE_S = 300
"""Redis's own default (`tcp-keepalive`): after this much silence the kernel asks whether the other end still lives."""

KEEPALIVE_PROBES = 3
"""Questions without an answer before it is taken for dead; they share another KEEPALIVE_S. As Redis does."""


async def open_connection(factory: Callable[[], P], where: Address | Path, tls: RedisTls | None) -> P:
    """Connect a protocol; nothing is sent but, with `tls`, the handshake.

    Args:
        factory: makes the protocol.
        where: host and port, or the path of a Unix socket.
        tls: None means plain; never both, never instead.

    Raises:
        ConnectionError: says which address, and why.
    """
    loop = asyncio.get_running_loop()
    try:
        if isinstance(where, Path):
            _, protocol = await loop.create_unix_connection(factory, str(where))
            return protocol
        connect = partial(_connect_tcp, where)
        if tls is None:
            return await connect(factory)
        return await dial_tls(connect, tls.context, factory, server_hostname=tls.server_name or where.host)
    except (OSError, ValueError) as problem:  # ValueError: a name that cannot be one
        raise ConnectionError(f"{where}: {_reason(problem)}") from problem


async def _connect_tcp(where: Address, factory: Callable[[], P]) -> P:
    transport, protocol = await asyncio.get_running_loop().create_connection(factory, where.host, where.port)
    try:
        _set_options(transport.get_extra_info("socket"))
    except OSError:  # it is gone already
        transport.abort()
        raise
    return protocol


def _set_options(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    wanted = {
        "TCP_KEEPIDLE": KEEPALIVE_S,
        "TCP_KEEPALIVE": KEEPALIVE_S,  # macOS's name for it
        "TCP_KEEPINTVL": KEEPALIVE_S // KEEPALIVE_PROBES,
        "TCP_KEEPCNT": KEEPALIVE_PROBES,
    }
    for name, value in wanted.items():
        if (option := getattr(socket, name, None)) is not None:
            connection.setsockopt(socket.IPPROTO_TCP, option, value)


def _reason(problem: Exception) -> str:
    match problem:
        case ssl.SSLCertVerificationError():
            return f"its certificate is refused: {problem.verify_message or problem}"
        case ssl.SSLError(reason="WRONG_VERSION_NUMBER" | "UNKNOWN_PROTOCOL" | "HTTP_REQUEST"):
            return "it does not speak TLS"
        case ssl.SSLError():
            return f"the TLS handshake failed: {problem.reason or problem}"
        case OSError():
            return problem.strerror or str(problem) or type(problem).__name__
    return str(problem)
