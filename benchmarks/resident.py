"""What memsidecar takes while nothing happens: memory at rest and per idle connection, and the time until it is ready.

In each round a fresh process of it, and one of tiktoken alone beside it. Where the system does not tell the memory of
a process there are only the times.
"""

from __future__ import annotations

import resource
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from benchmarks.client import LoadFailed
from benchmarks.load import pack
from benchmarks.processor_time import processor_seconds
from benchmarks.resident_memory import KB, resident_bytes
from benchmarks.results import CaseResult
from benchmarks.robust import paired_ratios
from benchmarks.rows import (
    IDLE_SILENT,
    IDLE_USED,
    REST_READY,
    REST_READY_RATIO,
    REST_RESIDENT,
    REST_RESIDENT_RATIO,
    Row,
)
from benchmarks.scenario import Case, Figure
from benchmarks.scrape import Scrape
from benchmarks.stage import run
from benchmarks.tiktoken_alone import TiktokenProcess
from sidecar.dev import probes
from sidecar.dev.ports import LOOPBACK, free_port
from sidecar.dev.processes import ChildProcess
from sidecar.dev.servers import RedisServer, SidecarProcess
from sidecar.tokens.vocabulary import ENCODINGS

SCENARIO = "resident"

CONNECTIONS = 1_000

FIRST_CONNECTIONS = 20
"""Used and closed before the idle ones come: what the first clients of a process make it load is not theirs."""

PHASES = 2
"""Measurements in a round: tiktoken alone, and memsidecar."""

MEGABYTE = 1_000_000

FILES_BESIDES = 200
"""Open files of a process that are no clients' connections; memsidecar has up to two per client."""

SILENCE_LIMIT_S = 30.0
"""For one reply, and until all connections are accepted."""

POLL_S = 0.002
"""Between two questions whether a process is ready, so that the answer is no coarser than it need be."""

_SIDECAR, _TIKTOKEN = "memsidecar", "tiktoken alone"

_MEASURED: dict[str, tuple[str, Row | None]] = {
    f"{_SIDECAR}: resident at rest": ("MB", REST_RESIDENT),
    f"{_TIKTOKEN}: resident at rest": ("MB", None),
    f"{_SIDECAR}: from start to ready": ("s", REST_READY),
    f"{_TIKTOKEN}: from start to ready": ("s", None),
    f"{_SIDECAR}: CPU time until ready": ("s", None),
    f"{_TIKTOKEN}: CPU time until ready": ("s", None),
    "resident per idle connection that sent nothing": ("KB", IDLE_SILENT),
    "resident per idle connection that did one MEMAPPEND": ("KB", IDLE_USED),
}
"""Unit and row of what a round measures."""

_RATIOS = {REST_RESIDENT_RATIO: "resident at rest", REST_READY_RATIO: "from start to ready"}


def measure_resident(*, rounds: int, advance: Callable[[], None]) -> list[CaseResult]:
    """Return one case, with figures only.

    Args:
        rounds: how often both processes are started.
        advance: is called after each of them.

    Raises:
        LoadFailed: the system allows too few open files, or a request was refused.
    """
    _allow_files(2 * CONNECTIONS + FILES_BESIDES)
    told: list[dict[str, float]] = []
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="memsidecar-bench-")))
        redis = run(stack, RedisServer(port=free_port(), directory=directory))
        for _ in range(rounds):
            figures = _alone(directory)
            advance()
            told.append(figures | _sidecar(redis))
            advance()
    case = Case(SCENARIO, "at rest and idle", {"connections": CONNECTIONS, "encoding": ENCODINGS[0]}, [])
    return [CaseResult(case, [], list(_figures(told)))]


def _alone(directory: Path) -> dict[str, float]:
    process = TiktokenProcess(ENCODINGS[0], directory=directory)
    with ExitStack() as stack:
        return _at_rest(stack, _TIKTOKEN, process, process.is_ready)


