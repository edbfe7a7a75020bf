"""Finds the master: asks the Sentinels by name, and what they name whether it is one.

redis-py speaks to the Sentinels. Its own search (`redis.asyncio.sentinel`) is not used: it ends at the first
Sentinel that answers with an error, never asks another one than a Sentinel that lags, and repeats passwords in its
error texts.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import redis.asyncio
import redis.exceptions

from sidecar.net.endpoint import Address
from sidecar.net.opening import open_connection
from sidecar.net.redis_client import redis_client
from sidecar.net.redis_tls import RedisTls
from sidecar.net.role import MASTER

P = TypeVar("P", bound=asyncio.Protocol)

SENTINEL_LIMIT_S = 0.5
"""For a connection to a Sentinel, and again for its answer; on one network both take a millisecond, and the next one
is to have its chance within the time of one dial."""

ROLE_KEPT_S = 1.0
"""How long a master is believed to be one: a storm of new clients costs Redis one ROLE a second."""

RETRY_S = 0.1
"""Between two searches while no master is found; a failover takes seconds."""

FIRST_DOUBT = "the Sentinels have not answered yet"


class Sentinels:
    """What several Sentinels say. The one that answered last is asked first.

    Args:
        addresses: of the Sentinels.
        master: the name under which they watch the master.
        tls: how they are verified; None means plain.
        username: with `password`, who we are to the Sentinels; None means the user `default`.
        password: None means that they ask for none.
    """

    def __init__(
        self,
        addresses: Sequence[Address],
        master: str,
        *,
        tls: RedisTls | None = None,
        username: str | None = None,
        password: str | None = None,
    ) -> None:
        self._master = master
        self._clients: deque[tuple[Address, redis.asyncio.Redis]] = deque(
            (
                address,
                redis_client(
                    _To(address, tls),
                    username=username,
                    password=password,
                    client_name="memsidecar",
                    reply_timeout_s=SENTINEL_LIMIT_S,
                    resp=2,  # Sentinels before 6.2 know no other
                ),
            )
            for address in addresses
        )

    async def named(self) -> Address:
        """Return the address that the first Sentinel names that names one.

        Raises:
            ConnectionError: none does; says why for each.
        """
        reasons = []
        for _ in range(len(self._clients)):
            address, client = self._clients[0]
            try:
                answer = await self._ask(client)
            except redis.exceptions.RedisError as problem:
                text = str(problem).removeprefix("Error connecting to Redis: ")
                reasons.append(text if text.startswith(f"{address}: ") else f"{address}: {text}")
            else:
                if answer:
                    return Address(answer[0].decode(), int(answer[1]))
                reasons.append(f"{address}: it knows no master '{self._master}'")
            self.prefer_another()
        raise ConnectionError(f"no Sentinel names a master: {'; '.join(reasons)}")

    async def _ask(self, client: redis.asyncio.Redis) -> list[bytes] | None:
        question = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._master)
        answer: list[bytes] | None = await client.execute_command(*question)  # type: ignore[no-untyped-call]
        return answer

    def prefer_another(self) -> None:
        """Ask the one last that was asked first."""
        self._clients.rotate(-1)

    async def close(self) -> None:
        """Close the connections to the Sentinels."""
        for _, client in self._clients:
            await client.aclose()


class _To:
    """Opens connections to one Sentinel."""

    def __init__(self, address: Address, tls: RedisTls | None) -> None:
        self._address = address
        self._tls = tls

    async def connect(self, factory: Callable[[], P]) -> P:
        try:
            async with asyncio.timeout(SENTINEL_LIMIT_S):
                return await open_connection(factory, self._address, self._tls)
        except TimeoutError as late:
            raise TimeoutError(f"{self._address}: no connection within {SENTINEL_LIMIT_S:g} s") from late

    def suspect(self) -> None:
        """A Sentinel refuses no writes, and its address is fixed."""


class MasterSearch:
    """The master's address, found anew at each dial; dials at the same time share one search.

    Args:
        sentinels: who names an address.
        role_of: asks that address for its role; None means it does not tell, which is taken for a yes.
    """

    def __init__(self, sentinels: Sentinels, role_of: Callable[[Address], Awaitable[str | None]]) -> None:
        self._sentinels = sentinels
        self._role_of = role_of
        self._believed: tuple[Address, float] | None = None
        self._doubts = 0
        self._current: asyncio.Task[Address] | None = None
        self._running: set[asyncio.Task[Address]] = set()
        self.last_doubt = FIRST_DOUBT

    async def address(self) -> Address:
        """Return where the master is.

        Raises:
            OSError: nobody names one, or what is named is none; says why.
        """
        search = self._current
        if search is None:
            search = self._current = asyncio.create_task(self._search(self._doubts), name="sentinel-search")
            self._running.add(search)
            search.add_done_callback(self._ended)
        await asyncio.wait({search})  # unlike awaiting it, this lets it go on when one of the dials is given up
        if search.cancelled():
            raise ConnectionError("the dialer is closed")
        return search.result()

    def suspect(self) -> None:
        """Forget what is believed, and what a search under way will find."""
        self._doubts += 1
        self._believed = None
        self._current = None

    def distrust(self, address: Address) -> None:
        """Take note that a connection to `address` failed. Of many dials that see it, only the first counts."""
        if self._believed is not None and self._believed[0] == address:
            self.suspect()

    async def close(self) -> None:
        """End searches and close the connections to the Sentinels."""
        running = list(self._running)
        for search in running:
            search.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._sentinels.close()

    def _ended(self, search: asyncio.Task[Address]) -> None:
        self._running.discard(search)
        if self._current is search:
            self._current = None
        if not search.cancelled():
            search.exception()  # read here, because every dial that waited may have been given up

    async def _search(self, doubts: int) -> Address:
        try:
            address = await self._sentinels.named()
            if not self._is_believed(address):
                role = await self._role_of(address)
                if role not in (MASTER, None):
                    self._sentinels.prefer_another()
                    what = "a replica" if role == "slave" else f"a {role}"
                    raise ConnectionError(f"{address}: it is {what}, not the master: a failover is under way")
                if doubts == self._doubts:  # the answer is not older than the last doubt
                    self._believed = (address, asyncio.get_running_loop().time() + ROLE_KEPT_S)
        except OSError as problem:
            self.last_doubt = str(problem)
            # Inside the shared search: however many dials wait, the Sentinels are asked at this pace.
            await asyncio.sleep(RETRY_S)
            raise
        return address

    def _is_believed(self, address: Address) -> bool:
        if self._believed is None:
            return False
        believed, until = self._believed
        return believed == address and asyncio.get_running_loop().time() < until
