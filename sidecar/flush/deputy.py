"""`Deputy`: a process of our own that does the work of large flushes, so that it takes no time from our event loop.

The counterparts are `duty`, which runs there, and `deputised`, which says what is left to it. It is started when there
is work for it, and ends when there has been none for a while; when this process ends, however that happens, the pipe to
it ends, too, and with that the deputy. No pool of `concurrent.futures`: its workers outlive a parent that is killed,
cannot be told that a job is off, stay for good, and bring along a further process that tracks resources.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from typing import Any

import msgspec
import structlog

from sidecar.errors import DeputyLost, DeputyMissing
from sidecar.flush.errands import READY, RESULTS, Answer, Errand, Kind, Recall, framed, next_frame, to_answer
from sidecar.flush.ticket import Ticket
from sidecar.memory.definition import Definition
from sidecar.memory.ports import FlushOrder

IDLE_S = 10.0
"""How long a deputy without work stays: flushes come in swarms, and it holds 120 MB."""

START_LIMIT_S = 30.0
"""Until it says that it is ready: it takes a second of CPU time, and yields to everybody else on the machine."""

END_LIMIT_S = 2.0
"""Until a deputy whose pipe has ended is killed; it ends within milliseconds."""

_log = structlog.get_logger(__name__)


class Deputy:
    """Starts and ends the process, one at a time, and sends it errands. `close` must be awaited before its event loop
    ends.

    Args:
        command: of the process.
        environment: of the process; None for our own.
        charge: returns what it is told first: where the memories are. Asked anew for each process.
        idle_s: how long it stays without work.
        start_limit_s: until it must be ready.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: dict[str, str] | None = None,
        charge: Callable[[], msgspec.Struct],
        idle_s: float = IDLE_S,
        start_limit_s: float = START_LIMIT_S,
    ) -> None:
        self._command = command
        self._environment = environment
        self._charge = charge
        self._idle_s = idle_s
        self._start_limit_s = start_limit_s
        self._process: _Process | None = None
        self._processes: set[_Process] = set()  # that one, and others that have errands still
        self._starting = asyncio.Lock()
        self._ends: set[asyncio.Task[None]] = set()
        self._idle: asyncio.TimerHandle | None = None

    @property
    def pid(self) -> int | None:
        """The process that runs now; None where none does."""
        return self._process.pid if self._process is not None and self._process.alive else None

    async def do(
        self, kind: Kind, definition: Definition, *, ticket: Ticket | None = None, order: FlushOrder | None = None
    ) -> Any:
        """Have an errand done, and return what comes out of it, as `RESULTS` says.

        Raises:
            DeputyMissing: there is no process, and none could be started.
            DeputyLost: it ended in the middle, or failed by a bug of ours; the errand may be sent again.
            MemsidecarError: what the work itself raises.
        """
        process = await self._ready()
        try:
            return await process.do(kind, definition, ticket, order)
        finally:
            if not process.busy:
                self._rest(process)

    def retire(self) -> None:
        """Let the present process end once it has no work, and start another for what comes next: files that it has
        read may have changed."""
        if self._process is not None:
            self._process.retired = True
            self._leave(self._process)

    async def close(self) -> None:
        """End the process, whatever it does."""
        if self._idle is not None:
            self._idle.cancel()
        for process in list(self._processes):
            self._end(process)
        await asyncio.gather(*self._ends)

    async def _ready(self) -> _Process:
        async with self._starting:
            if self._idle is not None:
                self._idle.cancel()
            if self._process is not None and not self._process.alive:
                self._end(self._process)
            if self._process is None or self._process.retired:
                self._process = await self._started()
            # Nothing waits between here and the errand, so nobody finds the process idle meanwhile.
            return self._process

    async def _started(self) -> _Process:
        try:
            process = await _Process.start(self._command, self._environment)
        except OSError as problem:
            raise DeputyMissing(problem.strerror or str(problem)) from problem
        self._processes.add(process)
        try:
            async with asyncio.timeout(self._start_limit_s):
                await process.greet(self._charge())
        except TimeoutError as late:
            process.kill()
            self._end(process)
            raise DeputyMissing(f"it was not ready within {self._start_limit_s:g} s") from late
        except DeputyLost as lost:
            self._end(process)
            raise DeputyMissing(lost.why) from lost
        except asyncio.CancelledError:
            self._end(process)
            raise
        return process

    def _rest(self, process: _Process) -> None:
        if process.retired or not process.alive:
            self._leave(process)
            return
        if self._idle is not None:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(self._idle_s, self._leave, process)

    def _leave(self, process: _Process) -> None:
        if not process.busy:
            self._end(process)

    def _end(self, process: _Process) -> None:
        if process not in self._processes:
            return
        self._processes.discard(process)
        if process is self._process:
            self._process = None
        task = asyncio.create_task(process.end(), name=f"end of deputy {process.pid}")
        self._ends.add(task)
        task.add_done_callback(self._ends.discard)


