"""What a driver says and hears: orders on its standard input, answers on its standard output, one line of JSON each.

| order (`do`) | fields | answer |
| --- | --- | --- |
| `hello` | `packages` | `packages`: the versions that are installed |
| `open` | `place` (see `Place`), `texts` (path of a JSON list) | nothing |
| `extend` | `count` | nothing; that many messages are in the memory |
| `append` | `writer`, `begin`, `until` | `acknowledged` (all since the order), and the window (see `Repeated`) |
| `read` | `begin`, `until` | `texts` (of the last read), and the window |
| `contents` | | `marks` of all messages, in the memory's order |

`begin` and `until` are moments of `time.monotonic`, which counts from the start of the machine on Linux and macOS, so
for all processes alike. Work begins at once and is measured from `begin` on. Whatever a library raises is answered as
`error`. The end of the input ends the driver.

Every message begins with a mark of its own, `writer.number`, by which it is found again. The counterpart is
`benchmarks.peers.crew`. This module knows no library, and imports nothing outside the standard library.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from itertools import count
from typing import Any, Protocol, TextIO

Turn = tuple[str, str]
"""Role (`user` or `assistant`) and text."""

FILL_WRITER = "fill"
"""The writer in the marks of messages that are there before anything is measured."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a memory is, and what reading it may return.

    Args:
        url: of the server, `redis://…`.
        memory: its name there.
        budget: tokens that a read may return, for memories that know a budget.
        vocabulary: of a `tiktoken.Encoding`: `name`, `pattern`, `special_tokens`, and the `path` of its ranks.
    """

    url: str
    memory: str
    budget: int
    vocabulary: dict[str, Any] = field(default_factory=dict)


class Memory(Protocol):
    """A library's memory whose calls block."""

    def append(self, role: str, text: str) -> object:
        """Store one message, and return once the library says that it is stored."""
        ...

    def extend(self, turns: list[Turn]) -> object:
        """Store many messages, in the way that the library has for it."""
        ...

    def read(self) -> Any:
        """Return what a model would be given: what fits the budget, or everything where the library knows none."""
        ...

    def everything(self) -> Any:
        """Return all messages, oldest first."""
        ...

    def text_of(self, message: Any) -> str:
        """Return the text of one of the messages that `read` and `everything` return."""
        ...


class AsyncMemory(Protocol):
    """A library's memory whose calls are awaited; see `Memory`."""

    def append(self, role: str, text: str) -> Awaitable[object]: ...
    def extend(self, turns: list[Turn]) -> Awaitable[object]: ...
    def read(self) -> Awaitable[Any]: ...
    def everything(self) -> Awaitable[Any]: ...
    def text_of(self, message: Any) -> str: ...


@dataclass(frozen=True, slots=True)
class Repeated:
    """A window in which something was done over and over; at least once.

    Args:
        latencies_ms: of each time.
        seconds: length of the window; longer than asked for where one time takes longer.
        cpu_s: CPU time of this process in it.
        last: what the last time gave.
    """

    latencies_ms: list[float]
    seconds: float
    cpu_s: float
    last: Any


class _Window:
    """Collects a `Repeated`; `open` once `begin` has passed, over when `until` has."""

    def __init__(self, begin: float, until: float) -> None:
        self._begin, self._until = begin, until
        self._latencies: list[float] = []
        self._started: tuple[float, float] | None = None

    def before(self) -> float:
        """Return the moment at which the next time starts."""
        now = time.monotonic()
        if self._started is None and now >= self._begin:
            self._started = (now, time.process_time())
        return now

    def after(self, before: float) -> bool:
        """Take note that it is done, and return whether there is to be another."""
        now = time.monotonic()
        if self._started is None:
            return True
        self._latencies.append(now - before)
        return now < self._until

    def result(self, last: Any) -> Repeated:
        """Return what was measured."""
        assert self._started is not None
        seconds, cpu_s = time.monotonic() - self._started[0], time.process_time() - self._started[1]
        return Repeated([round(1000 * each, 4) for each in self._latencies], seconds, cpu_s, last)


