"""Mixes MEM commands into a sequence, and knows what each of them must answer there.

What must be answered depends on the state of the connection, and Redis itself is asked for it: a second run directly
on Redis has, in place of each MEM command, an ECHO and a command that does not exist (a *stand-in*). Its replies show
where in the stream the MEM command's reply belongs, and in what state the connection is:

    ECHO is answered with      the MEM command
    its argument               answers as it always does
    +QUEUED                    is refused, and EXEC then answers EXECABORT: so it does for the unknown command
    an error                   is answered with the same, its own name in place of 'echo'
    nothing                    is not answered either: the CLIENT REPLY SKIP before it was for it

Under CLIENT REPLY OFF nothing comes of either. Everything else must be the same as in that run; and where no stand-in
is in a transaction or behind a command that is about the next one, as in the run without any.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence as Many
from dataclasses import dataclass, field

from tests.e2e.differential.kinds import KINDS, Kind
from tests.e2e.differential.script import OPEN_RAW, Act, Request, Send, Sequence
from tests.e2e.differential.stage import Insertion, Insertions, Pace, Transcript
from tests.e2e.differential.wire import multibulk

OWN_SHARE = 0.5
"""How often a MEM command goes into the write of a step."""

OTHER_SHARE = 0.25
"""How often another connection sends one before a step: one that waits in BLPOP, listens or watches."""

FOR_THE_NEXT = ([b"CLIENT", b"REPLY", b"SKIP"], [b"CLIENT", b"CACHING", b"YES"], [b"CLIENT", b"CACHING", b"NO"])
"""Commands that are about the next one, and if that is a MEM command, then about this."""

_STANDIN = b"standin%04d"
_UNKNOWN = re.compile(rb"\A-ERR unknown command .standin(\d{4})")
_ECHOED = re.compile(rb"\A\$11\r\nstandin\d{4}\r\n\Z")
_REFUSED = re.compile(rb"\A-(?:NOAUTH |BUSY |MASTERDOWN |NOPERM [^\r]*'echo'|ERR Can't execute 'echo')[^\r]*\r\n\Z")
_QUEUED = b"+QUEUED\r\n"
_PROTOCOL = re.compile(rb"\$5\r\nproto\r\n:(\d)\r\n")
_FENCE_LINE = re.compile(
    rb'\A\+\d+\.\d{6} \[\d+ [^\]]*\] (?:"ECHO" "(?:[0-9a-f]{32}|standin\d{4})"|"HELLO"|"ACL" "WHOAMI")\r\n\Z'
)


def is_fence_line(reply: bytes) -> bool:
    """Whether `reply` is what a MONITOR hears of a fence, or of a stand-in. Such lines are the price of both."""
    return _FENCE_LINE.match(reply) is not None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a MEM command goes: before `request` of a step's write, or on its own if the step is another's."""

    step: int
    connection: str
    request: int
    heard: int
    """So many replies a stand-in has at least."""
    special: bool
    """Whether it changes what Redis does: in a transaction, or behind a command that is about the next one."""


@dataclass(slots=True)
class Mix:
    """The MEM commands of one run, and the stand-ins of its reference."""

    seed: str
    places: list[Place] = field(default_factory=list)
    kinds: list[Kind] = field(default_factory=list)

    @property
    def special(self) -> bool:
        return any(place.special for place in self.places)

    def _insertions(self, requests: Many[bytes]) -> Insertions:
        return {
            (place.step, place.connection, place.request): Insertion(data, place.heard)
            for place, data in zip(self.places, requests, strict=True)
        }

    def standins(self) -> Insertions:
        """Return what the reference sends in place of the MEM commands."""
        names = [_STANDIN % number for number in range(len(self.places))]
        return self._insertions([multibulk([b"ECHO", name]) + multibulk([name]) for name in names])

    def commands(self) -> Insertions:
        """Return the MEM commands."""
        return self._insertions([kind.request(self.key(number)) for number, kind in enumerate(self.kinds)])

    def key(self, number: int) -> bytes:
        """Return the memory of a MEM command: each has its own, so that its reply depends on nothing else."""
        return b"corpus-%d" % number


