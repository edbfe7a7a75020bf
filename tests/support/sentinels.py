"""Real Sentinels: single ones, and a master with a replica that three of them watch.

The Sentinels are `redis-server --sentinel`; every redis-server can be one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import redis
import redis.asyncio

from sidecar.dev import probes
from sidecar.dev.ports import LOOPBACK, free_port
from sidecar.dev.processes import ChildProcess
from sidecar.dev.servers import RedisServer
from tests.support.children import Children, StartRedis
from tests.support.waiting import eventually

MASTER = "mymaster"
"""Name under which the master is watched."""

DOWN_AFTER_MS = 500
"""A master that is silent for this long is down: short, so that a failover in a test takes seconds."""

FAILOVER_LIMIT_S = 30.0
"""From the death of a master to its successor: half a second until it is missed, an election (with pauses of up to a
second, again if nobody wins), and an INFO of the new master, which the Sentinels ask for once a second."""


class SentinelServer(ChildProcess):
    """One Sentinel. It writes what it learns into its configuration file, so a restart goes on from there."""

    ready_sign = "it does not answer PING"

    def __init__(
        self,
        *,
        port: int,
        directory: Path,
        watched: Mapping[str, int],
        quorum: int = 1,
        down_after_ms: int = DOWN_AFTER_MS,
        password: str | None = None,
        program: Path,
    ) -> None:
        """`watched` are masters on loopback, name to port; `directory` must exist; `password` is asked of clients."""
        super().__init__("sentinel")
        self.port = port
        self._program = program
        self._file = directory / "sentinel.conf"
        lines = [f"port {port}", f"bind {LOOPBACK}", f"dir {directory}", "loglevel warning"]
        if password is not None:
            lines.append(f"requirepass {password}")
        for name, master_port in watched.items():
            lines.append(f"sentinel monitor {name} {LOOPBACK} {master_port} {quorum}")
            lines.append(f"sentinel down-after-milliseconds {name} {down_after_ms}")
            lines.append(f"sentinel failover-timeout {name} 3000")
        self._file.write_text("\n".join(lines) + "\n")

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"{LOOPBACK}:{self.port}"

    def command(self) -> Sequence[str | Path]:
        return [self._program, self._file, "--sentinel"]

    def is_ready(self) -> bool:
        return probes.redis_answers(self.port, self.pid)


@dataclass
class SentinelSet:
    """A master, its replica, and the Sentinels that watch them."""

    master: RedisServer
    replica: RedisServer
    sentinels: list[SentinelServer]

    @property
    def url(self) -> str:
        """Address for clients, database 0."""
        return f"redis+sentinel://{','.join(sentinel.address for sentinel in self.sentinels)}/{MASTER}/0"

    async def settled(self) -> None:
        """Wait until a failover can succeed: the replica is in step, and every Sentinel knows it and the others."""
        async with redis.asyncio.Redis(port=self.replica.port) as replica:
            await eventually(lambda: _in_step(replica), limit_s=FAILOVER_LIMIT_S, why="the replica is not in step")
        for sentinel in self.sentinels:
            await eventually(
                lambda sentinel=sentinel: self._knows_all(sentinel),  # type: ignore[misc]  # mypy knows no defaults here
                limit_s=FAILOVER_LIMIT_S,
                why=f"the Sentinel {sentinel.address} does not know all others",
            )

    async def fail_over(self) -> None:
        """Have the Sentinels make the replica the master and the master a replica; returns before it is done."""
        async with redis.asyncio.Redis(port=self.sentinels[0].port, protocol=2) as sentinel:
            await sentinel.execute_command("SENTINEL", "FAILOVER", MASTER)  # type: ignore[no-untyped-call]

    async def _knows_all(self, sentinel: SentinelServer) -> bool:
        async with redis.asyncio.Redis(port=sentinel.port, protocol=2, decode_responses=True) as client:
            answer: list[str] = await client.execute_command("SENTINEL", "MASTER", MASTER)  # type: ignore[no-untyped-call]
            state = dict(zip(answer[::2], answer[1::2], strict=True))
            others, replicas = int(state["num-other-sentinels"]), int(state["num-slaves"])
            return others == len(self.sentinels) - 1 and replicas == 1


async def _in_step(replica: redis.asyncio.Redis) -> bool:
    link: str = (await replica.info("replication"))["master_link_status"]
    return link == "up"


class StartSentinels:
    """Starts Sentinels, and what they watch."""

    def __init__(self, children: Children, directory: Path, program: Path) -> None:
        self._children = children
        self._directory = directory
        self._program = program
        self._start_redis = StartRedis(children, directory, program)

    def one(
        self,
        watched: Mapping[str, int],
        *,
        quorum: int = 1,
        down_after_ms: int = DOWN_AFTER_MS,
        password: str | None = None,
    ) -> SentinelServer:
        """Start a Sentinel and return it ready; it names what it watches, whether that is there or not."""
        port = free_port()
        directory = self._directory / f"sentinel-{port}"
        directory.mkdir()
        return self._children.add(
            SentinelServer(
                port=port,
                directory=directory,
                watched=watched,
                quorum=quorum,
                down_after_ms=down_after_ms,
                password=password,
                program=self._program,
            )
        )

    def replica_of(self, master: RedisServer) -> RedisServer:
        """Start a replica and return it when it answers; it may not be in step yet."""
        return self._start_redis("--replicaof", LOOPBACK, str(master.port), "--repl-diskless-sync-delay", "0")

    async def all(self) -> SentinelSet:
        """Start a master, a replica and three Sentinels, and return them ready for a failover."""
        master = self._start_redis("--repl-diskless-sync-delay", "0")
        replica = self.replica_of(master)
        sentinels = [self.one({MASTER: master.port}, quorum=2) for _ in range(3)]
        found = SentinelSet(master, replica, sentinels)
        await found.settled()
        return found
