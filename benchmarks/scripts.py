"""The script calls that memsidecar sends to Redis, as requests that anybody can send.

They are not written down here a second time: the sidecar's own store builds them, and a pipe that leads nowhere writes
them down. So "the same script with the same arguments" stays true when a script gets another argument.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import redis
import redis.asyncio

from benchmarks.load import NUMBER, pack
from sidecar.memory.addressing import Memory
from sidecar.memory.message import Message, count_message
from sidecar.memory.requests import ReadRequest
from sidecar.metrics import Metrics
from sidecar.store import scripts
from sidecar.store.changes import Changes
from sidecar.store.kept_reads import KeptReads
from sidecar.store.memory_store import MemoryStore
from sidecar.store.pipe import Argument, Reply
from sidecar.store.wakeups import Wakeups
from sidecar.tokens.counter import load_counter


class ScriptCalls:
    """Builds EVALSHA requests. The scripts must be loaded before they are sent; see `load_scripts`.

    Args:
        connection: who sends them. To the script every connection is a sidecar of its own, because it wants the
            numbers of one sidecar in order.
    """

    def __init__(self, connection: int) -> None:
        self._pipe = _Notebook()
        changes = Changes(
            pipe=self._pipe,
            sidecar_id=f"{connection:012x}",
            on_due=lambda memory, trace: None,
            wakeups=Wakeups(redis.asyncio.Redis()),
            tally=Metrics(),
        )
        self._store = MemoryStore(pipe=self._pipe, changes=changes, kept_reads=KeptReads(0))

    def append(self, memory: Memory, *turns: tuple[str, str]) -> bytes:
        """Return the request that stores messages (role and text), with their exact counts of tokens and a `NUMBER`."""
        definition = memory.definition
        messages = [Message(role, text) for role, text in turns]
        count = load_counter(definition.encoding).count
        tokens = [count_message(message, definition, count) for message in messages]
        self._store.append(memory, messages, tokens, definition.encoding, lambda _: None)
        return self._pipe.request(number_at=1)

    def read(self, memory: Memory, tokens: int) -> bytes:
        """Return the request that reads what fits into `tokens`, and leaves the life time alone."""
        self._store.read(ReadRequest(memory, tokens=tokens, touch=False), lambda _: None)
        return self._pipe.request()


def load_scripts(client: redis.Redis, *names: str) -> None:
    """Let Redis know scripts, so that EVALSHA finds them."""
    for name in names:
        client.script_load(scripts.load(name).source)


class _Notebook:
    """A `Pipe` that keeps the last script call and answers that nothing was sent."""

    def __init__(self) -> None:
        self._head: list[Argument] = []
        self._arguments: list[Argument] = []

    def request(self, *, number_at: int | None = None) -> bytes:
        """Return the last call as a request, with `NUMBER` in place of one argument, if that is asked for."""
        arguments: list[Argument] = list(self._arguments)
        if number_at is not None:
            assert isinstance(arguments[number_at], int), "the append script's arguments have another order now"
            arguments[number_at] = NUMBER
        return pack(*self._head, *arguments)

    def call(self, command: Sequence[Argument], done: Callable[[Reply], None], *, resend: bool) -> None:
        done(ConnectionError("this pipe leads nowhere"))

    def call_script(
        self,
        name: str,
        keys: Sequence[str],
        arguments: Sequence[Argument],
        done: Callable[[Reply], None],
        *,
        resend: bool,
    ) -> None:
        self._head = ["EVALSHA", scripts.load(name).sha, len(keys), *keys]
        self._arguments = list(arguments)
        done(ConnectionError("this pipe leads nowhere"))
