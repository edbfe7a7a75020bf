"""Finds the requests in a client's bytes and tells ours from those that go to Redis.

Redis's own counterpart is `processInputBuffer` in networking.c; the two must agree byte for byte on where a request
starts, or a MEM command could be smuggled past, or a value taken for one. So the rules here are Redis's: integers
are strict, two bytes after a bulk are skipped unseen, an inline command ends at LF, and on anything odd the framer
stops looking and hands everything on, for Redis to answer and close.

Forwarded bytes are handed on as they came and as soon as they came; only our own requests are held until they are
whole, under `MAX_REQUEST_BYTES` and `MAX_REQUEST_ARGUMENTS`. This module does not know what any command means.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field

from sidecar.resp.inline import split_inline
from sidecar.resp.watched import HELD_NAMES, NAME_HINTS, REPLICATION_NAMES, WATCHED_NAMES, Hint, hint_of, hint_of_name
from sidecar.resp.wire import BULK, LONGEST_WATCHED_NAME, START, pass_whole, whole_request

MAX_REQUEST_BYTES = 32 * 1024 * 1024
"""Most bytes of one MEM request, which is held in memory whole. A long conversation is a few megabytes."""

MAX_REQUEST_ARGUMENTS = 65_536
"""Most arguments of one MEM request; its append is one script call, and Redis serves nobody else meanwhile."""

MAX_LINE_BYTES = 64 * 1024
"""Redis's PROTO_INLINE_MAX_SIZE: longer lines without an end are its protocol error."""

MAX_COUNT = 2**31 - 1
"""Redis's limit for the number of arguments; above it, it answers an error and closes."""

MAX_HELD_COUNT = 1024 * 1024
"""A count above it is handed on before the name is known: Redis before 7.0 refuses it at once, and nothing of ours is
that long."""

MAX_BULK_BYTES = 512 * 1024 * 1024
"""Redis's default for `proto-max-bulk-len`; a longer argument is its protocol error, in a request of ours too."""

_COUNT = re.compile(rb"\*(0|-?[1-9]\d{0,18})\r\n")
_PARTIAL_LINE = re.compile(rb"(\*(-?|0\r?|-?[1-9]\d{0,18}\r?)|\$(0\r?|[1-9]\d{0,17}\r?)?)?")


@dataclass(slots=True)
class Forward:
    """Bytes for Redis, as the client sent them. They may be any part of one or more requests.

    `words` are there where the hint is about one whole request, held back until it was whole.
    """

    data: bytes
    hint: Hint | None = None
    words: list[bytes] | None = field(default=None, repr=False)  # they may hold a password


@dataclass(slots=True, init=False)
class Own:
    """One whole request for us: its name in upper case, the arguments after it, and the bytes that all of it has."""

    name: bytes
    arguments: list[bytes]
    size: int = field(default=0, compare=False)

    def __init__(self, name: bytes, arguments: list[bytes], size: int = 0) -> None:  # see `results.AppendResult`
        self.name = name
        self.arguments = arguments
        self.size = size


@dataclass(slots=True)
class Oversized:
    """One request for us that was too large. Its bytes are read and dropped."""

    name: bytes
    limit: str


Frame = Forward | Own | Oversized


