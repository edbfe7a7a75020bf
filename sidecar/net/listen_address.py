"""Where to listen: `host:port` as it is written, the addresses that it stands for, and who can reach them."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

SocketAddress = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]
"""As `getaddrinfo` gives it: the third form is of a Python without IPv6."""


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """One name or IP address and a port. `host` "" means every interface; `port` 0 lets the system choose."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> ListenAddress:
        """Read `host:port`, `[IPv6]:port` or `:port`.

        Raises:
            ValueError: says what is wrong.
        """
        host, colon, port = text.rpartition(":")
        if not colon or not port.isdecimal() or int(port) > 65_535:
            raise ValueError(f"'{text}' is not host:port with a port from 0 to 65535")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise ValueError(f"'{text}' is not host:port; write an IPv6 address as [{host}]:{port}")
        return cls(host, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    async def resolve(self) -> list[tuple[socket.AddressFamily, SocketAddress]]:
        """Return what to bind, each address once.

        Raises:
            OSError: the name is not known.
        """
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(
                self.host or None, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
        except socket.gaierror as problem:
            raise OSError(problem.errno, f"cannot listen on {self}: {problem.strerror}") from problem
        return list(dict.fromkeys((socket.AddressFamily(family), where) for family, _, _, _, where in found))

    async def exposed(self) -> bool:
        """Return whether other machines can connect.

        Raises:
            OSError: the name is not known.
        """
        return not all(_is_loopback(str(where[0])) for _, where in await self.resolve())


def _is_loopback(host: str) -> bool:
    address = ip_address(host)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_loopback
