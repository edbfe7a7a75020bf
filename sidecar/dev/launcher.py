"""`memsidecar dev`: carries out a `DevPlan` and stays until Ctrl-C, or until something breaks.

Order: Redis and Temporal, then the sidecar and the worker, which need them; the other way round at the end.
All of them are child processes, as in production; see `processes` for why none of them outlives this one.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from sidecar.dev import banner
from sidecar.dev.binaries import maybe_find_redis_cli
from sidecar.dev.loglines import readable
from sidecar.dev.plan import DevOptions, DevPlan, make_plan
from sidecar.dev.problems import DevProblem
from sidecar.dev.processes import ChildProcess
from sidecar.dev.screen import Screen
from sidecar.dev.servers import RedisServer, SidecarProcess, TemporalServer, WorkerProcess
from sidecar.dev.storage import TEMPORAL_FILE, data_directory

__all__ = ["DevOptions", "run_dev"]

STOPPED, FAILED, KILLED = 0, 1, 130
"""Exit codes: stopped as asked; a problem; killed by a second Ctrl-C (128 + SIGINT, as shells say)."""

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, a supervisor's stop, a closed terminal: all of them mean the same to us."""

OWN = ("sidecar", "worker")
"""Names of the children whose every line is shown."""


async def run_dev(options: DevOptions) -> int:
    """Run everything until it is stopped; return the exit code. Problems are shown, not raised."""
    screen = Screen()
    try:
        plan = make_plan(options)
        with data_directory(options.data) as directory:
            return await DevRun(plan, directory, screen).run()
    except DevProblem as problem:
        screen.problem(str(problem))
        return FAILED


class DevRun:
    """One run: the children of a plan, and the reasons to stop them."""

    def __init__(self, plan: DevPlan, directory: Path, screen: Screen) -> None:
        self._plan = plan
        self._directory = directory
        self._screen = screen
        self._loop = asyncio.get_running_loop()
        # A child that has ended, or None for "stop", in the order in which it happened.
        self._events: asyncio.Queue[ChildProcess | None] = asyncio.Queue()
        self._stopping = False
        self._killed = False
        self._settled = False
        self._servers = self._make_servers()
        self._worker = self._make_worker()
        self._programs: list[ChildProcess] = [self._make_sidecar()]
        if self._worker is not None:
            self._programs.append(self._worker)

    async def run(self) -> int:
        """Start, show the banner, wait, stop. Raises `DevProblem` after everything has been stopped."""
        self._screen.on_lost = partial(self._from_thread, self._ask_to_stop)
        with self._signals():
            try:
                await _first_of(self._start_and_wait(), self._interrupted())
            finally:
                await self._stop_all()
        if self._killed:
            return KILLED
        kept = f" The data is kept in {self._directory}." if self._plan.keeps_data else ""
        self._screen.say(f"Everything has stopped.{kept}")
        return STOPPED

    async def _start_and_wait(self) -> None:
        await self._start(self._servers)
        await self._start(self._programs)
        self._settled = True
        worker_ready = self._worker is not None and self._worker.is_ready()
        self._screen.banner(
            banner.rows(self._plan, directory=self._directory, worker_ready=worker_ready),
            self._plan.notes,
            banner.lines_to_paste(self._plan, redis_cli=_redis_cli()),
        )
        await asyncio.Event().wait()

    async def _start(self, children: list[ChildProcess]) -> None:
        for child in children:
            child.spawn()
        await asyncio.gather(*(asyncio.to_thread(self._wait_ready, child) for child in children))

    def _wait_ready(self, child: ChildProcess) -> None:
        if child is self._worker:
            # A Temporal of the user's may be down; the worker keeps trying, and the rest works without it.
            child.becomes(child.is_ready, limit_s=child.ready_limit_s)
        else:
            child.wait_ready()

    async def _interrupted(self) -> None:
        """Return when a stop is asked for. Raises `ChildFailed` when a child ends before that."""
        ended = await self._events.get()
        if ended is not None:
            raise ended.failure()

    async def _stop_all(self) -> None:
        self._stopping = True
        order = [child for child in (*self._programs, *reversed(self._servers)) if child.running]
        if order:
            names = ", ".join(child.name for child in order)
            self._screen.say(f"Stopping {names} (Ctrl-C again kills them at once).")
        try:
            for child in order:
                if not await asyncio.to_thread(child.stop):
                    limit = f"{child.stop_limit_s:g} s"
                    self._screen.say(f"{child.name} did not stop within {limit} and was killed.")
        finally:
            self._kill_all()

    def _ask_to_stop(self) -> None:
        if not self._stopping:
            self._stopping = True
            self._events.put_nowait(None)

    def _on_signal(self, number: signal.Signals) -> None:
        # Only Ctrl-C counts twice: a terminal that closes, or a supervisor, may well send two signals.
        if number == signal.SIGINT and self._stopping:
            self._killed = True
            self._kill_all()
        else:
            self._ask_to_stop()

    def _kill_all(self) -> None:
        for child in (*self._programs, *self._servers):
            child.kill()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        # A hangup that is ignored stays ignored: nohup means it.
        ignored = {signal.SIGHUP} if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else set()
        taken = [number for number in STOP_SIGNALS if number not in ignored]
        for number in taken:
            self._loop.add_signal_handler(number, self._on_signal, number)
        try:
            yield
        finally:
            for number in taken:
                self._loop.remove_signal_handler(number)

    def _make_servers(self) -> list[ChildProcess]:
        servers: list[ChildProcess] = []
        if (redis := self._plan.redis) is not None:
            servers.append(
                RedisServer(
                    port=redis.port,
                    directory=self._directory,
                    appendonly=self._plan.keeps_data,
                    program=redis.program,
                    on_line=partial(self._show, "redis"),
                    on_end=self._on_end,
                )
            )
        if (temporal := self._plan.temporal) is not None:
            servers.append(
                TemporalServer(
                    port=temporal.port,
                    ui_port=temporal.ui_port,
                    db_filename=self._directory / TEMPORAL_FILE if self._plan.keeps_data else None,
                    program=temporal.program,
                    on_line=partial(self._show, "temporal"),
                    on_end=self._on_end,
                )
            )
        return servers

    def _make_sidecar(self) -> SidecarProcess:
        return SidecarProcess(
            port=self._plan.port,
            http_port=self._plan.metrics_port,
            settings=self._plan.settings(),
            on_line=partial(self._show, "sidecar"),
            on_end=self._on_end,
        )

    def _make_worker(self) -> WorkerProcess | None:
        if self._plan.temporal_address is None:
            return None
        return WorkerProcess(
            settings=self._plan.settings(),
            on_line=partial(self._show, "worker"),
            on_end=self._on_end,
        )

    def _show(self, name: str, text: str) -> None:
        # What Redis and Temporal print while they start says less than the banner, and the dev server takes its
        # own end for a series of errors. Should one of them fail, its lines are in the error text.
        if text and (name in OWN or (self._settled and not self._stopping)):
            self._screen.line(name, readable(text))

    def _on_end(self, child: ChildProcess) -> None:
        self._from_thread(partial(self._events.put_nowait, child))

    def _from_thread(self, call: Callable[[], None]) -> None:
        # After the run, the loop may be closed while a last line is still being read.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call)


async def _first_of(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Run them side by side until the first one ends, or raises; then cancel the others."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _redis_cli() -> str:
    found = maybe_find_redis_cli()
    if found is None or str(found.parent) in os.environ.get("PATH", "").split(os.pathsep):
        return "redis-cli"
    return str(found)