class RequestFramer:
    """Cuts one client's byte stream into frames.

    Args:
        own: upper-case names of the commands that are ours.
        max_bytes: most bytes of one of their requests.
    """

    def __init__(self, own: Collection[bytes], *, max_bytes: int = MAX_REQUEST_BYTES) -> None:
        self._own = own
        self._max_bytes = max_bytes
        self._watched = frozenset(own) | WATCHED_NAMES
        self._held = bytearray()
        self._need = 0  # do not look again before this many bytes are held: keeps large requests linear
        self._raw = False
        self._replicates = False  # why it is raw: a replica speaks a language of its own
        self._skip = 0  # bytes of the current argument that pass unseen
        self._left = 0  # arguments after it that pass unseen
        self._dropping = False  # whether they belong to an oversized request of ours, and go nowhere
        self._collected: _Collected | None = None
        self.finishing = False  # take what completes the request that Redis has the beginning of, and nothing more

    @property
    def between_requests(self) -> bool:
        """Whether everything that was handed on for Redis ends where a request ends."""
        return not self._raw and (self._dropping or not (self._skip or self._left))

    @property
    def broken(self) -> bool:
        """Whether the client has sent what is no request, and is not looked at any more."""
        return self._raw and not self._replicates

    @property
    def held_bytes(self) -> int:
        """Bytes that wait for the rest of their request."""
        return len(self._held) + (self._collected.size if self._collected else 0)

    def passes(self, data: bytes) -> bool:
        """Whether the next bytes are whole requests for Redis that change nothing here. If so, they have been taken.

        `receive` would return them as one `Forward` without a hint. This is its short way, for nearly all traffic.
        """
        if self._held or self._skip or self._left or self._raw or self._collected is not None:
            return False
        return pass_whole(data, 0, self._watched) == len(data)

    def receive(self, data: bytes) -> list[Frame]:
        """Take the next bytes of the client and return what they complete, in order."""
        if self._raw:
            return [Forward(data)]
        if self._held:
            self._held += data
            if len(self._held) < self._need:
                return []
            data = bytes(self._held)
            self._held.clear()
        self._need = 0
        frames: list[Frame] = []
        self._held += data[self._cut(data, frames) :]
        return frames

    @property
    def _collecting(self) -> bool:
        return self._collected is not None

    def _cut(self, data: bytes, frames: list[Frame]) -> int:
        """Append the frames of `data` and return where the bytes begin that cannot be understood yet.

        `data[start:position]` is what was understood, goes to Redis, and has not been handed on.
        """
        start = position = 0
        end = len(data)
        while position < end and not self._raw:
            hint: Hint | None = None
            frame: Frame | None = None
            if self._skip or self._left:
                after = self._pass_over(data, position)
            elif self.finishing:
                break
            elif (request := self._collected) is not None:
                after, frame = self._collect(data, position, request)
            else:
                self._dropping = False
                after = pass_whole(data, position, self._watched)
                if after == position:
                    after, frame = self._own_request(data, position)
                if after == position:
                    after, frame, hint = self._begin(data, position)
                if (frame is not None or self._collecting) and position > start:
                    frames.append(Forward(data[start:position]))
            if frame is not None or self._collecting or self._dropping:
                start = after
            if frame is not None:
                frames.append(frame)
            if hint is not None:
                frames.append(Forward(data[start:after], hint))
                start = after
            if after == position:
                break
            position = after
        if self._raw:
            position = end
        if position > start:
            # Redis saw nothing of a dropped request, so it gets a header for the argument that it shall refuse.
            header = b"*1\r\n" if self._dropping else b""
            frames.append(Forward(header + data[start:position]))
        return position

    def _own_request(self, data: bytes, position: int) -> tuple[int, Frame | None]:
        """Take a request of ours that is here whole and within every limit: the short way of `_collect`."""
        found = whole_request(data, position, MAX_REQUEST_ARGUMENTS)
        if found is None or found[0] - position > self._max_bytes:
            return position, None
        end, words = found
        name = words[0].upper()
        if name not in self._own:
            return position, None
        del words[0]
        return end, Own(name, words, end - position)

    def _begin(self, data: bytes, position: int) -> tuple[int, Frame | None, Hint | None]:
        """Look at the start of a request; return how far it was understood."""
        match = START.match(data, position)
        if match is None:
            return self._begin_oddly(data, position)
        count, length, after = int(match[1]), int(match[2]), match.end()
        if count > MAX_HELD_COUNT:
            return self._begin_endless(count, position, match.start(2) - 1)
        name = b""
        if length <= LONGEST_WATCHED_NAME:
            name = data[after : after + length].upper()
            if len(name) < length:
                return position, None, None
            if name in self._own or (name in HELD_NAMES and count <= HELD_NAMES[name].words):
                self._collected = _Collected(count, own=name in self._own, max_bytes=self._max_bytes)
                return match.start(2) - 1, None, None
            if name in REPLICATION_NAMES:
                self._raw = self._replicates = True
                return position, None, None
        self._left = count - 1
        self._skip = length + 2
        return after, None, hint_of_name(name, count)

    def _begin_oddly(self, data: bytes, position: int) -> tuple[int, Frame | None, Hint | None]:
        """Handle every start of a request but the usual one."""
        if data[position] != 0x2A:
            return self._inline(data, position)
        match = _COUNT.match(data, position)
        if match is not None and int(match[1]) <= 0:
            return match.end(), None, None  # Redis consumes it without a word
        if match is not None and int(match[1]) > MAX_HELD_COUNT:
            return self._begin_endless(int(match[1]), position, match.end())
        self._raw = not _may_become_valid(data, position if match is None else match.end())
        return position, None, None

    def _begin_endless(self, count: int, position: int, after: int) -> tuple[int, Frame | None, Hint | None]:
        """Handle a count that is too large for us, and perhaps for Redis, which then answers without waiting."""
        if count > MAX_COUNT:
            self._raw = True
            return position, None, None
        self._left = count
        return after, None, None

    def _inline(self, data: bytes, position: int) -> tuple[int, Frame | None, Hint | None]:
        newline = data.find(b"\n", position)
        line = data[position : newline if newline >= 0 else len(data)]
        if len(line) > MAX_LINE_BYTES or b"\0" in line:  # Redis looks for the end with a C string function
            self._raw = True
            return position, None, None
        if newline < 0:
            return position, None, None
        words = split_inline(line.removesuffix(b"\r"))
        name = words[0].upper() if words else b""
        if words is None or name in REPLICATION_NAMES:
            self._raw = True
            self._replicates = words is not None
            return position, None, None
        if name in self._own:
            return newline + 1, Own(name, words[1:], newline + 1 - position), None
        hint = hint_of(words)
        if hint is None:
            return newline + 1, None, None
        return newline + 1, Forward(data[position : newline + 1], hint, words), None

    def _pass_over(self, data: bytes, position: int) -> int:
        """Step over arguments that we do not look at, as far as they are here."""
        end = len(data)
        while True:
            if self._skip > end - position:
                self._skip -= end - position
                return end
            position += self._skip
            self._skip = 0
            if not self._left:
                return position
            match = BULK.match(data, position)
            if match is None:
                self._raw = not _may_become_valid(data, position)
                return position
            self._left -= 1
            self._skip = int(match[1]) + 2
            position = match.end()

    def _collect(self, data: bytes, position: int, request: _Collected) -> tuple[int, Frame | None]:
        """Gather the arguments of a request that must be seen whole."""
        while request.left:
            match = BULK.match(data, position)
            if match is None:
                if _may_become_valid(data, position):
                    return position, None
                self._collected, self._raw = None, True
                return position, Forward(request.rebuilt())
            length = int(match[1])
            if length > MAX_BULK_BYTES:
                self._collected, self._raw = None, True
                return position, Forward(request.rebuilt())
            excess = request.excess(length)
            if excess is not None:
                return self._let_go(match, request, excess)
            after = match.end() + length + 2
            if after > len(data):
                self._need = after - position
                return position, None
            request.add(data[match.end() : after - 2])
            position = after
        self._collected = None
        if request.own:
            return position, Own(request.name, request.arguments[1:], request.size)
        return position, Forward(request.rebuilt(), hint_of(request.arguments), request.arguments)

    def _let_go(self, match: re.Match[bytes], request: _Collected, excess: str) -> tuple[int, Frame]:
        """Stop holding a request: one of ours that is too large is dropped, another one goes on to Redis."""
        self._collected = None
        self._left, self._skip = request.left - 1, int(match[1]) + 2
        if not request.own:
            return match.end(), Forward(request.rebuilt() + match[0], NAME_HINTS.get(request.name))
        self._dropping = True
        return match.end(), Oversized(request.name, excess)


