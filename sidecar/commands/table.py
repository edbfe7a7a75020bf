"""The command table: one row per MEM command, in the order of the documentation.

To add a command: write its `parse` (arguments to a request) and `render` (result to a reply value) in the module of its
family, add a method to `MemoryService`, and add its row here. Everything else (framing, session rules, metrics,
arity errors, what COMMAND tells, the README) follows from the row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from sidecar.commands import append, count, flush, health, info, read
from sidecar.commands.syntax import Argument, block, key, notation, number, one_of, optional, several, text, word
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
        flags: what it is to Redis's clients, in Redis's words (see `describe.FLAGS`). MEMREAD counts as a write because
            it extends the life of what it reads, as GETEX does.
        tips: Redis's hints for clients that spread commands over nodes or cache replies.
        since: the version of this package that brought it.
        summary: one line for people.
        complexity: its cost, for people.
        arguments: what follows the name.
        parse: arguments and a resolver of keys, to the request.
        render: what the service answered, to a reply value (see `resp.replies`).
    """

    name: str
    arity: int
    flags: tuple[str, ...]
    tips: tuple[str, ...]
    since: str
    summary: str
    complexity: str
    arguments: tuple[Argument, ...]
    parse: Callable[[list[bytes], Resolve], Request]
    render: Callable[[Any], Value]

    @property
    def syntax(self) -> str:
        """The arguments, in the notation of Redis's documentation."""
        return " ".join(map(notation, self.arguments))

    @property
    def keys(self) -> Mapping[int, Argument]:
        """The arguments that are keys, by their position; the name is 0."""
        return {position: each for position, each in enumerate(self.arguments, 1) if each.type == "key"}

    def takes(self, words: int) -> bool:
        """Return whether it can be called with so many words, its name included."""
        return words >= -self.arity if self.arity < 0 else words == self.arity

    def request(self, arguments: list[bytes], resolve: Resolve) -> Request:
        """Check the arity and parse.

        Raises:
            CommandError: what is wrong with the arguments.
        """
        if not self.takes(len(arguments) + 1):
            raise SyntaxProblem.arity(self.name)
        return self.parse(arguments, resolve)


_NONDETERMINISTIC = ("nondeterministic_output",)

_ROWS = (
    Command(
        name="MEMAPPEND",
        arity=-4,
        flags=("write", "denyoom"),
        tips=_NONDETERMINISTIC,
        since="0.1.0",
        summary="Stores messages at the end of a memory, with their exact token counts, in one atomic step.",
        complexity="O(N) where N is the length of the messages",
        arguments=(
            key("RW", "insert"),
            one_of(
                "messages",
                several(block("pair", text("role"), text("content"))),
                several(text("message", "JSON")),
            ),
        ),
        parse=append.parse,
        render=append.render,
    ),
    Command(
        name="MEMREAD",
        arity=-2,
        flags=("write",),
        tips=(),
        since="0.1.0",
        summary="Returns the summary and the messages of a memory, oldest first, within a budget.",
        complexity="O(N) where N is the number of messages returned, instructions included",
        arguments=(
            key("RW", "access", "update", notes="UPDATE because it extends the TTL, unless PEEK is given"),
            optional(block("budget", number("n", "TOKENS"), optional(number("m", "RESERVE")))),
            optional(number("n", "COUNT")),
            optional(text("id", "SINCE")),
            optional(word("NOSUMMARY")),
            optional(one_of("format", word("RESP"), word("OPENAI"), token="FORMAT")),
            optional(word("PEEK")),
        ),
        parse=read.parse,
        render=read.render,
    ),
    Command(
        name="MEMFLUSH",
        arity=-2,
        flags=("write", "blocking"),
        tips=_NONDETERMINISTIC,
        since="0.1.0",
        summary="Compacts a memory in the background.",
        complexity="O(1); in the background O(N) where N is the number of messages in the memory",
        arguments=(
            key("RW", "update"),
            optional(word("FORCE")),
            optional(number("ms", "WAIT")),
        ),
        parse=flush.parse,
        render=flush.render,
    ),
    Command(
        name="MEMINFO",
        arity=2,
        flags=("readonly", "fast"),
        tips=_NONDETERMINISTIC,
        since="0.1.0",
        summary="Tells the state of a memory.",
        complexity="O(1)",
        arguments=(key("RO"),),
        parse=info.parse_info,
        render=info.render_info,
    ),
    Command(
        name="MEMCLEAR",
        arity=2,
        flags=("write", "fast"),
        tips=(),
        since="0.1.0",
        summary="Deletes a memory with everything that belongs to it.",
        complexity="O(1); Redis frees the memory in the background",
        arguments=(key("RM", "delete"),),
        parse=info.parse_clear,
        render=info.render_cleared,
    ),
    Command(
        name="MEMCOUNT",
        arity=-2,
        flags=(),
        tips=(),
        since="0.1.0",
        summary="Counts the tokens of texts.",
        complexity="O(N) where N is the length of the texts",
        arguments=(
            optional(one_of("vocabulary", text("id", "DEFINITION"), text("name", "MODEL"))),
            several(text("text")),
        ),
        parse=count.parse,
        render=count.render,
    ),
    Command(
        name="MEMHEALTH",
        arity=1,
        flags=(),
        tips=_NONDETERMINISTIC,
        since="0.1.0",
        summary="Tells how the sidecar and what it depends on are.",
        complexity="O(1)",
        arguments=(),
        parse=health.parse,
        render=health.render,
    ),
)

COMMANDS: Mapping[bytes, Command] = MappingProxyType({row.name.encode(): row for row in _ROWS})
"""By upper-case name."""
