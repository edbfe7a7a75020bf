"""Carries out a load: many connections on one event loop, each with one pipeline under way.

What makes it cheap: requests are packed beforehand, and replies are not parsed. All replies to one load have the same
number of lines, which one real reply tells, so counting line ends counts replies. A reply that is an error, or has
another number of lines, is noticed and ends the measurement. The counterpart is `generator`, which runs this in a
process of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import count, cycle
from time import perf_counter, process_time
from typing import cast

import hiredis

from benchmarks.load import NUMBER, Load, Sample
from benchmarks.processor_time import processor_seconds
from benchmarks.robust import percentile
from sidecar.dev.ports import LOOPBACK

SILENCE_LIMIT_S = 30.0
"""Longest wait for a reply. A server that needs longer for one of our requests is stuck."""

POLL_S = 0.001
"""Between two looks whether the replies are there, when a window is over."""

FIRST_NUMBER = 10**9
"""For the request that comes before the measurement; from here on every number has ten digits."""

GENERATOR = "generator"
"""Name of this process among the CPU times."""

_MINUS = ord("-")


class LoadFailed(Exception):
    """A server answered an error, something of another shape, or nothing."""


async def measure(load: Load, *, seconds: float, warm_up_s: float) -> Sample:
    """Keep every connection busy for `warm_up_s`, then measure for `seconds`.

    The window lasts longer where needed for one pipeline per connection: fewer would say nothing.

    Raises:
        LoadFailed: see there.
    """
    first = load.requests[0][0].replace(NUMBER, b"%d" % FIRST_NUMBER)
    lines = await _lines_of_a_reply(load.port, first)
    run = _Run(load.pipeline)
    clients = [_Client(_batches(requests, load.pipeline), load.pipeline * lines, run) for requests in load.requests]
    loop = asyncio.get_running_loop()
    try:
        for client in clients:
            await loop.create_connection(lambda client=client: client, LOOPBACK, load.port)  # type: ignore[misc]
        for client in clients:
            client.begin()
        await run.lasts(warm_up_s)
        outside = len(run.latencies)
        run.latencies.clear()
        before, begun = _processor_times(load), perf_counter()
        await run.lasts(seconds)
        await run.becomes(lambda: len(run.latencies) >= len(clients))
        ended, after = perf_counter(), _processor_times(load)
        latencies = run.latencies
        run.latencies = []
        run.sending = False
        await run.becomes(lambda: not any(client.waits for client in clients))
        outside += len(run.latencies)
    finally:
        for client in clients:
            client.close()
    cpu_s = {name: after[name] - before[name] for name in before}
    sample = _sample(latencies, load.pipeline, ended - begun, cpu_s)
    return replace(sample, answered=1 + sample.requests + outside * load.pipeline)  # 1: the request that told the shape


def _batches(requests: Sequence[bytes], pipeline: int) -> Callable[[], bytes]:
    """Return a function that returns the next batch of a connection, without end."""
    if not requests or len(requests) % pipeline:
        raise LoadFailed(f"{len(requests)} requests cannot be sent {pipeline} at a time over and over")
    batches = [b"".join(requests[start : start + pipeline]) for start in range(0, len(requests), pipeline)]
    return (_numbered(batches, pipeline) if NUMBER in batches[0] else cycle(batches)).__next__


def _numbered(batches: list[bytes], pipeline: int) -> Iterator[bytes]:
    forms = [batch.replace(b"%", b"%%").replace(NUMBER, b"%d") for batch in batches]
    for form, number in zip(cycle(forms), count(FIRST_NUMBER + 1, pipeline), strict=False):
        yield form % tuple(range(number, number + pipeline))


def _processor_times(load: Load) -> dict[str, float]:
    times = {name: processor_seconds(pid) for name, pid in load.watched.items()}
    return {GENERATOR: process_time(), **{name: spent for name, spent in times.items() if spent is not None}}


def _sample(latencies: list[float], pipeline: int, seconds: float, cpu_s: dict[str, float]) -> Sample:
    latencies.sort()
    return Sample(
        requests=len(latencies) * pipeline,
        seconds=seconds,
        p50_ms=percentile(latencies, 0.5) * 1000,
        p99_ms=percentile(latencies, 0.99) * 1000,
        cpu_s=cpu_s,
    )


async def _lines_of_a_reply(port: int, request: bytes) -> int:
    """Send one request and return the number of lines of its reply."""
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    try:
        writer.write(request)
        parser, lines = hiredis.Reader(notEnoughData=NotImplemented), 0
        async with asyncio.timeout(SILENCE_LIMIT_S):
            while (reply := parser.gets()) is NotImplemented:
                data = await reader.read(65_536)
                if not data:
                    raise LoadFailed("the server closed the connection")
                lines += data.count(b"\n")
                parser.feed(data)
    except TimeoutError as problem:
        raise LoadFailed(f"no reply within {SILENCE_LIMIT_S:g} s to {request[:200]!r}") from problem
    finally:
        writer.close()
    if isinstance(reply, Exception):
        raise LoadFailed(f"{reply} in reply to {request[:200]!r}")
    return lines


class _Run:
    """What the connections of one measurement share. `latencies` (seconds) gets one entry per pipeline."""

    def __init__(self, pipeline: int) -> None:
        self.pipeline = pipeline
        self.latencies: list[float] = []
        self.sending = True
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def fail(self, text: str) -> None:
        self.sending = False
        if not self._failure.done():
            self._failure.set_exception(LoadFailed(text))

    async def becomes(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition that replies bring about, or raise what went wrong."""
        deadline = perf_counter() + SILENCE_LIMIT_S
        while not condition():
            if perf_counter() > deadline:
                raise LoadFailed(f"replies are missing after {SILENCE_LIMIT_S:g} s")
            await self.lasts(POLL_S)

    async def lasts(self, seconds: float) -> None:
        """Let `seconds` pass, or raise what went wrong."""
        await asyncio.wait([self._failure], timeout=seconds)
        if self._failure.done():
            self._failure.result()


