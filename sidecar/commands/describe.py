"""What a row of the command table says of itself, as the replies of Redis's COMMAND would.

The forms are those of https://redis.io/docs/latest/commands/command/ and …/command-docs/, in the order of fields of
Redis 7. Its counterpart is `merging`, which puts them among Redis's own. Nothing here knows what Redis answered.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import count

from sidecar.commands.command import Command
from sidecar.commands.syntax import Argument
from sidecar.resp.replies import bulk, encode

ENTRY_ELEMENTS = 10
"""Elements of an entry of COMMAND INFO since Redis 7. Older ones have the first 7 (since 6.0) or 6 of them."""

GROUP = "memory"
"""Ours, as redis-cli's `HELP @memory` takes it. Redis has none of this name."""

FLAGS = ("write", "readonly", "denyoom", "noscript", "blocking", "fast", "no_multi")
"""Flags that rows may have, in the order in which Redis tells them."""

_COMMON_FLAGS = frozenset({"noscript", "no_multi"})  # Redis itself, and so its scripts and EXEC, know none of ours
_CATEGORY_OF_FLAG = {"readonly": "read", "write": "write", "fast": "fast", "blocking": "blocking"}


def name(command: Command) -> bytes:
    """Return the command's name as Redis tells names: one bulk string in lower case."""
    return bulk(command.name.lower().encode())


def flags(command: Command) -> list[str]:
    """Return the command's flags, with those that all of ours have."""
    return [flag for flag in FLAGS if flag in command.flags or flag in _COMMON_FLAGS]


def categories(command: Command) -> list[str]:
    """Return the ACL categories that follow from the flags, as for Redis's own commands, without their `@`."""
    following = [_CATEGORY_OF_FLAG[flag] for flag in FLAGS if flag in command.flags and flag in _CATEGORY_OF_FLAG]
    return following if "fast" in following else [*following, "slow"]


def entry(command: Command, protocol: int, elements: int = ENTRY_ELEMENTS) -> bytes:
    """Return the command's entry of COMMAND INFO.

    Args:
        command: the row.
        protocol: 2 or 3.
        elements: how many elements entries have on this server, counted from the first.
    """
    positions = list(command.keys)
    parts = [
        name(command),
        encode(command.arity, protocol),
        _statuses(flags(command), protocol),
        encode(positions[0] if positions else 0, protocol),
        encode(positions[-1] if positions else 0, protocol),
        encode(1 if positions else 0, protocol),
        _statuses([f"@{category}" for category in categories(command)], protocol),
        _set([_text(tip) for tip in command.tips], protocol),
        _set([_key_specification(at, key, protocol) for at, key in command.keys.items()], protocol),
        _set([], protocol),  # subcommands
    ]
    return _array(parts[:elements])


def documentation(command: Command, protocol: int) -> bytes:
    """Return the command's pair of COMMAND DOCS: its name and what is known of it. `protocol` is 2 or 3."""
    fields = {
        "summary": _text(command.summary),
        "since": _text(command.since),
        "group": _text(GROUP),
        "complexity": _text(command.complexity),
    }
    if command.arguments:
        fields["arguments"] = _arguments(command.arguments, protocol)
    return name(command) + _map(fields, protocol)


def keys(command: Command, words: list[bytes], protocol: int, *, with_flags: bool) -> bytes:
    """Return the answer to COMMAND GETKEYS, or GETKEYSANDFLAGS, about a call of the command.

    Args:
        command: the row.
        words: the call, its name first.
        protocol: 2 or 3.
        with_flags: whether each key comes with what the command does with it.
    """
    if not command.keys:
        return b"-ERR The command has no key arguments\r\n"
    if not command.takes(len(words)):
        return b"-ERR Invalid number of arguments specified for command\r\n"
    if not with_flags:
        return _array(bulk(words[at]) for at in command.keys)
    return _array(_array([bulk(words[at]), _statuses(key.access, protocol)]) for at, key in command.keys.items())


def _key_specification(position: int, key: Argument, protocol: int) -> bytes:
    """Describe where the key is: one word, at a fixed position."""

    def search(kind: str, **spec: int) -> bytes:
        return _map({"type": _text(kind), "spec": encode(spec, protocol)}, protocol)

    fields = {"notes": _text(key.notes)} if key.notes else {}
    fields["flags"] = _statuses(key.access, protocol)
    fields["begin_search"] = search("index", index=position)
    fields["find_keys"] = search("range", lastkey=0, keystep=1, limit=0)
    return _map(fields, protocol)


def _arguments(arguments: Iterable[Argument], protocol: int) -> bytes:
    specification = count()  # keys stand on the first level only, so this numbers the command's
    return _array(_argument(each, protocol, specification) for each in arguments)


def _argument(argument: Argument, protocol: int, specification: Iterator[int]) -> bytes:
    fields = {"name": _text(argument.name), "type": _text(argument.type)}
    if not argument.arguments:
        fields["display_text"] = _text(argument.name)  # Redis has it since 7.2; older tools take the name
    if argument.type == "key":
        fields["key_spec_index"] = encode(next(specification), protocol)
    if argument.token is not None:
        fields["token"] = _text(argument.token)
    if argument.summary:
        fields["summary"] = _text(argument.summary)
    marks = [mark for mark in ("optional", "multiple") if getattr(argument, mark)]
    if marks:
        fields["flags"] = _statuses(marks, protocol)
    if argument.arguments:
        fields["arguments"] = _arguments(argument.arguments, protocol)
    return _map(fields, protocol)


def _text(value: str) -> bytes:
    return bulk(value.encode())


def _array(items: Iterable[bytes]) -> bytes:
    parts = list(items)
    return b"*%d\r\n%b" % (len(parts), b"".join(parts))


def _set(items: list[bytes], protocol: int) -> bytes:
    return (b"~" if protocol == 3 else b"*") + _array(items)[1:]


def _statuses(values: Iterable[str], protocol: int) -> bytes:
    """Flags and the like, which Redis sends as a set of simple strings."""
    return _set([b"+%b\r\n" % value.encode() for value in values], protocol)


def _map(fields: Mapping[str, bytes], protocol: int) -> bytes:
    header = b"%%%d\r\n" % len(fields) if protocol == 3 else b"*%d\r\n" % (2 * len(fields))
    return header + b"".join(_text(field) + value for field, value in fields.items())
