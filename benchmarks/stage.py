"""The servers of one run: a Redis that keeps nothing on the disk, a memsidecar before it, and HAProxy and nutcracker
where they are installed. All of them are ours, on free ports of 127.0.0.1, and gone afterwards.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import redis

from benchmarks.generator import Generator
from benchmarks.haproxy import HaproxyServer, maybe_find_haproxy
from benchmarks.load import Load, Sample
from benchmarks.nutcracker import NutcrackerServer, maybe_find_nutcracker
from benchmarks.scenario import MEMSIDECAR
from sidecar.config.definitions import load_definitions
from sidecar.dev.ports import LOOPBACK, free_port
from sidecar.dev.processes import ChildProcess
from sidecar.dev.servers import RedisServer, SidecarProcess
from sidecar.memory.addressing import Addressing, Memory
from sidecar.memory.catalogue import Catalogue
from sidecar.memory.keys import KeySpace
from sidecar.templates.engine import TemplateEngine

REDIS = "redis"
"""Name of Redis among the CPU times."""

CLIENT_TIMEOUT_S = 60.0
"""For preparations such as emptying a Redis of hundreds of megabytes; nothing that is measured."""

DEFINITION = "bench"

# Without limits no flush begins in the middle of a measurement.
_DEFINITIONS = f"definitions:\n  - id: {DEFINITION}\n    max_tokens: null\n"

_Child = TypeVar("_Child", bound=ChildProcess)


class Stage:
    """Starts everything on entry and stops it on exit.

    Attributes: the servers `redis_server`, `sidecar`, `haproxy` and `nutcracker` (None without them); `redis` is a
    client for preparations, `generator` the load generator.

    Args:
        make_redis, make_sidecar: called with the keyword arguments of `RedisServer` and `SidecarProcess`.
    """

    def __init__(
        self,
        *,
        make_redis: Callable[..., RedisServer] = RedisServer,
        make_sidecar: Callable[..., SidecarProcess] = SidecarProcess,
    ) -> None:
        self._make_redis = make_redis
        self._make_sidecar = make_sidecar

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            directory = Path(starting.enter_context(tempfile.TemporaryDirectory(prefix="memsidecar-bench-")))
            definitions = directory / "definitions.yaml"
            definitions.write_text(_DEFINITIONS, encoding="utf-8")
            catalogue = Catalogue(load_definitions(definitions).by_id)
            self._addressing = Addressing(catalogue, KeySpace(), TemplateEngine().render)
            self.redis_server = run(starting, self._make_redis(port=free_port(), directory=directory))
            settings = self._settings = {
                "MEMSIDECAR_REDIS_URL": self.redis_server.url,
                "MEMSIDECAR_DEFINITIONS": str(definitions),
                "MEMSIDECAR_ENGINE": "local",
                "MEMSIDECAR_LOG_LEVEL": "warning",
                # Whatever the user's shell says, it must be the memories that `memory` names.
                "MEMSIDECAR_PROJECT": KeySpace().project,
                "MEMSIDECAR_KEY_PREFIX": KeySpace().prefix,
            }
            sidecar = self._make_sidecar(port=free_port(), http_port=free_port(), settings=settings)
            self.sidecar = run(starting, sidecar)
            self._start_proxies(starting, directory)
            self.generator = starting.enter_context(Generator())
            self.redis = _client(starting, self.redis_server.port)
            self._memsidecar: Any = _client(starting, self.sidecar.port)  # its execute_command has no types
            self._running = starting.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._running.__exit__(kind, problem, traceback)

    def start_sidecar(self, *, workers: int) -> SidecarProcess:
        """Start one more memsidecar before the same Redis, with so many workers; it stays as long as the stage."""
        settings = {**self._settings, "MEMSIDECAR_WORKERS": str(workers)}
        return run(self._running, SidecarProcess(port=free_port(), http_port=free_port(), settings=settings))

    def _start_proxies(self, starting: ExitStack, directory: Path) -> None:
        port = self.redis_server.port
        self.haproxy: HaproxyServer | None = None
        if program := maybe_find_haproxy():
            haproxy = HaproxyServer(program=program, port=free_port(), redis_port=port, directory=directory)
            self.haproxy = run(starting, haproxy)
        self.nutcracker: NutcrackerServer | None = None
        if program := maybe_find_nutcracker():
            nutcracker = NutcrackerServer(program=program, port=free_port(), redis_port=port, directory=directory)
            self.nutcracker = run(starting, nutcracker)

    def memory(self, instance: str) -> Memory:
        """Return one of the benchmark's memories, as the sidecar resolves it."""
        return self._addressing.resolve(f"{DEFINITION}:{instance}".encode())

    def log_length(self, instance: str) -> int:
        """Return how many messages Redis has of a memory: entries of its log, not a total that is kept beside it."""
        found: Any = self.redis.xlen(self.memory(instance).keys.log)
        return int(found)

    def empty(self) -> None:
        """Delete all data; scripts stay loaded."""
        self.redis.flushall()

    def ask(self, *words: str) -> Any:
        """Send a command to memsidecar and return its reply, as RESP2 has it."""
        return self._memsidecar.execute_command(*words)

    def watched(self) -> dict[str, int]:
        """Return the processes whose CPU time is measured."""
        return {MEMSIDECAR: self.sidecar.pid, REDIS: self.redis_server.pid}

    def meter(self, port: int, pipeline: int, requests: Sequence[Sequence[bytes]]) -> OwnMeter:
        """Return a meter that sends `requests` (see `Load`) to the server on `port`."""
        return OwnMeter(self.generator, Load(port, pipeline, requests, self.watched()))


class OwnMeter:
    """Measures with our own load generator."""

    def __init__(self, generator: Generator, load: Load) -> None:
        self._generator = generator
        self._load = load

    def measure(self, *, seconds: float, warm_up_s: float) -> Sample:
        """Return one measurement. Raises `client.LoadFailed`."""
        return self._generator.measure(self._load, seconds=seconds, warm_up_s=warm_up_s)


def run(stack: ExitStack, child: _Child) -> _Child:
    """Start a server, and stop it when the stack is closed."""
    child.start()
    stack.callback(child.stop)
    return child


def _client(stack: ExitStack, port: int) -> redis.Redis:
    client = redis.Redis(host=LOOPBACK, port=port, protocol=2, socket_timeout=CLIENT_TIMEOUT_S)
    stack.enter_context(client)
    return client
