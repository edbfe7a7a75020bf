"""Reads of a whole memory: the script tells what is to be known about it, and the messages come beside it, by XRANGE.

A script would have to make Lua's values of every message and text of these, which is three times the work of XRANGE
itself. That both speak of one moment is therefore shown afterwards: three commands leave together, and between them
nobody else's is executed but where the network cut them apart.

    HMGET epoch and fence   XRANGE   the script: epoch, fence, length and newest id

Ids rise, so where the newest is the script's, nothing that came in between is left in the log. A fence has one holder,
a flush that takes messages or an undo that puts some back, and whatever else removes any raises it; so where epoch and
fence stayed, messages only went, or only came back. Then equal lengths mean that neither happened, and the log is the
script's. Otherwise the script is asked for all of it, as by any other read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from sidecar.memory.addressing import Memory
from sidecar.memory.message import ROLES
from sidecar.memory.requests import ReadRequest
from sidecar.memory.stored_message import StoredMessage
from sidecar.store.pipe import Argument, Pipe, Reply

APART = -2
"""Tells `lua/read.lua`, in the place of `grown_reads.CANNOT`, that the messages come from elsewhere."""

MOST_MESSAGES = 1_000
"""Of one memory. As values of their own they take more memory than in the script's one string, until they are messages;
what is above is no prompt, and is left to the script."""

REMEMBERED_LONG = 4_096
"""Memories that are known to be longer, so that nothing is asked for in vain; forgotten all at once when full."""

_ROLES = {role.encode(): role for role in ROLES}

_new = tuple.__new__

_PLAIN = 6
"""Names and values of a message without further fields: r, c and n."""


class Told(NamedTuple):
    """What the script tells of a memory, and the entries that belong to it.

    Args:
        totals: summary, its tokens, messages and tokens in all, as the script begins every reply of a read.
        version: as in every reply of a read.
        entries: all of them, as Redis returns them.
    """

    totals: list[Reply]
    version: Reply
    entries: list[Any]


def is_whole(request: ReadRequest) -> bool:
    """Whether a read wants all messages, whatever they are."""
    return (
        request.tokens is None
        and request.count is None
        and request.since is None
        and request.before is None
        and not request.roles
    )


class WholeReads:
    """Asks for whole memories over one pipe.

    Args:
        pipe: where commands go.
    """

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._long: set[str] = set()

    def suits(self, memory: Memory) -> bool:
        """Whether a memory is worth the try."""
        return memory.keys.log not in self._long

    def read(
        self,
        memory: Memory,
        arguments: Sequence[Argument],
        done: Callable[[Told | Reply], None],
        otherwise: Callable[[], None],
    ) -> None:
        """Ask for a memory.

        Args:
            memory: which one.
            arguments: of the script, `APART` among them.
            done: is told what was found, or what the script answered in its place.
            otherwise: is called if it is to be read by the script alone.
        """
        keys = memory.keys
        before: list[Reply] = []
        self._pipe.call(("HMGET", keys.meta, "epoch", "fence"), before.append, resend=True)
        self._pipe.call(("XRANGE", keys.log, "-", "+", "COUNT", MOST_MESSAGES), before.append, resend=True)
        # The last one, which stays the last where Redis does not know the script and has to be asked again.
        self._pipe.call_script(
            "read",
            (keys.log, keys.meta, keys.keep),
            arguments,
            partial(self._answered, keys.log, before, done, otherwise),
            resend=True,
        )

    def _answered(
        self,
        log: str,
        before: list[Reply],
        done: Callable[[Told | Reply], None],
        otherwise: Callable[[], None],
        reply: Reply,
    ) -> None:
        if not isinstance(reply, list):
            done(reply)
            return
        *totals, version, state, length, newest = reply
        entries = before[-1] if before else None
        if isinstance(entries, list) and before == [state, entries] and _end(entries) == (length, newest):
            done(Told(totals, version, entries))
            return
        if isinstance(length, int) and length > MOST_MESSAGES:
            self._remember_long(log)
        otherwise()

    def _remember_long(self, log: str) -> None:
        if len(self._long) >= REMEMBERED_LONG:
            self._long.clear()
        self._long.add(log)


def _end(entries: list[Any]) -> tuple[int, bytes]:
    return len(entries), entries[-1][0] if entries else b""


def as_messages(entries: list[Any]) -> list[StoredMessage]:
    """Return entries of a log as messages. What is no UTF-8 was put there by hand, and must not break a read.

    Raises:
        ValueError: an entry has not the form in which appends write.
        LookupError: likewise.
    """
    try:
        return _read(entries)
    except UnicodeDecodeError:
        # A role and a count must be what an append writes, all the same.
        return _read([[id_, [*form[:2], *map(_mended, form[2:])]] for id_, form in entries])


def _read(entries: list[Any]) -> list[StoredMessage]:
    # There are hundreds of them in a usual read: compiled, with types and without a call of the class, it takes half.
    found: list[StoredMessage] = []
    for entry in entries:
        id_: bytes = entry[0]
        form: list[bytes] = entry[1]
        role = _ROLES.get(form[1])
        fields = form[7].decode() if len(form) > _PLAIN and form[6] == b"x" else None
        parts = (id_.decode(), form[1].decode() if role is None else role, form[3].decode(), int(form[5]), fields)
        found.append(_new(StoredMessage, parts))
    return found


def _mended(part: bytes) -> bytes:
    return part.decode(errors="replace").encode()
