"""The process that generates load, so that measuring and preparing never share an interpreter.

The counterpart is `client`, which does the work there. It lives for the whole run: a process per measurement would
cost more time than the measurement.
"""

from __future__ import annotations

import gc
import multiprocessing
import signal
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Self

import uvloop

from benchmarks.client import SILENCE_LIMIT_S, LoadFailed, measure
from benchmarks.load import Load, Sample

START_LIMIT_S = 30.0
"""For starting an interpreter on a busy machine, and for sorting latencies, on top of the measurement itself."""

STOP_LIMIT_S = 5.0
"""The process has nothing to finish between two measurements."""


class Generator:
    """Load generator in another process; a context manager."""

    def __enter__(self) -> Self:
        # Not forked: a fork would inherit the pipes and threads of the servers that were started before.
        context = multiprocessing.get_context("spawn")
        self._orders, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), name="generator", daemon=True)
        self._process.start()
        theirs.close()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._orders.close()
        if problem is not None:
            self._process.terminate()
        self._process.join(STOP_LIMIT_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def measure(self, load: Load, *, seconds: float, warm_up_s: float) -> Sample:
        """Return one measurement.

        Raises:
            LoadFailed: the server did not answer as expected, or the generator has died.
        """
        limit = START_LIMIT_S + warm_up_s + seconds + 2 * SILENCE_LIMIT_S
        try:
            self._orders.send((load, seconds, warm_up_s))
            if not self._orders.poll(limit):
                raise LoadFailed(f"the load generator said nothing for {limit:g} s")
            answer = self._orders.recv()
        except (EOFError, OSError) as problem:
            raise LoadFailed("the load generator has died") from problem
        if isinstance(answer, Sample):
            return answer
        raise LoadFailed(str(answer))


def _serve(orders: Connection) -> None:
    """Measure what is ordered until the other end is closed."""
    # Ctrl-C reaches the whole terminal; who decides what stops when is the parent.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.disable()
    while True:
        try:
            load, seconds, warm_up_s = orders.recv()
        except (EOFError, OSError):
            return
        try:
            answer: object = uvloop.run(measure(load, seconds=seconds, warm_up_s=warm_up_s))
        except (LoadFailed, OSError) as problem:
            answer = str(problem)
        del load
        gc.collect()
        orders.send(answer)
