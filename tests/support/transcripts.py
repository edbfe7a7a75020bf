"""Drives a session without sockets and writes down what it wants done, for tests that are transcripts."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from sidecar.commands.command import Command
from sidecar.commands.table import COMMANDS
from sidecar.errors import ReplyableError
from sidecar.memory.tracing import Fact, Span, Untraced
from sidecar.resp.watched import Credentials
from sidecar.session.actions import Action, CloseClient, CloseRedis, Identify, Run, Stop, Ticket, ToClient, ToRedis
from sidecar.session.session import Session
from sidecar.session.telemetry import Telemetry
from tests.support.addressing import addressing

Step = bytes | str
"""A transcript's step: bytes for the client (`<`), for Redis (`>`), or a word for the rest."""


def command(line: str) -> bytes:
    words = line.encode().split()
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def fence(number: int, *, ask: bool = False) -> bytes:
    nonce = f"nonce{number}"
    return command(f"ECHO {nonce}") + (command("HELLO") + command("ACL WHOAMI") if ask else b"") + command(nonce)


NOPERM = b"-NOPERM this user has no permissions to run the 'acl' command\r\n"


def passed(number: int, *, echo: bytes | None = None, hello: bytes = b"", user: bytes = NOPERM) -> bytes:
    """Return what Redis answers to a fence.

    `echo` is what comes in the place of its first half; `hello` and `user` are the answers to its questions.
    """
    nonce = b"nonce%d" % number
    first = b"$%d\r\n%b\r\n" % (len(nonce), nonce) if echo is None else echo
    return (
        first + (hello + user if hello else b"") + b"-ERR unknown command '%b', with args beginning with: \r\n" % nonce
    )


class Log:
    """A `CommandLog` that keeps what it is told, as long as it has room."""

    slow_s = 0.5

    def __init__(self) -> None:
        self.has_room = True
        self.failures: list[tuple[str, Exception, float]] = []
        self.slow_ones: list[tuple[str, float]] = []

    def failed(self, ticket: Ticket, problem: Exception, seconds: float) -> str:
        if not self.has_room:
            return ""
        self.failures.append((ticket.command.name, problem, seconds))
        return f"id{len(self.failures)}"

    def slow(self, ticket: Ticket, seconds: float) -> None:
        self.slow_ones.append((ticket.command.name, seconds))


CHILD = "00-4bf92f3577b34da6a3ce929d0e0e4736-1111111111111111-01"


class Recorded:
    """A span of `Spans`."""

    context = CHILD

    def __init__(self, name: str, spans: Spans) -> None:
        self._name = name
        self._spans = spans

    def end(self, error: str | None, facts: Mapping[str, Fact]) -> None:
        self._spans.ended.append((self._name, error, facts))


class Spans(Untraced):
    """A `Tracer` that keeps what it is told; all its spans are named `CHILD`."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, str]] = []
        self.ended: list[tuple[str, str | None, Mapping[str, Fact]]] = []

    def command(self, name: str, parent: str) -> Span:
        self.begun.append((name, parent))
        return Recorded(name, self)


class Client:
    """Drives one session and writes down what it does.

    With `known` its user is found at once whenever the session asks; without, the test answers for itself.
    """

    def __init__(self, *, known: bool = True, commands: Mapping[bytes, Command] = COMMANDS) -> None:
        self._known = known
        numbers = itertools.count(1)
        self.observed: list[tuple[str, str, float]] = []
        self.log = Log()
        self.tracer = Spans()
        self.now = 0.0
        self.tickets: list[Ticket] = []
        self.asked: list[tuple[tuple[Credentials | None, ...], bytes | None]] = []
        self.session = Session(
            commands=commands,
            resolve=addressing().resolve,
            nonce=lambda: b"nonce%d" % next(numbers),
            telemetry=Telemetry(observe=lambda *seen: self.observed.append(seen), log=self.log, tracer=self.tracer),
        )

    def sends(self, *parts: bytes | str) -> list[Step]:
        """The client sends commands (text) or bytes."""
        data = b"".join(command(part) if isinstance(part, str) else part for part in parts)
        return self._steps(client_bytes(self.session, data, self.now))

    def redis(self, data: bytes) -> list[Step]:
        """Redis sends bytes."""
        return self._steps(redis_bytes(self.session, data, self.now))

    def done(self, number: int, result: object = 0) -> list[Step]:
        """The command that was the `number`th to run (from 0) has its result."""
        return self._steps(self.session.completed(self.tickets[number], result, self.now))

    def identified(self, problem: ReplyableError | None = None) -> list[Step]:
        """As whom MEM commands run is known, or cannot be found out."""
        return self._steps(self.session.identified(problem, self.now))

    def leaves(self) -> list[Step]:
        return self._steps(self.session.client_eof())

    def loses_redis(self) -> list[Step]:
        return self._steps(self.session.redis_eof())

    def has_gone(self) -> list[Step]:
        """Nobody reads the replies any more."""
        return self._steps(self.session.nobody_waits())

    def drains(self) -> list[Step]:
        """The sidecar is being stopped."""
        return self._steps(self.session.drain())

    def holds(self, held: bool) -> list[Step]:
        return self._steps(self.session.hold(held))

    def full(self) -> bool:
        return self.session.full

    def idle(self) -> bool:
        return self.session.idle

    def ready(self) -> Client:
        """Bring the session to where MEM commands run at once; the first ticket is number 0 afterwards."""
        assert self.sends("MEMHEALTH with-too-many-words") == [b">" + fence(1)]
        assert self.redis(passed(1)) == [b"<-ERR wrong number of arguments for 'memhealth' command\r\n"]
        self.observed.clear()
        return self

    def _steps(self, actions: list[Action]) -> list[Step]:
        steps: list[Step] = []
        for action in actions:
            match action:
                case ToRedis(data):
                    steps.append(b">" + data)
                case ToClient(data):
                    steps.append(b"<" + data)
                case Run(ticket):
                    steps.append(f"run {ticket.command.name}")
                    self.tickets.append(ticket)
                case Stop(ticket):
                    steps.append(f"stop {ticket.command.name}")
                case Identify(candidates, user):
                    self.asked.append((candidates, user))
                    steps += self.identified() if self._known else ["identify"]
                case CloseRedis():
                    steps.append("close redis")
                case CloseClient():
                    steps.append("close client")
        return _merged(steps)


def client_bytes(session: Session, data: bytes, now: float) -> list[Action]:
    """Take the way of `net.connection` for bytes from the client: the short one where it is open."""
    return [ToRedis(data)] if session.passes(data) else session.client_bytes(data, now)


def redis_bytes(session: Session, data: bytes, now: float) -> list[Action]:
    """Take the way of `net.connection` for bytes from Redis."""
    return [ToClient(data)] if session.replies_pass else session.redis_bytes(data, now)


def _merged(steps: list[Step]) -> list[Step]:
    """Join writes to the same side that follow each other."""
    merged: list[Step] = []
    for step in steps:
        last = merged[-1] if merged else None
        if isinstance(step, bytes) and isinstance(last, bytes) and last[:1] == step[:1]:
            merged[-1] = last + step[1:]
        else:
            merged.append(step)
    return merged