class _Blocking:
    """Carries out a `Memory`'s calls."""

    def result(self, value: Any) -> Any:
        return value

    def repeat(self, step: Callable[[], Any], window: _Window) -> Repeated:
        while True:
            before = window.before()
            last = step()
            if not window.after(before):
                return window.result(last)


class _Awaiting:
    """Carries out an `AsyncMemory`'s calls, all of them on one event loop."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner

    def result(self, value: Awaitable[Any]) -> Any:
        async def awaited() -> Any:
            return await value

        return self._runner.run(awaited())

    def repeat(self, step: Callable[[], Awaitable[Any]], window: _Window) -> Repeated:
        async def repeated() -> Repeated:
            while True:
                before = window.before()
                last = await step()
                if not window.after(before):
                    return window.result(last)

        return self._runner.run(repeated())


class _Driver:
    """Carries out orders. `calls` knows whether the memory blocks or is awaited."""

    def __init__(self, opening: Callable[[Place], Any], calls: _Blocking | _Awaiting) -> None:
        self._opening = opening
        self._calls = calls
        self._memory: Any = None
        self._texts: list[str] = []

    def carry_out(self, order: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to an order; `do` names the method below."""
        answer: dict[str, Any] = getattr(self, f"_{order.pop('do')}")(**order)
        return answer

    def _hello(self, packages: list[str]) -> dict[str, Any]:
        return {"packages": {name: version(name) for name in packages}}

    def _open(self, place: dict[str, Any], texts: str) -> dict[str, Any]:
        with open(texts, encoding="utf-8") as file:
            self._texts = json.load(file)
        self._memory = self._opening(Place(**place))
        return {}

    def _extend(self, count: int) -> dict[str, Any]:
        self._calls.result(self._memory.extend([self._turn(FILL_WRITER, number) for number in range(count)]))
        return {}

    def _append(self, writer: str, begin: float, until: float) -> dict[str, Any]:
        numbers = count()
        window = self._calls.repeat(
            lambda: self._memory.append(*self._turn(writer, next(numbers))), _Window(begin, until)
        )
        return {"acknowledged": next(numbers), **asdict(window), "last": None}

    def _read(self, begin: float, until: float) -> dict[str, Any]:
        window = self._calls.repeat(self._memory.read, _Window(begin, until))
        texts = [self._memory.text_of(message) for message in window.last]
        return {"texts": texts, **asdict(window), "last": None}

    def _contents(self) -> dict[str, Any]:
        found = self._calls.result(self._memory.everything())
        return {"marks": [self._memory.text_of(message).partition(" ")[0] for message in found]}

    def _turn(self, writer: str, number: int) -> Turn:
        """Return a message that begins with its mark and is as long as the text that it is made of."""
        text = self._texts[number % len(self._texts)]
        return "assistant" if number % 2 else "user", f"{writer}.{number} {text}"[: len(text)]


def serve(opening: Callable[[Place], Memory]) -> None:
    """Carry out orders on a memory whose calls block, until the input ends."""
    _serve(_Driver(opening, _Blocking()))


def serve_asyncio(opening: Callable[[Place], AsyncMemory]) -> None:
    """Carry out orders on a memory whose calls are awaited, until the input ends."""
    with asyncio.Runner() as runner:
        _serve(_Driver(opening, _Awaiting(runner)))


def _serve(driver: _Driver) -> None:
    answers = _own_output()
    for line in sys.stdin:
        try:
            answer = driver.carry_out(json.loads(line))
        except Exception as problem:  # whatever a library raises is a result here, and told to who asked
            answer = {"error": f"{type(problem).__name__}: {problem}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _own_output() -> TextIO:
    """Return the standard output for answers alone; what a library prints goes to the standard error instead."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return answers
