"""What a row of the command table is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sidecar.commands.resolving import Resolve
from sidecar.commands.syntax import Argument, notation
from sidecar.errors import SyntaxProblem
from sidecar.memory.requests import Request
from sidecar.resp import replies
from sidecar.resp.replies import Value


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
        reply: what comes back, for people.
        errors: first words of the errors that it may answer, besides those that every command may.
        parse: arguments, without TRACEPARENT, and a resolver of keys, to the request.
        render: what the service answered, to a reply value (see `resp.replies`).
        quick: the same to the bytes of the reply, for what is answered often and always alike: a result and a protocol
            (2 or 3) to what `replies.encode` would make of it.
        trace_at: where TRACEPARENT may stand among the arguments, which is behind the keys; -1 where there is no key.
    """

    name: str
    arity: int
    flags: tuple[str, ...]
    tips: tuple[str, ...]
    since: str
    summary: str
    complexity: str
    arguments: tuple[Argument, ...]
    reply: str
    errors: tuple[str, ...]
    parse: Callable[[list[bytes], Resolve], Request]
    render: Callable[[Any], Value]
    quick: Callable[[Any, int], bytes] | None = None
    trace_at: int = -1

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

    def encode(self, result: Any, protocol: int) -> bytes:
        """Return the reply for what the service answered.

        Args:
            result: of this command's request.
            protocol: 2 or 3.
        """
        if self.quick is not None:
            return self.quick(result, protocol)
        return replies.encode(self.render(result), protocol)

    def request(self, arguments: list[bytes], resolve: Resolve) -> Request:
        """Check the arity and parse.

        Raises:
            CommandError: what is wrong with the arguments.
        """
        if not self.takes(len(arguments) + 1):
            raise SyntaxProblem.arity(self.name)
        return self.parse(arguments, resolve)