class _Client(asyncio.Protocol):
    """One connection. `lines` is the number of lines that answer one batch."""

    __slots__ = ("_at_line_start", "_lines", "_missing", "_next_batch", "_run", "_sent", "_transport", "_write")

    def __init__(self, next_batch: Callable[[], bytes], lines: int, run: _Run) -> None:
        self._next_batch = next_batch
        self._lines = lines
        self._missing = 0
        self._at_line_start = True
        self._run = run
        self._sent = 0.0

    @property
    def waits(self) -> bool:
        """Whether replies are still to come."""
        return self._missing > 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclasses of it
        self._write = self._transport.write

    def begin(self) -> None:
        """Send the first batch; each further one follows its predecessor's replies."""
        self._missing = self._lines
        self._sent = perf_counter()
        self._write(self._next_batch())

    def data_received(self, data: bytes) -> None:
        if (self._at_line_start and data[0] == _MINUS) or b"\n-" in data:
            self._run.fail(f"a request was refused: {data[data.find(b'-') :][:200]!r}")
            return
        self._at_line_start = data.endswith(b"\n")
        self._missing -= data.count(b"\n")
        if self._missing > 0:
            return
        now = perf_counter()
        run = self._run
        if self._missing < 0:
            run.fail("the replies differ in their number of lines, so they cannot be counted")
            return
        run.latencies.append(now - self._sent)
        if run.sending:
            self._missing = self._lines
            self._sent = now
            self._write(self._next_batch())

    def connection_lost(self, exc: Exception | None) -> None:
        if self._run.sending or self.waits:
            self._run.fail(f"the server closed a connection ({exc or 'end of stream'})")

    def close(self) -> None:
        """Leave; nothing is expected any more."""
        self._run.sending, self._missing = False, 0
        if transport := getattr(self, "_transport", None):
            transport.close()