def _sidecar(redis: RedisServer) -> dict[str, float]:
    settings = {
        "MEMSIDECAR_REDIS_URL": redis.url,
        "MEMSIDECAR_ENGINE": "local",
        "MEMSIDECAR_LOG_LEVEL": "warning",
    }
    sidecar = SidecarProcess(port=free_port(), http_port=free_port(), settings=settings)
    with ExitStack() as stack:
        figures = _at_rest(stack, _SIDECAR, sidecar, lambda: probes.http_succeeds(sidecar.http_port, "/readyz"))
        with ExitStack() as first:
            _append(_connect(first, sidecar, FIRST_CONNECTIONS))
        _clients_become(sidecar, 0)
        before = resident_bytes(sidecar.pid)
        connections = _connect(stack, sidecar, CONNECTIONS)
        silent = resident_bytes(sidecar.pid)
        _append(connections)
        used = resident_bytes(sidecar.pid)
    if before is not None and silent is not None and used is not None:
        figures["resident per idle connection that sent nothing"] = (silent - before) / CONNECTIONS / KB
        figures["resident per idle connection that did one MEMAPPEND"] = (used - before) / CONNECTIONS / KB
    return figures


def _at_rest(stack: ExitStack, name: str, process: ChildProcess, is_ready: Callable[[], bool]) -> dict[str, float]:
    """Start a process, to be stopped with the stack; return what it took until it can be used, and what it holds."""
    begun = time.perf_counter()
    process.spawn()
    stack.callback(process.stop)
    deadline = begun + process.ready_limit_s
    while not is_ready():
        if time.perf_counter() > deadline or not process.running:
            process.wait_ready()  # raises what went wrong
        time.sleep(POLL_S)
    figures = {f"{name}: from start to ready": time.perf_counter() - begun}
    if (spent := processor_seconds(process.pid)) is not None:
        figures[f"{name}: CPU time until ready"] = spent
    if (resident := resident_bytes(process.pid)) is not None:
        figures[f"{name}: resident at rest"] = resident / MEGABYTE
    return figures


def _connect(stack: ExitStack, sidecar: SidecarProcess, count: int) -> list[socket.socket]:
    """Open connections, and wait until memsidecar has accepted all of them."""
    found = [
        stack.enter_context(socket.create_connection((LOOPBACK, sidecar.port), timeout=SILENCE_LIMIT_S))
        for _ in range(count)
    ]
    _clients_become(sidecar, count)
    return found


def _clients_become(sidecar: SidecarProcess, count: int) -> None:
    deadline = time.monotonic() + SILENCE_LIMIT_S
    while (clients := Scrape(sidecar.metrics_url).total("memsidecar_clients")) != count:
        if time.monotonic() > deadline:
            raise LoadFailed(f"memsidecar has {clients:g} clients instead of {count}, after {SILENCE_LIMIT_S:g} s")
        time.sleep(POLL_S)


def _append(connections: list[socket.socket]) -> None:
    """Let each connection do one MEMAPPEND, to a memory of its own, and wait for its reply."""
    for number, connection in enumerate(connections):
        connection.sendall(pack("MEMAPPEND", f"default:idle-{number}", "user", "Are you there?"))
        if (reply := connection.recv(4_096))[:1] in (b"", b"-"):
            raise LoadFailed(f"memsidecar answered {reply[:200]!r} to MEMAPPEND")


def _allow_files(needed: int) -> None:
    """Raise the limit of open files, which the servers inherit, where it is too low and may be raised."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise LoadFailed(
            f"the scenario '{SCENARIO}' needs {needed} open files, and {hard} are allowed; raise the limit (ulimit -Hn)"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _figures(told: list[dict[str, float]]) -> Iterator[Figure]:
    rounds = {name: [one[name] for one in told] for name in _MEASURED if name in told[0]}
    for name, values in rounds.items():
        yield Figure(name, values, *_MEASURED[name])
    for row, what in _RATIOS.items():
        mine, theirs = f"{_SIDECAR}: {what}", f"{_TIKTOKEN}: {what}"
        if mine in rounds and theirs in rounds:
            ratios = paired_ratios(rounds[mine], rounds[theirs])
            yield Figure(f"{_SIDECAR} : {_TIKTOKEN}, {what}", ratios, "", row)