class _Collected:
    """The arguments of one request so far, its name first."""

    __slots__ = ("arguments", "count", "max_bytes", "own", "size")

    def __init__(self, count: int, *, own: bool, max_bytes: int) -> None:
        self.count = count
        self.max_bytes = max_bytes
        self.own = own
        self.arguments: list[bytes] = []
        self.size = 0

    @property
    def left(self) -> int:
        return self.count - len(self.arguments)

    @property
    def name(self) -> bytes:
        return self.arguments[0].upper()

    def add(self, argument: bytes) -> None:
        self.arguments.append(argument)
        self.size += len(argument)

    def excess(self, length: int) -> str | None:
        """Return the limit that one more argument of this length would pass, in words."""
        if not self.arguments:
            return None  # the name itself, known to be short, which the error text needs
        if not self.own:
            return "not to be held" if length > HELD_NAMES[self.name].word_bytes else None
        if self.count > MAX_REQUEST_ARGUMENTS:
            return f"a request may have {MAX_REQUEST_ARGUMENTS} arguments; send it in parts"
        if self.size + length > self.max_bytes:
            return f"a request may have {self.max_bytes} bytes; send it in parts"
        return None

    def rebuilt(self) -> bytes:
        """Return the request so far as bytes for Redis.

        Only the two bytes after each argument can differ from what the client sent, and Redis skips those.
        """
        parts = [b"*%d\r\n" % self.count]
        parts += [b"$%d\r\n%b\r\n" % (len(argument), argument) for argument in self.arguments]
        return b"".join(parts)


def _may_become_valid(data: bytes, position: int) -> bool:
    """Tell whether the count or length line at `position` is merely incomplete."""
    return _PARTIAL_LINE.fullmatch(data, position) is not None
