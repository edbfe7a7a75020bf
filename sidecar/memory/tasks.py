"""Commands that are not done at once: a task each, which answers for itself, and whose wait can be ended.

What such a command does is the business of whoever makes it one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

Done = Callable[[Any], None]
"""Takes the result of a command, or the exception that ended it."""

Handler = Callable[[Any, Done], None]
"""Runs a request, and calls `Done` once."""


class CommandTasks:
    """The tasks of one user's commands."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[object]] = set()
        self._stops: dict[int, Callable[[], object]] = {}  # by id of a request that waits: what ends its wait

    def handler(
        self, run: Callable[[Any], Awaitable[object]], stopped: Callable[[], Exception] | None = None
    ) -> Handler:
        """Return a handler that runs a coroutine; with `stopped` its wait can be ended, and that is the answer."""

        async def work(request: Any) -> object:
            return await run(request)

        def handle(request: Any, done: Done) -> None:
            task = self.spawn(work(request), done, stopped)
            if stopped is not None:
                self._stops[id(request)] = task.cancel
                task.add_done_callback(lambda _: self._stops.pop(id(request), None))

        return handle

    def stoppable_handler(
        self,
        run: Callable[[Any, asyncio.Event], Coroutine[Any, Any, object]],
        cancelled: Callable[[Any], Exception] | None = None,
    ) -> Handler:
        """Return a handler that runs a coroutine, which stops waiting once the event is set."""

        def handle(request: Any, done: Done) -> None:
            stop = asyncio.Event()
            task = self.spawn(run(request, stop), done, cancelled and partial(cancelled, request))
            self._stops[id(request)] = stop.set
            task.add_done_callback(lambda _: self._stops.pop(id(request), None))

        return handle

    def spawn(
        self, work: Coroutine[Any, Any, object], done: Done, cancelled: Callable[[], BaseException] | None = None
    ) -> asyncio.Task[object]:
        """Run a coroutine, and answer with what it returns or raises; `cancelled` makes the answer of one cut off."""
        task = asyncio.get_running_loop().create_task(work, name="mem-command")
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended, done, cancelled or asyncio.CancelledError))
        return task

    def stop(self, request: object) -> None:
        """End the wait of a request: nobody wants its answer any more, or we must leave."""
        stop = self._stops.pop(id(request), None)
        if stop is not None:
            stop()

    async def close(self) -> None:
        """Cancel the tasks that still run; their callers are gone or get an error."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _ended(self, done: Done, cancelled: Callable[[], BaseException], task: asyncio.Task[object]) -> None:
        """Answer for a task. Not done by its coroutine, which never runs when it is cancelled before its first step."""
        self._tasks.discard(task)
        if task.cancelled():
            done(cancelled())
            return
        problem = task.exception()
        done(task.result() if problem is None else problem)


async def asked(call: Callable[[Done], None]) -> object:
    """Await a call of the store; an exception as its result is raised."""
    answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()

    def settle(result: object) -> None:
        if answer.done():
            return
        if isinstance(result, BaseException):
            answer.set_exception(result)
        else:
            answer.set_result(result)

    call(settle)
    return await answer
