"""The sockets on which Redis clients connect: one TCP address, with or without TLS, and optionally a Unix socket.

It can be closed and opened again at the same port while clients stay connected; `gate` decides when. It knows no
client: whoever gave it `accept` does. Where other processes serve the clients, `acceptor` takes its sockets.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from sidecar.net.acceptor import Acceptor
from sidecar.net.client_tls import ClientTls
from sidecar.net.listen_address import ListenAddress, SocketAddress
from sidecar.net.unix_path import UnixPath

BACKLOG = 511
"""Redis's default for `tcp-backlog`: clients that may wait for being accepted."""

KEEPALIVE_S = 300
"""Redis's default for `tcp-keepalive`: a client that vanished is noticed after twice this at the latest."""

KEEPALIVE_PROBES = 3
"""As Redis: questions without an answer, a third of the time apart, after which a client is gone."""

_NOT_HERE = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}
"""A name such as localhost stands for an IPv6 address even where the machine has none."""


class Open(Protocol):
    """What accepts on a bound socket."""

    def close(self) -> None:
        """Stop, and close the socket."""
        ...


class Listener:
    """Opens and closes the sockets. Both are safe to call at any time, in any state.

    Args:
        accept: makes the protocol of a client; with TLS it is called after the handshake. Or who accepts instead.
        address: `host:port`; port 0 lets the system choose one, which then stays.
        unix_socket: a further place to listen, always without TLS; None: there is none.
        unix_socket_mode: rights on its file.
        tls: certificates for the TCP address; None: plain TCP.
        backlog: clients that may wait for being accepted.

    Raises:
        ValueError: `address` is malformed.
    """

    def __init__(
        self,
        accept: Callable[[], asyncio.Protocol] | Acceptor,
        *,
        address: str,
        unix_socket: Path | None = None,
        unix_socket_mode: int = 0o700,
        tls: ClientTls | None = None,
        backlog: int = BACKLOG,
    ) -> None:
        self._accept = accept
        self._address = ListenAddress.parse(address)
        self._unix_socket = unix_socket
        self._unix_socket_mode = unix_socket_mode
        self._tls = tls
        self._backlog = backlog
        self._servers: list[Open] = []
        self._unix_path: UnixPath | None = None
        self._changing = asyncio.Lock()

    def __str__(self) -> str:
        return str(self._address) + (f" and {self._unix_socket}" if self._unix_socket else "")

    async def exposed(self) -> bool:
        """Return whether other machines can connect. A Unix socket is for this one only.

        Raises:
            OSError: the name in the address is not known.
        """
        return await self._address.exposed()

    async def open(self) -> int:
        """Start to accept, on all places or on none; return the TCP port. Does nothing when it is open.

        Raises:
            OSError: a place cannot be had; the text names it.
        """
        async with self._changing:
            if not self._servers:
                await self._open()
            return self._address.port

    async def check(self) -> None:
        """Find out whether the places can be had, and let go of them again: for who opens them much later.

        Raises:
            OSError: as `open` would.
        """
        async with self._changing:
            with ExitStack() as undo:
                await self._bind_tcp(undo)
                self._bind_unix(undo)

    async def close(self) -> None:
        """Stop to accept, from the next connection on; the clients that are connected stay."""
        async with self._changing:
            if self._unix_path is not None:
                self._unix_path.remove()  # while the socket lives, no other file can look like it
                self._unix_path = None
            servers, self._servers = self._servers, []
            for server in servers:
                server.close()

    async def _open(self) -> None:
        with ExitStack() as undo:
            sockets = await self._bind_tcp(undo)
            unix_path = self._bind_unix(undo)
            servers: list[Open] = []
            # Accepting starts only when every place is ours.
            for bound in [*sockets, *([unix_path.socket] if unix_path is not None else [])]:
                servers.append(await self._serve(bound))
                undo.callback(servers[-1].close)
            undo.pop_all()
        self._servers, self._unix_path = servers, unix_path
        self._address = replace(self._address, port=sockets[0].getsockname()[1])

    async def _serve(self, bound: socket.socket) -> Open:
        if isinstance(self._accept, Acceptor):
            return self._accept.serve(bound, self._backlog)
        loop = asyncio.get_running_loop()
        if bound.family == socket.AF_UNIX:
            return await loop.create_unix_server(self._accept, sock=bound, backlog=self._backlog)
        create = self._accept if self._tls is None else self._tls.protect(self._accept)
        return await loop.create_server(create, sock=bound, backlog=self._backlog)

    async def _bind_tcp(self, undo: ExitStack) -> list[socket.socket]:
        sockets: list[socket.socket] = []
        missing: OSError | None = None
        port = self._address.port
        for family, where in await self._address.resolve():
            try:
                sockets.append(_bound(family, where, port))
            except OSError as problem:
                missing = OSError(problem.errno, f"cannot listen on {self._address}: {problem.strerror}")
                if problem.errno not in _NOT_HERE:
                    raise missing from problem
                continue
            undo.callback(sockets[-1].close)
            port = sockets[0].getsockname()[1]  # where the system chose it for the first, the others take the same
        if missing is not None and not sockets:
            raise missing
        return sockets

    def _bind_unix(self, undo: ExitStack) -> UnixPath | None:
        if self._unix_socket is None:
            return None
        path = UnixPath(self._unix_socket, self._unix_socket_mode)
        undo.callback(path.remove)
        undo.callback(path.socket.close)
        return path


def _bound(family: socket.AddressFamily, where: SocketAddress, port: int) -> socket.socket:
    """Bind one address at `port`.

    Its options go over to every connection that is accepted on it, so they cost no system call for each.
    TCP_NODELAY is not among them: uvloop sets it on every TCP connection itself.
    """
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # the name's IPv4 address has its own socket
        keep_alive(bound)
        bound.bind((where[0], port, *where[2:]))
    except BaseException:
        bound.close()
        raise
    return bound


def keep_alive(tcp: socket.socket) -> None:
    """Have the kernel ask a silent peer whether it still lives, as Redis does by default."""
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "darwin":
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPALIVE, KEEPALIVE_S)
    else:
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_S)
    tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_S // KEEPALIVE_PROBES)
    tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)
