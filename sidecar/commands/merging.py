"""Puts our commands among Redis's own in its answers to COMMAND, so that tools complete and explain them alike.

Redis answers the client's request on the client's connection, and what it answered is changed here: with the client's
own rights, in the shape of that server, and with its errors. Long replies are not parsed: their header is rewritten and
ours stand first. Where something is not as expected the reply stays as it is: tools without our commands are better
than a torn connection.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from sidecar.commands import describe
from sidecar.commands.command import Command
from sidecar.memory.glob import matches
from sidecar.resp.scan import end_of_reply

MAX_PATTERN_BYTES = 1_024
"""Longer patterns of COMMAND LIST find none of ours: matching takes time, and nobody writes them by hand."""

Commands = Mapping[bytes, Command]
"""By upper-case name."""

_COUNT = re.compile(rb":(0|[1-9]\d{0,8})\r\n")
_ARRAY = re.compile(rb"\*(0|[1-9]\d{0,8})\r\n")
_MAP = re.compile(rb"%(0|[1-9]\d{0,8})\r\n")
_ENTRY = re.compile(rb"\*([6-9]|[1-9]\d)\r\n")
_NIL = re.compile(rb"_\r\n|[$*]-1\r\n")
_UNKNOWN_COMMAND = b"-ERR Invalid command specified\r\n"


def merge(request: list[bytes], reply: bytes, commands: Commands, protocol: int) -> bytes:
    """Return what the client gets in place of `reply`.

    Args:
        request: the words of the client's request, COMMAND first.
        reply: what Redis sent for it, be it an error; pushes may stand before and after it.
        commands: our commands.
        protocol: 2 or 3, which the connection speaks.
    """
    merger = _MERGERS.get(request[1].upper() if len(request) > 1 else b"")
    if merger is None:
        return reply
    try:
        start = _start(reply)
        merged = merger(request[2:], reply[start:], commands, protocol)
    except ValueError:  # lengths that are no numbers
        return reply
    return reply if merged is None else reply[:start] + merged


def _start(reply: bytes) -> int:
    """Return where the reply itself begins: behind pushes and lines of MONITOR."""
    start = 0
    while reply[start : start + 1] in (b">", b"+"):
        end = end_of_reply(reply, start)
        if end is None:
            break
        start = end
    return start


def _count(words: list[bytes], reply: bytes, commands: Commands, protocol: int) -> bytes | None:
    return _with_more(_COUNT, b":%d\r\n", reply, len(commands), b"")


def _info(words: list[bytes], reply: bytes, commands: Commands, protocol: int) -> bytes | None:
    return _named_entries(words, reply, commands, protocol) if words else _entries(words, reply, commands, protocol)


def _entries(words: list[bytes], reply: bytes, commands: Commands, protocol: int) -> bytes | None:
    header = _ARRAY.match(reply)
    shape = _ENTRY.match(reply, header.end()) if header else None
    if shape is None:  # `COMMAND INFO` alone: before Redis 7 it means no command, and so none of ours
        return None
    ours = [describe.entry(command, protocol, int(shape[1])) for command in commands.values()]
    return _with_more(_ARRAY, b"*%d\r\n", reply, len(ours), b"".join(ours))


def _named_entries(names: list[bytes], reply: bytes, commands: Commands, protocol: int) -> bytes | None:
    """Replace the nils at the places of our names."""
    header = _ARRAY.match(reply)
    asked = [commands.get(name.upper()) for name in names]
    if header is None or int(header[1]) != len(names) or not any(asked):
        return None
    items, elements, position = [], describe.ENTRY_ELEMENTS, header.end()
    for _ in names:
        end = end_of_reply(reply, position)
        if end is None:
            return None
        items.append(reply[position:end])
        shape = _ENTRY.match(reply, position)
        elements = int(shape[1]) if shape else elements
        position = end
    for place, command in enumerate(asked):
        if command is not None and _NIL.fullmatch(items[place]):
            items[place] = describe.entry(command, protocol, elements)
    return header[0] + b"".join(items) + reply[position:]


def _docs(names: list[bytes], reply: bytes, commands: Commands, protocol: int) -> bytes | None:
    asked = [commands[name.upper()] for name in names if name.upper() in commands] if names else commands.values()
    ours = [describe.documentation(command, protocol) for command in asked]
    if protocol == 3:
        return _with_more(_MAP, b"%%%d\r\n", reply, len(ours), b"".join(ours))
    return _with_more(_ARRAY, b"*%d\r\n", reply, 2 * len(ours), b"".join(ours))


def _list(words: list[bytes], reply: bytes, commands: Commands, protocol: int) -> bytes | None:
    fits = _filter(words)
    ours = [describe.name(command) for command in commands.values() if fits(command)]
    return _with_more(_ARRAY, b"*%d\r\n", reply, len(ours), b"".join(ours))


def _filter(words: list[bytes]) -> Callable[[Command], bool]:
    """Return which of our commands the words after COMMAND LIST mean."""
    if not words:
        return lambda command: True
    kind, wanted = words[1].upper() if len(words) == 3 else b"", words[-1]
    if kind == b"ACLCAT":
        return lambda command: wanted.lower() in [name.encode() for name in describe.categories(command)]
    if kind == b"PATTERN" and len(wanted) <= MAX_PATTERN_BYTES:
        return lambda command: matches(wanted, command.name.encode())
    return lambda command: False  # of a module is none of ours


def _keys(words: list[bytes], reply: bytes, commands: Commands, protocol: int, *, flags: bool = False) -> bytes | None:
    command = commands.get(words[0].upper()) if words else None
    if command is None or not reply.startswith(_UNKNOWN_COMMAND):
        return None
    return describe.keys(command, words, protocol, with_flags=flags) + reply[len(_UNKNOWN_COMMAND) :]


def _keys_and_flags(words: list[bytes], reply: bytes, commands: Commands, protocol: int) -> bytes | None:
    return _keys(words, reply, commands, protocol, flags=True)


def _with_more(header: re.Pattern[bytes], form: bytes, reply: bytes, more: int, items: bytes) -> bytes | None:
    """Raise the number in the reply's header by `more`, and put `items` behind it; None if that is not its header."""
    found = header.match(reply)
    return None if found is None else form % (int(found[1]) + more) + items + reply[found.end() :]


_MERGERS: Mapping[bytes, Callable[[list[bytes], bytes, Commands, int], bytes | None]] = {
    b"": _entries,
    b"COUNT": _count,
    b"DOCS": _docs,
    b"GETKEYS": _keys,
    b"GETKEYSANDFLAGS": _keys_and_flags,
    b"INFO": _info,
    b"LIST": _list,
}
