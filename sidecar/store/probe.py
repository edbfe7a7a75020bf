"""Asks Redis whether it can be used: by a write, a read and a deletion, as an append would need them.

A PING says less: a replica, a Redis whose memory is full, and one that cannot save answer it, and refuse every append.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable

from sidecar.memory.keys import KeySpace
from sidecar.store.changes import as_error
from sidecar.store.pipe import Pipe, Reply
from sidecar.store.script_client import ScriptClient

PROBE_TTL_MS = 10_000
"""The probe deletes its key itself; this is for a Redis that dies in the middle of it."""


class Probe:
    """Probes with the rights of one user.

    Args:
        pipe: where the script goes.
        space: names the key.
    """

    def __init__(self, pipe: Pipe, space: KeySpace) -> None:
        self._pipe = pipe
        self._key = space.probe

    def __call__(self, done: Callable[[BaseException | None], None]) -> None:
        """Probe once; `done` is told None, or what went wrong."""
        value = secrets.token_hex(8).encode()

        def replied(reply: Reply) -> None:
            done(None if reply == value else as_error(reply))

        self._pipe.call_script("probe", (self._key,), (value, PROBE_TTL_MS), replied, resend=True)


class SlowProbe:
    """Probes through redis-py, for a process that has no `Pipe`; the arguments are those of `Probe`."""

    def __init__(self, scripts: ScriptClient, space: KeySpace) -> None:
        self._scripts = scripts
        self._key = space.probe
        self._asking: set[asyncio.Task[Reply]] = set()

    def __call__(self, done: Callable[[BaseException | None], None]) -> None:
        """Probe once; `done` is told as by a `Probe`."""
        value = secrets.token_hex(8).encode()

        def asked(task: asyncio.Task[Reply]) -> None:
            self._asking.discard(task)
            if not task.cancelled():
                problem = task.exception()
                done(problem or (None if task.result() == value else as_error(task.result())))

        work = self._scripts.script("probe", (self._key,), (value, PROBE_TTL_MS))
        task = asyncio.get_running_loop().create_task(work, name="probe")
        self._asking.add(task)
        task.add_done_callback(asked)

    async def close(self) -> None:
        """Give up what was not answered."""
        for task in self._asking:
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)
