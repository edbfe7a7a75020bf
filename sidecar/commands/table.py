"""The command table: one row per MEM command, in the order of the documentation.

To add a command: write its `parse` (arguments to a request) and `render` (result to a reply value) in the module of its
family, add a method to `MemoryService`, and add its row here. Everything else (framing, session rules, metrics,
arity errors) follows from the row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from sidecar.commands import append, count, flush, health, info, read
from sidecar.errors import SyntaxProblem
from sidecar.memory.addressing import Memory
from sidecar.memory.requests import Request
from sidecar.resp.replies import Value

Resolve = Callable[[bytes], Memory]


@dataclass(frozen=True, slots=True)
class Command:
    """One row.

    Args:
        name: upper case.
        arity: as in Redis: the number of words, negative for "at least".
        summary: one line for people.
        syntax: the arguments, in the notation of Redis's documentation.
        parse: arguments and a resolver of keys, to the request.
        render: what the service answered, to a reply value (see `resp.replies`).
    """

    name: str
    arity: int
    summary: str
    syntax: str
    parse: Callable[[list[bytes], Resolve], Request]
    render: Callable[[Any], Value]

    def request(self, arguments: list[bytes], resolve: Resolve) -> Request:
        """Check the arity and parse.

        Raises:
            CommandError: what is wrong with the arguments.
        """
        words = len(arguments) + 1
        if words < -self.arity if self.arity < 0 else words != self.arity:
            raise SyntaxProblem.arity(self.name)
        return self.parse(arguments, resolve)


_ROWS = (
    Command(
        name="MEMAPPEND",
        arity=-4,
        summary="Stores messages at the end of a memory, with their exact token counts, in one atomic step.",
        syntax="key <role content [role content ...] | JSON message [message ...]>",
        parse=append.parse,
        render=append.render,
    ),
    Command(
        name="MEMREAD",
        arity=-2,
        summary="Returns the summary and the messages of a memory, oldest first, within a budget.",
        syntax="key [TOKENS n [RESERVE m]] [COUNT n] [SINCE id] [NOSUMMARY] [FORMAT RESP|OPENAI] [PEEK]",
        parse=read.parse,
        render=read.render,
    ),
    Command(
        name="MEMFLUSH",
        arity=-2,
        summary="Compacts a memory in the background.",
        syntax="key [FORCE] [WAIT ms]",
        parse=flush.parse,
        render=flush.render,
    ),
    Command(
        name="MEMINFO",
        arity=2,
        summary="Tells the state of a memory.",
        syntax="key",
        parse=info.parse_info,
        render=info.render_info,
    ),
    Command(
        name="MEMCLEAR",
        arity=2,
        summary="Deletes a memory with everything that belongs to it.",
        syntax="key",
        parse=info.parse_clear,
        render=info.render_cleared,
    ),
    Command(
        name="MEMCOUNT",
        arity=-2,
        summary="Counts the tokens of texts.",
        syntax="[DEFINITION id | MODEL name] text [text ...]",
        parse=count.parse,
        render=count.render,
    ),
    Command(
        name="MEMHEALTH",
        arity=1,
        summary="Tells how the sidecar and what it depends on are.",
        syntax="",
        parse=health.parse,
        render=health.render,
    ),
)

COMMANDS: Mapping[bytes, Command] = MappingProxyType({row.name.encode(): row for row in _ROWS})
"""By upper-case name."""
