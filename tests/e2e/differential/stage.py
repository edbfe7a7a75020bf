"""Plays a sequence on one of the two ways to Redis and writes down what every connection heard.

Directly on Redis, a step is over when the replies promised in the sequence are there and two further round trips are
done: Redis serves one event loop turn after the other, so by then it has written all that the step has brought about.
That run sets the pace: the sidecar's is at a step's end when its connections have heard as many replies.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.e2e.differential.peer import LIMIT_S, Ignore, Peer, until
from tests.e2e.differential.script import DRIPPED, INLINE, Act, Request, Send, Sequence, Wait
from tests.e2e.differential.wire import multibulk

ROUND_TRIPS = 2
"""After so many, Redis has written what it had to say before the first; see above."""

ROUND_TRIPS_OF_SILENCE = 4
"""Through the sidecar, behind a request that nobody answers: it may have a round trip of its own to make first."""

MIXED_DRIP_BYTES = 64
"""Larger requests are not cut into single bytes."""

LET_GO = -1
"""In place of a number of writes: the client had already said that it would send no more."""

_NAME = re.compile(rb"%\((\w+)\)")
_CLIENT = re.compile(rb"^id=(\d+) .*? name=(\S*) ", re.MULTILINE)
_MONITORED = re.compile(rb"\A\+\d+\.\d{6} \[\d+ ([^\]]+)\] ")
_BARRIER = (b"CONFIG", b"GET", b"-")  # does nothing, and no MONITOR shows it


@dataclass(frozen=True, slots=True)
class Insertion:
    """Bytes that go in front of a request; directly on Redis, they have at least so many `replies`."""

    data: bytes
    replies: int


Insertions = Mapping[tuple[int, str, int], Insertion]
"""By step, connection and request; it is the last but one if nothing follows, and 0 if the step is another's."""

Pace = list[dict[str, tuple[int, bool]]]
"""After each step or insertion, by connection: the replies so far, and whether the stream has ended."""


@dataclass(slots=True)
class Heard:
    """What one connection heard; `ended`: after how many of its writes Redis has ended the stream, None for never."""

    replies: list[bytes] = field(default_factory=list)
    rest: bytes = b""
    ended: int | None = None


@dataclass(slots=True)
class Transcript:
    """One run of a sequence. `stalled` says where the sidecar's run waited in vain."""

    heard: dict[str, Heard] = field(default_factory=dict)
    pace: Pace = field(default_factory=list)
    stalled: str | None = None


class Unplayable(Exception):
    """The sequence expects what Redis does not do."""


class Way:
    """A way to Redis: `port` is where clients connect, `redis` a connection straight to Redis."""

    def __init__(self, port: int, redis: Peer, *, direct: bool) -> None:
        self.port = port
        self.redis = redis
        self.direct = direct
        self._control = redis if direct else Peer(port)
        self.round_trips(1)  # from here on it is among Redis's clients, and not taken for one of a sequence

    def round_trips(self, number: int) -> None:
        """Let what was sent before reach Redis."""
        for _ in range(number):
            self._control.ask(*_BARRIER)

    def clients(self) -> frozenset[int] | None:
        """Return the ids of Redis's clients but the sidecar's own; None while a script keeps Redis busy."""
        reply = self.redis.ask(b"CLIENT", b"LIST")  # INFO would tell something too, but a MONITOR hears it
        if reply.startswith(b"-"):
            return None
        return frozenset(int(line[1]) for line in _CLIENT.finditer(reply) if not line[2].startswith(b"memsidecar"))

    def is_sidecars_own(self, reply: bytes) -> bool:
        """Whether `reply` is a line of MONITOR about one of the sidecar's own connections, which it has at any time."""
        line = _MONITORED.match(reply)
        if line is None:
            return False
        clients = self.redis.ask(b"CLIENT", b"LIST")
        return re.search(rb"^id=\d+ addr=%b .* name=memsidecar" % re.escape(line[1]), clients, re.MULTILINE) is not None

    def close(self) -> None:
        """Close the control connection through the sidecar; the one to Redis belongs to the caller."""
        if not self.direct:
            self._control.close()