class _Process:
    """A running deputy, and the errands that it has."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self.pid = popen.pid
        self.alive = True
        self.retired = False
        self._popen = popen
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._transport: asyncio.WriteTransport
        self._listening: asyncio.Task[None]

    @classmethod
    async def start(cls, command: Sequence[str], environment: dict[str, str] | None) -> _Process:
        """Start one. Raises OSError."""
        # Not by asyncio: the fork of uvloop stops the event loop for ten times as long as the vfork of `subprocess`, a
        # millisecond. No file of ours is inheritable, and closing them all would take longer than the start.
        popen = subprocess.Popen(  # noqa: ASYNC220 - for that reason
            command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, close_fds=False, env=environment
        )
        process = cls(popen)
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        process._transport, _ = await loop.connect_write_pipe(asyncio.Protocol, popen.stdin)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), popen.stdout)
        process._listening = asyncio.create_task(process._listen(reader), name=f"answers of deputy {popen.pid}")
        return process

    @property
    def busy(self) -> bool:
        """Whether it has errands."""
        return bool(self._waiting)

    async def greet(self, charge: msgspec.Struct) -> None:
        """Tell the charge and wait until it is ready. Raises `DeputyLost`."""
        answered = self._expect(READY)
        self._transport.write(framed(charge))
        try:
            await answered
        finally:
            self._waiting.pop(READY, None)

    async def do(self, kind: Kind, definition: Definition, ticket: Ticket | None, order: FlushOrder | None) -> Any:
        """Have an errand done; see `Deputy.do`."""
        number = next(self._numbers)
        answered = self._expect(number)
        self._transport.write(framed(Errand(number, kind, definition, ticket, order)))
        try:
            answer = await answered
        except asyncio.CancelledError:
            self._transport.write(framed(Recall(number)))
            raise
        finally:
            self._waiting.pop(number, None)
        if answer.trouble is not None:
            raise answer.trouble.error()
        return msgspec.json.decode(answer.value, type=RESULTS[kind])

    def kill(self) -> None:
        """End it at once."""
        self._popen.kill()

    async def end(self) -> None:
        """Let it end, and wait until it has."""
        self._transport.close()
        try:
            await asyncio.to_thread(self._popen.wait, END_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            await asyncio.to_thread(self._popen.wait)
        await self._listening

    def _expect(self, number: int) -> asyncio.Future[Answer]:
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answered
        return answered

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        try:
            while (frame := await next_frame(reader)) is not None:
                answer = to_answer(frame)
                answered = self._waiting.get(answer.number)
                if answered is not None and not answered.done():
                    answered.set_result(answer)
        finally:
            self.alive = False
            self._transport.close()
        why = await asyncio.to_thread(self._ended)
        for answered in self._waiting.values():
            if not answered.done():
                answered.set_exception(DeputyLost(why))

    def _ended(self) -> str:
        """Return how it ended."""
        with suppress(subprocess.TimeoutExpired):
            self._popen.wait(END_LIMIT_S)
        code = self._popen.poll()
        if code is None:
            return "it closed its pipe"
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
