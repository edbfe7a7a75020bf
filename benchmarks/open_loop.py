"""A load with fixed times: requests are sent when they are due, whether or not the earlier ones were answered.

So a stall shows. A client that waits for its reply before it sends again meets a stall of a second once; at 100
requests a second it is 100 clients that would have waited, and here it is 100 requests, each measured from the moment
when it was due. The counterpart is `client`, which asks how much a server can do; this one asks how long it takes at a
given rate. Plain sockets and select(2): its timeout has microseconds, that of an event loop milliseconds.
"""

from __future__ import annotations

import gc
import multiprocessing
import select
import signal
import socket
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import cycle
from math import inf
from multiprocessing.connection import Connection
from time import perf_counter, process_time
from types import TracebackType
from typing import Any, Self

import hiredis

from benchmarks.client import GENERATOR, LoadFailed
from benchmarks.load import Sample
from benchmarks.processor_time import processor_seconds
from benchmarks.robust import percentile
from sidecar.dev.ports import LOOPBACK

SILENCE_LIMIT_S = 30.0
"""Longest time without any reply while some are missing."""

START_LIMIT_S = 30.0
"""For starting an interpreter and opening connections on a busy machine."""

LONGEST_WAIT_S = 0.5
"""Between two looks whether the load is to end or the server is silent."""

READ_BYTES = 256 * 1024
"""At once from a socket: several replies of 8,000 tokens."""


@dataclass(frozen=True, slots=True)
class Stream:
    """One kind of request, sent at a fixed rate.

    Args:
        name: what its figures are called.
        requests: packed; sent in a circle.
        rate: requests per second, evenly spread.
        connections: the requests go to these in turn. One connection answers in order, as a session does.
        once: send each request once, and then no more.
    """

    name: str
    requests: Sequence[bytes]
    rate: float
    connections: int = 1
    once: bool = False


@dataclass(frozen=True, slots=True)
class OpenLoad:
    """Streams for one server on 127.0.0.1; `watched` are process ids, by name, whose CPU time is wanted."""

    port: int
    streams: Sequence[Stream]
    watched: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Timed:
    """What one stream gave: `sample` as for every other load, and the longest time in ms."""

    sample: Sample
    longest_ms: float


