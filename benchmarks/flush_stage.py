"""The servers of a run with flushes: a Redis, a memsidecar, and for the engine `temporal` a Temporal dev server and a
worker. All of them are ours, on free ports of 127.0.0.1, and gone afterwards.

The counterpart is `stage`, whose memsidecar never flushes by itself. This one has a Redis of its own, so that the
sweeper of neither finds the other's memories.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import redis

from benchmarks.open_loop import OpenGenerator
from benchmarks.redis_holds import load_all_scripts
from benchmarks.scenario import MEMSIDECAR
from benchmarks.stage import REDIS, run
from sidecar.dev.binaries import maybe_find_temporal
from sidecar.dev.ports import LOOPBACK, free_port
from sidecar.dev.servers import RedisServer, SidecarProcess, TemporalServer, WorkerProcess
from sidecar.memory.keys import KeySpace, MemoryKeys

Engine = Literal["local", "temporal"]

TEMPORAL = "temporal"
WORKER = "worker"
"""Names of these processes among the CPU times."""

CLIENT_TIMEOUT_S = 600.0
"""For a MEMFLUSH that waits for its outcome: a memory of a million messages takes minutes."""

BATCH = 200
"""Messages per MEMAPPEND while memories are filled: a request of 50 kB."""


def engines() -> list[Engine]:
    """Return the engines that can be measured here."""
    return ["local", "temporal"] if maybe_find_temporal() else ["local"]


class FlushStage:
    """Starts everything on entry and stops it on exit.

    Attributes: the servers `redis_server`, `sidecar`, `temporal` and `worker` (None with the local engine); `redis` is
    a client for preparations, `generator` sends loads at a fixed rate.
    """

    def __init__(self, engine: Engine, definitions: str) -> None:
        """`definitions` is the YAML of the memories' definitions."""
        self.engine = engine
        self._yaml = definitions
        self._space = KeySpace()

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            directory = Path(starting.enter_context(tempfile.TemporaryDirectory(prefix="memsidecar-bench-")))
            definitions = directory / "definitions.yaml"
            definitions.write_text(self._yaml, encoding="utf-8")
            self.redis_server = run(starting, RedisServer(port=free_port(), directory=directory))
            settings = {
                "MEMSIDECAR_REDIS_URL": self.redis_server.url,
                "MEMSIDECAR_DEFINITIONS": str(definitions),
                "MEMSIDECAR_ENGINE": self.engine,
                "MEMSIDECAR_LOG_LEVEL": "warning",
                "MEMSIDECAR_PROJECT": self._space.project,
                "MEMSIDECAR_KEY_PREFIX": self._space.prefix,
            }
            self.temporal: TemporalServer | None = None
            self.worker: WorkerProcess | None = None
            if self.engine == "temporal":
                self.temporal = run(starting, TemporalServer(port=free_port()))
                settings["MEMSIDECAR_TEMPORAL_ADDRESS"] = self.temporal.address
                settings["MEMSIDECAR_TEMPORAL_NAMESPACE"] = "default"
                # The worker says that it is ready at this level, and its starter waits for that.
                self.worker = run(starting, WorkerProcess(settings=settings | {"MEMSIDECAR_LOG_LEVEL": "info"}))
            sidecar = SidecarProcess(port=free_port(), http_port=free_port(), settings=settings)
            self.sidecar = run(starting, sidecar)
            self.generator = starting.enter_context(OpenGenerator())
            self.redis = self._client(starting, self.redis_server.port)
            self._memsidecar: Any = self._client(starting, self.sidecar.port)  # its execute_command has no types
            load_all_scripts(self.redis)
            self._running = starting.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._running.__exit__(kind, problem, traceback)

    def watched(self) -> dict[str, int]:
        """Return the processes whose CPU time is measured."""
        processes = {MEMSIDECAR: self.sidecar, REDIS: self.redis_server, TEMPORAL: self.temporal, WORKER: self.worker}
        return {name: process.pid for name, process in processes.items() if process is not None}

    def ask(self, *words: str | int) -> Any:
        """Send a command to memsidecar and return its reply, as RESP2 has it."""
        return self._memsidecar.execute_command(*words)

    def ask_map(self, *words: str | int) -> dict[str, Any]:
        """Send a command to memsidecar that answers a map, and return that."""
        reply = self.ask(*words)
        return {name.decode(): value for name, value in zip(reply[::2], reply[1::2], strict=True)}

    def keys(self, memory: str) -> MemoryKeys:
        """Return the keys on Redis of `definition:instance`."""
        definition, _, instance = memory.partition(":")
        return self._space.keys(definition, instance)

    def fill(self, memory: str, texts: Sequence[str]) -> None:
        """Append a system message and then `texts`, as user and assistant in turn."""
        self.ask("MEMAPPEND", memory, "system", "You are the support desk of a shop. Be brief and kind.")
        for start in range(0, len(texts), BATCH):
            turns = (
                word
                for number, text in enumerate(texts[start : start + BATCH])
                for word in (("user", "assistant")[number % 2], text)
            )
            self.ask("MEMAPPEND", memory, *turns)

    @staticmethod
    def _client(stack: ExitStack, port: int) -> redis.Redis:
        client = redis.Redis(host=LOOPBACK, port=port, protocol=2, socket_timeout=CLIENT_TIMEOUT_S)
        stack.enter_context(client)
        return client
