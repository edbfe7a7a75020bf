"""One of the processes that `serve --workers N` spawns, as its supervisor sees it: started, watched, asked, stopped.

The counterparts are `supervising`, which decides when, and `serving`, which runs in the process. Not to be confused
with Temporal's worker, which is `working`: the word is the users' for both.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sidecar.app.merging import Families, from_plain
from sidecar.net.worker_link import WorkerLink

REPORT_LIMIT_S = 1.5
"""A process asks Redis for a second at most before it says whether it is ready; the rest is for a busy loop."""

STARTING = "it is being started"

OPTION = "--as-worker"
"""The hidden option by which a process learns that it is a worker, and which descriptors it has inherited."""


@dataclass(frozen=True, slots=True)
class Post:
    """What a worker is told when it is spawned: its number, from 1 on, and its ends of the link."""

    number: int
    clients: int
    talk: int

    def __str__(self) -> str:
        return f"{self.number}:{self.clients}:{self.talk}"

    @classmethod
    def parse(cls, text: str) -> Post:
        """Read what `str` writes. Raises ValueError."""
        number, clients, talk = map(int, text.split(":"))
        return cls(number, clients, talk)


class Worker:
    """A process that serves clients.

    Args:
        number: from 1 on; one that takes a dead one's place has its number.
        command: program and arguments that run the sidecar with the supervisor's own settings.
        on_room: see `WorkerLink`.
        on_missed: see `WorkerLink`.

    Attributes: `last` holds the families of the last report, `health` how its components were, `not_ready` what kept
    clients from working then (None: nothing).
    """

    def __init__(
        self, number: int, command: Sequence[str], *, on_room: Callable[[], None], on_missed: Callable[[], None]
    ) -> None:
        self.number = number
        self.last: Families = []
        self.health: Any = None
        self.not_ready: str | None = STARTING
        self._command = command
        self._on_room = on_room
        self._link = WorkerLink(on_room=self._has_room_again, on_missed=on_missed, on_report=self._take_report)
        self._ending: signal.Signals | None = None
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """Its process; None before `run`."""
        return self._process.pid if self._process is not None else None

    @property
    def served(self) -> bool:
        """Whether it could ever serve clients."""
        return self._link.up.is_set()

    @property
    def up(self) -> bool:
        """Whether it can serve clients now, as far as it is up to it."""
        return self.served and self._process is not None and self._process.returncode is None

    @property
    def has_room(self) -> bool:
        """Whether it can be given one more client."""
        return self._link.has_room

    @property
    def load(self) -> int:
        """How many clients it has."""
        return self._link.load

    def give(self, client: socket.socket) -> bool:
        """Give it a client; False: it cannot take any."""
        return self._link.give(client)

    def reload(self) -> None:
        """Have it read anew what can change."""
        self._link.reload()

    def terminate(self) -> None:
        """Ask it to end as a sidecar does: with an answer to everything that it has taken."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self._signal(signal.SIGKILL)

    async def run(self) -> int:
        """Spawn it, hear it, and return its exit code once it has ended; negative: the signal that ended it.

        Raises:
            OSError: it cannot be spawned.
        """
        clients, talk = self._link.theirs
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                OPTION,
                str(Post(self.number, clients, talk)),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(clients, talk),
                start_new_session=True,  # Ctrl-C reaches the supervisor only: in which order things stop is its own
            )
        except OSError:
            self._link.close()
            raise
        finally:
            self._link.release()
        if self._ending is not None:
            self._signal(self._ending)
        hearing = asyncio.create_task(self._link.run(), name=f"worker-{self.number}-link")
        try:
            return await self._process.wait()
        finally:
            with contextlib.suppress(TimeoutError):  # what it said last may still have to be read
                await asyncio.wait_for(hearing, REPORT_LIMIT_S)
            self._link.close()

    async def began(self) -> None:
        """Wait until it can serve clients."""
        await self._link.up.wait()

    async def look(self) -> None:
        """Ask how it is, which sets `last` and `not_ready`."""
        if self.up and not await self._link.report(REPORT_LIMIT_S):
            self.not_ready = "it does not answer"

    def _take_report(self, report: dict[str, Any]) -> None:
        self.not_ready = report["not_ready"]
        self.health = report["health"]
        self.last = from_plain(report["families"])

    def _has_room_again(self) -> None:
        if self.not_ready == STARTING:
            self.not_ready = None
        self._on_room()

    def _signal(self, number: signal.Signals) -> None:
        self._ending = number
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)