def mix(sequence: Sequence, seed: str, *, special: bool) -> Mix:
    """Choose MEM commands and their places; `special`: some may be where they change what Redis does."""
    rng = random.Random(f"{sequence.name} {seed}")
    mixed = Mix(seed)
    kinds = [kind for kind in KINDS if kind.local or not sequence.quiet]
    weights = [kind.weight for kind in kinds]
    states: dict[str, _State] = {}
    for number, step in enumerate(sequence.steps):
        others = [name for name, state in states.items() if name != step.connection and not state.closed]
        state = states.setdefault(step.connection, _State())
        chosen: list[Place] = []
        if isinstance(step, Send):
            if others and rng.random() < OTHER_SHARE:
                name = rng.choice(others)
                chosen.append(states[name].place(number, name, 0))
            own = state.places(number, step)
            if own and rng.random() < OWN_SHARE:
                chosen.append(rng.choice(own))
        elif isinstance(step, Act) and step.verb != "open":
            state.closed = True
        for place in chosen:
            if sequence.only and place.connection not in sequence.only:
                continue
            if not place.special or (special and not sequence.atomic):
                mixed.places.append(place)
                mixed.kinds += rng.choices(kinds, weights)
    return mixed


@dataclass(slots=True)
class _State:
    """What the words of a connection's requests tell: enough to know where a MEM command is special."""

    transaction: bool = False
    spent: bool = False
    off: bool = False
    closed: bool = False

    @property
    def special(self) -> bool:
        return self.transaction or self.spent

    def place(self, number: int, connection: str, request: int) -> Place:
        return Place(number, connection, request, 0 if self.special or self.off else 2, self.special)

    def places(self, number: int, step: Send) -> list[Place]:
        """Return where a MEM command may go in the write of a step, and take note of its requests."""
        found = []
        for index, request in enumerate(step.requests):
            if not self.closed:
                found.append(self.place(number, step.connection, index))
            if request.logs_in:
                found.clear()  # see there
            self._note(request)
        if not self.closed and step.save is None:
            found.append(self.place(number, step.connection, len(step.requests)))
        return found

    def _note(self, request: Request) -> None:
        words = request.words
        if request.form == OPEN_RAW:
            self.closed = True
        if words[:1] == [b"MULTI"]:
            self.transaction = True
        elif words[:1] in ([b"EXEC"], [b"DISCARD"], [b"RESET"]):
            self.transaction = False
        if words[:2] == [b"CLIENT", b"REPLY"] or words[:1] == [b"RESET"]:
            self.off = words[2:] == [b"OFF"]
        self.spent = words in FOR_THE_NEXT


@dataclass(frozen=True, slots=True)
class Slot:
    """A place in a connection's stream for the reply of a MEM command. `refusal` None: it runs."""

    number: int
    protocol: int
    refusal: bytes | None


def collapse(reference: Transcript) -> tuple[dict[str, list[bytes | Slot]], Pace]:
    """Return, by connection, the replies of a reference with slots for its stand-ins, and the pace of those."""
    streams: dict[str, list[bytes | Slot]] = {}
    counts: dict[str, list[int]] = {}
    for name, heard in reference.heard.items():
        stream: list[bytes | Slot] = []
        count = [0]
        protocol = 2
        for reply in heard.replies:
            if found := _UNKNOWN.match(reply):
                before = stream[-1] if stream else None
                if isinstance(before, bytes) and _ECHOED.match(before):
                    stream[-1] = Slot(int(found[1]), protocol, None)
                elif isinstance(before, bytes) and (before == _QUEUED or _REFUSED.match(before)):
                    stream[-1] = Slot(int(found[1]), protocol, before)
            else:
                stream.append(reply)
                asked = _PROTOCOL.findall(reply)
                protocol = int(asked[-1]) if asked else 2 if reply == b"+RESET\r\n" else protocol
            count.append(len(stream))
        streams[name], counts[name] = stream, count
    pace = [{name: (counts[name][heard], ended) for name, (heard, ended) in point.items()} for point in reference.pace]
    return streams, pace


def expected(slot: Slot, mixed: Mix, *, users: bool) -> re.Pattern[bytes]:
    """Return what the reply in a slot must look like."""
    kind = mixed.kinds[slot.number]
    name = kind.name.lower().encode()
    if slot.refusal == _QUEUED:
        return re.compile(rb"-ERR '%b' cannot be part of a transaction[^\r\n]*\r\n" % name)
    if slot.refusal is not None:
        return re.compile(re.escape(slot.refusal.replace(b"'echo'", b"'%b'" % name)))
    reply = kind.reply(slot.protocol)
    # A user may have no rights on memories, or may have been switched off before the sidecar could log in as this user.
    refused = rb"-(?:NOPERM|NOAUTH memsidecar has seen no password) [^\r\n]*\r\n|"
    return re.compile(refused + reply if users else reply, re.DOTALL)