class OpenGenerator:
    """Carries out open loads in a process of its own; a context manager, for one load at a time."""

    def __enter__(self) -> Self:
        # Not forked: a fork would inherit the pipes and threads of the servers that were started before.
        context = multiprocessing.get_context("spawn")
        self._orders, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), name="open generator", daemon=True)
        self._process.start()
        theirs.close()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._orders.close()
        self._process.join(0 if problem else START_LIMIT_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def start(self, load: OpenLoad) -> None:
        """Begin a load and return when its first requests are due. Raises `LoadFailed`."""
        self._order(load)
        self._answer()

    def stop(self) -> dict[str, Timed]:
        """End the load, wait for the replies that are missing, and return what each stream gave.

        Raises:
            LoadFailed: a request was refused, or replies did not come.
        """
        self._order(None)
        found: dict[str, Timed] = self._answer()
        return found

    def _order(self, order: object) -> None:
        try:
            self._orders.send(order)
        except OSError as problem:
            raise LoadFailed("the load generator has died") from problem

    def _answer(self) -> Any:
        limit = START_LIMIT_S + SILENCE_LIMIT_S
        try:
            if not self._orders.poll(limit):
                raise LoadFailed(f"the load generator said nothing for {limit:g} s")
            answer = self._orders.recv()
        except (EOFError, OSError) as problem:
            raise LoadFailed("the load generator has died") from problem
        if isinstance(answer, str):
            raise LoadFailed(answer)
        return answer


def _serve(orders: Connection) -> None:
    """Carry out what is ordered until the other end is closed."""
    # Ctrl-C reaches the whole terminal; who decides what stops when is the parent.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.disable()
    while True:
        try:
            load = orders.recv()
        except (EOFError, OSError):
            return
        if load is None:  # the end of a load that has failed meanwhile
            continue
        try:
            _carry_out(load, orders)
        except (LoadFailed, OSError) as problem:
            orders.send(str(problem))
        gc.collect()


def _carry_out(load: OpenLoad, orders: Connection) -> None:
    with ExitStack() as stack:
        senders = [_Sender(stream, load.port, stack) for stream in load.streams]
        sockets = {wire.socket: wire for sender in senders for wire in sender.wires}
        orders.send({})
        before, begun = _processor_times(load), perf_counter()
        for number, sender in enumerate(senders):
            # Not all in the same moment: every burst would wait for itself.
            sender.begin(begun + number / len(senders) / sender.rate)
        heard = begun
        while not orders.poll():
            heard = _turn(senders, sockets, min(sender.due for sender in senders), heard)
        orders.recv()
        ended, after = perf_counter(), _processor_times(load)
        while any(wire.waiting for wire in sockets.values()):
            heard = _turn([], sockets, perf_counter() + LONGEST_WAIT_S, heard)
        cpu_s = {name: after[name] - before[name] for name in before}
        orders.send({sender.name: sender.timed(ended - begun, cpu_s) for sender in senders})


def _turn(senders: Sequence[_Sender], sockets: Mapping[socket.socket, _Wire], due: float, heard: float) -> float:
    """Send what is due, wait until `due` or for replies, take them; return when the last one came."""
    now = perf_counter()
    for sender in senders:
        sender.send(now)
    wait = min(max(due - perf_counter(), 0.0), LONGEST_WAIT_S)
    readable, _, _ = select.select(list(sockets), [], [], wait)
    for found in readable:
        sockets[found].take()
    now = perf_counter()
    if readable or not any(wire.waiting for wire in sockets.values()):
        return now
    if now - heard > SILENCE_LIMIT_S:
        raise LoadFailed(f"no reply for {SILENCE_LIMIT_S:g} s")
    return heard


def _processor_times(load: OpenLoad) -> dict[str, float]:
    times = {name: processor_seconds(pid) for name, pid in load.watched.items()}
    return {GENERATOR: process_time(), **{name: spent for name, spent in times.items() if spent is not None}}


class _Wire:
    """One connection: when the requests that are not answered yet were due."""

    def __init__(self, port: int, latencies: list[float]) -> None:
        self.socket = socket.create_connection((LOOPBACK, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.waiting: deque[float] = deque()
        self._latencies = latencies
        self._reader = hiredis.Reader(notEnoughData=NotImplemented)

    def send(self, request: bytes, due: float) -> None:
        """Send. Blocks where the server takes no more, which its own limits prevent at such rates."""
        self.waiting.append(due)
        self.socket.sendall(request)

    def take(self) -> None:
        """Read what is there and match it with what was sent."""
        data = self.socket.recv(READ_BYTES)
        if not data:
            raise LoadFailed("the server closed a connection")
        self._reader.feed(data)
        now = perf_counter()
        while (reply := self._reader.gets()) is not NotImplemented:
            if isinstance(reply, Exception):
                raise LoadFailed(f"a request was refused: {reply}")
            self._latencies.append(now - self.waiting.popleft())


class _Sender:
    """Sends the requests of one stream when they are due, on its connections in turn."""

    def __init__(self, stream: Stream, port: int, stack: ExitStack) -> None:
        self.name = stream.name
        self.rate = stream.rate
        self.due = 0.0
        self._latencies: list[float] = []
        self.wires = [_Wire(port, self._latencies) for _ in range(stream.connections)]
        for wire in self.wires:
            stack.callback(wire.socket.close)
        self._requests = cycle(stream.requests)
        self._most = len(stream.requests) if stream.once else inf
        self._turns = cycle(self.wires)

    def begin(self, at: float) -> None:
        """Set when the first request is due."""
        self._first, self._sent, self.due = at, 0, at

    def send(self, now: float) -> None:
        """Send what is due by `now`: more than one where this process was late itself."""
        while self.due <= now:
            next(self._turns).send(next(self._requests), self.due)
            self._sent += 1
            self.due = self._first + self._sent / self.rate if self._sent < self._most else inf

    def timed(self, seconds: float, cpu_s: dict[str, float]) -> Timed:
        """Return the figures."""
        if not self._latencies:
            raise LoadFailed(f"the load was over before a request of '{self.name}' was due; measure longer")
        ordered = sorted(self._latencies)
        p50_ms, p99_ms = (percentile(ordered, share) * 1000 for share in (0.5, 0.99))
        return Timed(Sample(len(ordered), seconds, p50_ms, p99_ms, cpu_s), ordered[-1] * 1000)
