"""A pipe that lets the test do something between two steps: before a script is sent, over the real connection."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

from sidecar.store.pipe import Argument, Pipe, Reply

Before = Callable[[str, int], Awaitable[None]]
"""Is told a script's name and how often it is sent, this time included."""


class Between:
    """Implements `Pipe` over another one.

    Args:
        pipe: where everything goes.
        before: is awaited before each script; if it raises, the script is not sent, and that is its answer.
    """

    def __init__(self, pipe: Pipe, before: Before) -> None:
        self._pipe = pipe
        self._before = before
        self._tasks: set[asyncio.Task[None]] = set()
        self.sent: Counter[str] = Counter()

    def call(self, command: Sequence[Argument], done: Callable[[Reply], None], *, resend: bool) -> None:
        self._pipe.call(command, done, resend=resend)

    def call_script(
        self,
        name: str,
        keys: Sequence[str],
        arguments: Sequence[Argument],
        done: Callable[[Reply], None],
        *,
        resend: bool,
    ) -> None:
        async def send() -> None:
            self.sent[name] += 1
            try:
                await self._before(name, self.sent[name])
            except Exception as problem:  # what is wrong with the test must not hang it
                done(problem)
                return
            self._pipe.call_script(name, keys, arguments, done, resend=resend)

        task = asyncio.get_running_loop().create_task(send(), name="between")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
