"""Opens connections to the Redis that the endpoint means at that moment.

One dialer serves a process: its clients' connections (`net.upstream`), our own (`net.multiplexer`) and redis-py's
(`net.redis_client`). It keeps no connection to Redis and sends nothing on the ones it hands over; it does not log in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sidecar.net.endpoint import Address, RedisEndpoint
from sidecar.net.opening import open_connection
from sidecar.net.redis_tls import RedisTls
from sidecar.net.role import role_of
from sidecar.net.sentinel import RETRY_S, MasterSearch, Sentinels

P = TypeVar("P", bound=asyncio.Protocol)

CONNECT_TIMEOUT_S = 2.0
"""A Redis that does not accept within this time is down; on one network an accept takes milliseconds."""


class Dialer:
    """Dials; belongs to the event loop in which it is used.

    Args:
        endpoint: what to dial. Its user and password are used only to ask a master that Sentinels name for its role.
        tls: how TLS is verified; given exactly for the endpoints that want it.
        sentinel_username: with `sentinel_password`, who we are to the Sentinels; None means the user `default`.
        sentinel_password: None means that the Sentinels ask for none.
        connect_timeout_s: for everything from the call to the connection: names, Sentinels, role, handshake.

    Raises:
        ValueError: `tls` does not fit the endpoint, which must never mean "plain, then".
    """

    def __init__(
        self,
        endpoint: RedisEndpoint,
        *,
        tls: RedisTls | None = None,
        sentinel_username: str | None = None,
        sentinel_password: str | None = None,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
    ) -> None:
        if endpoint.tls != (tls is not None):
            raise ValueError("TLS is given exactly for a rediss:// or rediss+sentinel:// endpoint")
        self.endpoint = endpoint
        self._tls = tls
        self._timeout_s = connect_timeout_s
        self._search: MasterSearch | None = None
        if endpoint.sentinels:
            sentinels = Sentinels(
                endpoint.sentinels,
                endpoint.master,
                tls=tls,
                username=sentinel_username,
                password=sentinel_password,
            )
            self._search = MasterSearch(sentinels, self._role_of)

    async def connect(self, factory: Callable[[], P]) -> P:
        """Connect a protocol.

        With Sentinels, goes on looking for a master until the time is over. A protocol of a connection that broke
        before it could be handed over has seen `connection_made` and sees `connection_lost`; then the factory may be
        called again.

        Raises:
            OSError: says which address, and why. A TimeoutError when the time was over.
        """
        if self._search is not None:
            return await self._to_master(factory, self._search)
        where = self._fixed
        try:
            async with asyncio.timeout(self._timeout_s):
                return await open_connection(factory, where, self._tls)
        except TimeoutError as late:
            raise TimeoutError(f"{where}: no connection within {self._timeout_s:g} s") from late

    def reload(self) -> None:
        """Read the TLS files anew, for the next connections.

        Raises:
            ConfigurationError: a file cannot be used; what was read before stays in use.
        """
        if self._tls is not None:
            self._tls.reload()

    def suspect(self) -> None:
        """Take note that Redis refused a write as a replica does: the next dial believes nothing found before.

        Without Sentinels nothing is remembered from one dial to the next; a host name is looked up at each.
        """
        if self._search is not None:
            self._search.suspect()

    async def close(self) -> None:
        """Close the connections to the Sentinels. Connections that were handed over belong to their owners."""
        if self._search is not None:
            await self._search.close()

    @property
    def _fixed(self) -> Address | Path:
        return self.endpoint.socket or Address(self.endpoint.host, self.endpoint.port)

    async def _to_master(self, factory: Callable[[], P], search: MasterSearch) -> P:
        why: str | None = None
        try:
            async with asyncio.timeout(self._timeout_s):
                while True:
                    try:
                        address = await search.address()
                    except OSError as problem:  # it has waited before it said so
                        why = str(problem)
                        continue
                    try:
                        return await open_connection(factory, address, self._tls)
                    except OSError as problem:
                        why = str(problem)
                        search.distrust(address)
                        await asyncio.sleep(RETRY_S)
        except TimeoutError as late:
            text = why or search.last_doubt
            raise TimeoutError(
                f"master '{self.endpoint.master}': no connection within {self._timeout_s:g} s: {text}"
            ) from late

    async def _role_of(self, address: Address) -> str | None:
        where = self.endpoint
        return await role_of(address, tls=self._tls, username=where.username, password=where.password)