class Play:
    """One run. `pace` None: this run sets it. `cut`: how a write is cut into segments."""

    def __init__(
        self,
        sequence: Sequence,
        way: Way,
        *,
        pace: Pace | None = None,
        insertions: Insertions | None = None,
        cut: Callable[[bytes], list[bytes]] | None = None,
        ignore: Ignore | None = None,
        enforce: bool = True,
        limit_s: float = LIMIT_S,
    ) -> None:
        self._sequence = sequence
        self._way = way
        self._given = pace
        self._insertions = insertions or {}
        self._cut = cut
        self._ignore: Ignore = lambda reply: way.is_sidecars_own(reply) or (ignore is not None and ignore(reply))
        self._enforce = enforce
        self._limit_s = limit_s
        self._peers: dict[str, Peer] = {}
        self._before: frozenset[int] | None = None  # Redis's clients when the latest connection was opened
        self._owed: Counter[str] = Counter()  # so many replies are there when all promises are kept
        self._writes: Counter[str] = Counter()
        self._ids: dict[str, frozenset[int]] = {}  # of the connections at Redis
        self._values: dict[str, bytes] = {}
        self._transcript = Transcript()

    def run(self) -> Transcript:
        """Play every step, then let the connections go one by one, so that nothing they were owed is missed."""
        try:
            for number, step in enumerate(self._sequence.steps):
                self._step(number, step)
                if self._transcript.stalled is not None:
                    break
            else:
                self._farewell()
        finally:
            for name, peer in self._peers.items():
                peer.receive()
                self._transcript.heard[name].replies = peer.replies
                self._transcript.heard[name].rest = peer.rest
                self._away(name)
        return self._transcript

    def _step(self, number: int, step: Send | Wait | Act) -> None:
        peer = self._peer(step.connection)
        for (at, name, _), insertion in self._insertions.items():
            if at == number and name != step.connection:
                self._peers[name].send(insertion.data)
                self._owed[name] += insertion.replies
                self._over(name)
        promised = False
        match step:
            case Send():
                inserted = (
                    one for (at, name, _), one in self._insertions.items() if (at, name) == (number, step.connection)
                )
                self._owed[step.connection] = len(peer.replies) + step.promised + sum(one.replies for one in inserted)
                self._writes[step.connection] += 1
                self._write(peer, self._segments(number, step))
                promised = step.promised > 0
            case Wait():
                self._owed[step.connection] += step.replies
                promised = True
            case Act():
                self._act(number, step.connection, step.verb)
        if self._before is not None:
            self._known_to_redis(step.connection)
        self._over(step.connection, promised=promised)
        if isinstance(step, Send) and step.save is not None:
            self._save(step, peer)

    def _over(self, name: str, *, promised: bool = False) -> None:
        """Wait until what was begun is over, and note the pace."""
        peer = self._peers[name]
        round_trips = ROUND_TRIPS if promised else ROUND_TRIPS_OF_SILENCE
        at = len(self._transcript.pace)
        expected = self._owed[name] if promised and self._enforce else 0
        if self._given is None:
            if not self._until(lambda: len(peer.replies) >= expected or not peer.listening):
                raise Unplayable(
                    f"{self._sequence.name}: point {at}: {name} got {peer.replies[-3:]}, {peer.rest[:100]!r}"
                )
            self._settle(round_trips)
            if promised and not self._until(
                lambda: all(one.between_replies or one.left for one in self._peers.values())
            ):
                raise Unplayable(f"{self._sequence.name}: point {at}: half a reply")
        else:
            wanted = self._given[at]
            if not self._until(lambda: self._has(wanted)):
                shown = {one: (count, len(self._peers[one].replies)) for one, (count, _) in wanted.items()}
                self._transcript.stalled = f"replies wanted and heard at point {at}: {shown}"
            self._settle(round_trips)
        self._transcript.pace.append({one: (len(peer.replies), peer.ended) for one, peer in self._peers.items()})
        for one, peer in self._peers.items():
            if peer.ended and self._transcript.heard[one].ended is None:
                self._transcript.heard[one].ended = LET_GO if peer.half_closed else self._writes[one]

    def _until(self, condition: Callable[[], bool]) -> bool:
        return until(self._peers.values(), condition, self._limit_s)

    def _has(self, wanted: dict[str, tuple[int, bool]]) -> bool:
        return all(
            self._peers[name].left or (len(self._peers[name].replies) >= count and self._peers[name].ended >= ended)
            for name, (count, ended) in wanted.items()
        )

    def _settle(self, round_trips: int) -> None:
        self._way.round_trips(round_trips)
        for peer in self._peers.values():
            peer.receive()

    def _peer(self, name: str) -> Peer:
        if name not in self._peers:
            self._before = self._way.clients()
            self._peers[name] = Peer(self._way.port, self._ignore)
            self._transcript.heard[name] = Heard()
        return self._peers[name]

    def _known_to_redis(self, name: str) -> None:
        """Wait until a connection that was just opened is up at Redis: others may depend on what it has done.

        Its first write is on its way by then, so that the sidecar gets it before it has a connection to Redis.
        """
        peer, before, self._before = self._peers[name], self._before, None
        deadline = time.monotonic() + self._limit_s
        while before is not None and peer.listening and time.monotonic() < deadline:
            now = self._way.clients()
            if now is None or now - before:
                self._ids[name] = now - before if now is not None else frozenset()
                return
            peer.receive()

    def _act(self, number: int, name: str, verb: str) -> None:
        peer = self._peers[name]
        if verb == "half-close":
            peer.half_close()
        elif verb == "eof":
            if self._enforce and not self._until(lambda: not peer.listening):
                self._transcript.stalled = f"step {number + 1}: the end of the stream of a connection did not come"
        elif verb == "close":
            peer.receive()
            self._away(name)

    def _away(self, name: str) -> None:
        """Close a connection and wait until Redis knows, so that nothing of it reaches into what follows."""
        self._peers[name].close()
        ids = self._ids.pop(name, None)
        deadline = time.monotonic() + self._limit_s
        while ids and (self._way.clients() or frozenset()) & ids:
            if time.monotonic() > deadline:
                raise Unplayable(f"{self._sequence.name}: Redis did not notice that {name} is gone")

    def _farewell(self) -> None:
        for name, peer in self._peers.items():
            if not peer.listening:
                continue
            peer.half_close()
            if not self._until(lambda peer=peer: not peer.listening):  # type: ignore[misc]
                self._transcript.stalled = f"the end: {name} was not closed"
                return
            self._transcript.heard[name].ended = LET_GO

    def _save(self, step: Send, peer: Peer) -> None:
        assert step.save is not None
        value = peer.replies[-1][1:-2] if peer.replies else b""
        self._values[step.save] = value
        if peer.replies:
            # The name that the value had first: so two replies that were the same still have to be.
            first = next(name for name, known in self._values.items() if known == value)
            peer.replies[-1] = b":<%b>\r\n" % first.encode()

    # ---- what goes out ----

    def _segments(self, number: int, step: Send) -> list[bytes]:
        """Return the segments of a step's write."""
        segments: list[bytes] = [b""]
        for index, request in enumerate(step.requests):
            segments[-1] += self._inserted(number, step, index)
            pieces = self._encoded(request)
            segments[-1] += pieces[0]
            segments += pieces[1:]
        segments[-1] += self._inserted(number, step, len(step.requests))
        uncut = any(request.raw or request.form == DRIPPED or request.logs_in for request in step.requests)
        return segments if self._cut is None or uncut else self._cut(segments[0])

    def _inserted(self, number: int, step: Send, index: int) -> bytes:
        insertion = self._insertions.get((number, step.connection, index))
        return insertion.data if insertion is not None else b""

    def _encoded(self, request: Request) -> list[bytes]:
        parts = [_NAME.sub(self._value, part) if b"%(" in part else part for part in request.parts]
        if request.raw:
            return parts
        data = parts[0] + b"\r\n" if request.form == INLINE else multibulk(parts)
        if request.form == DRIPPED and len(data) <= MIXED_DRIP_BYTES:
            return [data[at : at + 1] for at in range(len(data))]
        return [data]

    def _value(self, match: re.Match[bytes]) -> bytes:
        name = match[1].decode()
        if name not in self._values:
            raise Unplayable(f"{self._sequence.name}: nothing is named {name}")
        return self._values[name]

    def _write(self, peer: Peer, segments: list[bytes]) -> None:
        peer.send(segments[0])
        for segment in segments[1:]:
            self._way.round_trips(1)  # by now the sidecar has read the segment before
            peer.send(segment)
