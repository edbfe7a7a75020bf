"""What the hot path needs from a connection to Redis: send a command, be told its reply.

`net.multiplexer` implements it over one shared connection. Callbacks, not futures: an append passes here, and a future
costs a turn of the event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

Reply = bytes | int | float | None | list["Reply"] | BaseException
"""As hiredis reads it; errors of Redis and of the connection are exceptions (`RedisRefused`, `Uncertain` …)."""

Argument = bytes | str | int


class Pipe(Protocol):
    """Commands to one Redis, executed in the order in which they were sent.

    One exception: a script that Redis does not know yet is sent again, behind what was sent meanwhile.
    """

    def call(self, command: Sequence[Argument], done: Callable[[Reply], None], *, resend: bool) -> None:
        """Send a command.

        Args:
            command: its words.
            done: is called once, with the reply, after `call` has returned: it may send the next command, and a line
                of refused ones must not nest.
            resend: whether it may be sent again when the connection broke before the reply: true for reads, and
                for what Redis recognises as executed.
        """
        ...

    def call_script(
        self,
        name: str,
        keys: Sequence[str],
        arguments: Sequence[Argument],
        done: Callable[[Reply], None],
        *,
        resend: bool,
    ) -> None:
        """Run the script `lua/<name>.lua` (see `store.scripts`)."""
        ...
