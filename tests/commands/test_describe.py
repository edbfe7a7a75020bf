"""What rows say of themselves, held against what Redis says of commands like them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from sidecar import __version__
from sidecar.commands import describe
from sidecar.commands.command import Command
from sidecar.commands.syntax import Argument
from sidecar.commands.table import COMMANDS
from sidecar.dev.servers import RedisServer
from sidecar.resp.scan import end_of_reply
from tests.commands.asking_redis import RawRedis, parsed
from tests.commands.test_table import SMALLEST

ROWS = pytest.mark.parametrize("row", COMMANDS.values(), ids=lambda row: row.name)


@pytest.fixture(params=[2, 3], scope="module")
def redis(request: pytest.FixtureRequest, redis_server: RedisServer) -> Iterator[RawRedis]:
    """A bare connection, of each protocol."""
    connection = RawRedis(redis_server.port, request.param)
    yield connection
    connection.close()


def parts(aggregate: bytes) -> list[bytes]:
    """Return the items of an array, a set or a map, as bytes."""
    position = aggregate.index(b"\n") + 1
    items = []
    while position < len(aggregate):
        end = end_of_reply(aggregate, position)
        assert end is not None
        items.append(aggregate[position:end])
        position = end
    return items


def kinds(item: bytes) -> Any:
    """Return the forms that an item is made of: names of fields stay, numbers of things do not."""
    if item[:1] == b"%":
        inside = parts(item)
        return "%", [(name, kinds(value)) for name, value in zip(inside[::2], inside[1::2], strict=True)]
    if item[:1] in b"*~":
        return item[:1], sorted({repr(kinds(each)) for each in parts(item)})
    return item[:1]


def same_forms(ours: bytes, of_redis: list[bytes]) -> bool:
    """Return whether one of the items that Redis sent is of the same forms."""
    return any(kinds(ours) == kinds(item) for item in of_redis)


@ROWS
def test_entries_have_the_forms_of_redis(redis: RawRedis, row: Command) -> None:
    """Element by element, our entry is of the same RESP types as that of some command of Redis."""
    theirs = [parts(each) for each in parts(redis.ask("COMMAND"))]
    entry = parts(describe.entry(row, redis.protocol, len(theirs[0])))
    assert len(entry) == len(theirs[0])
    for place, item in enumerate(entry):
        assert same_forms(item, [each[place] for each in theirs]), item


@pytest.mark.parametrize(("ours", "theirs"), [(b"MEMAPPEND", "lpush"), (b"MEMINFO", "xlen")])
def test_keys_are_told_as_redis_does(redis: RawRedis, ours: bytes, theirs: str) -> None:
    """Key positions and specifications are, byte for byte, those of a command of Redis that treats its key alike."""
    expected = parts(parts(redis.ask("COMMAND", "INFO", theirs))[0])
    entry = parts(describe.entry(COMMANDS[ours], redis.protocol, len(expected)))
    assert entry[3:6] == expected[3:6]
    assert entry[8:9] == expected[8:9]


def test_entry() -> None:
    """A client reads name, arity, flags, key positions, categories, tips and key specifications."""
    key = {
        "notes": "UPDATE because it extends the TTL, unless PEEK is given",
        "flags": ["RW", "access", "update"],
        "begin_search": {"type": "index", "spec": {"index": 1}},
        "find_keys": {"type": "range", "spec": {"lastkey": 0, "keystep": 1, "limit": 0}},
    }
    entry: list[Any] = ["memread", -2, ["write", "noscript", "blocking", "no_multi"]]
    entry += [1, 1, 1, ["@write", "@blocking", "@slow"], [], [key], []]
    assert parsed(describe.entry(COMMANDS[b"MEMREAD"], 3)) == entry
    assert parsed(describe.entry(COMMANDS[b"MEMREAD"], 2, 7)) == entry[:7]
    health = ["memhealth", 1, ["noscript", "no_multi"], 0, 0, 0, ["@slow"], ["nondeterministic_output"], [], []]
    assert parsed(describe.entry(COMMANDS[b"MEMHEALTH"], 2)) == health


def test_documentation() -> None:
    """A client reads summary, version, group, cost and the arguments with all that is known of them."""
    name, documents = (parsed(each) for each in parts(b"*2\r\n" + describe.documentation(COMMANDS[b"MEMREAD"], 3)))
    assert name == "memread"
    assert {field: documents[field] for field in ("since", "group")} == {"since": "0.1.0", "group": "memory"}
    assert documents["summary"] == COMMANDS[b"MEMREAD"].summary
    assert documents["complexity"] == COMMANDS[b"MEMREAD"].complexity
    arguments = documents["arguments"]
    assert arguments[0] == {"name": "key", "type": "key", "display_text": "key", "key_spec_index": 0}
    reserve = {"name": "m", "type": "integer", "display_text": "m", "token": "RESERVE", "flags": ["optional"]}
    tokens = {"name": "n", "type": "integer", "display_text": "n", "token": "TOKENS"}
    since = {"name": "id", "type": "string", "display_text": "id", "token": "SINCE"}
    assert arguments[1]["token"] == "TRACEPARENT"
    assert arguments[5] == since | {"summary": COMMANDS[b"MEMREAD"].arguments[5].summary, "flags": ["optional"]}
    assert "from now on" in arguments[5]["summary"]
    assert {name: arguments[3][name] for name in ("name", "type", "flags")} == {
        "name": "budget",
        "type": "block",
        "flags": ["optional"],
    }
    budget = [{name: value for name, value in each.items() if name != "summary"} for each in arguments[3]["arguments"]]
    assert budget[:2] == [tokens, reserve]
    assert [each["name"] for each in arguments[4:]] == [
        "n", "id", "id", "role", "nosummary", "format", "ms", "peek"
    ]  # fmt: skip
    assert "arguments" not in parsed(parts(b"*2\r\n" + describe.documentation(COMMANDS[b"MEMHEALTH"], 3))[1])


def test_documentation_on_resp2() -> None:
    """On RESP2 the same is flat arrays of names and values."""
    documents = parsed(parts(b"*2\r\n" + describe.documentation(COMMANDS[b"MEMCOUNT"], 2))[1])
    fields = dict(zip(documents[::2], documents[1::2], strict=True))
    assert fields["since"] == "0.1.0"
    assert fields["arguments"][1] == ["name", "text", "type", "string", "display_text", "text", "flags", ["multiple"]]


@ROWS
def test_documentation_has_the_forms_of_redis(redis: RawRedis, row: Command) -> None:
    """Where Redis documents commands, each field of ours, and of each argument, is of a type that it has there too."""
    reply = redis.ask("COMMAND", "DOCS", "set", "xadd", "lpush", "migrate", "bitfield", "mset")
    if reply.startswith(b"-"):
        assert b"DOCS" in reply  # before Redis 7 there are no documents, and this error is all that clients get
        return
    theirs = [field for document in parts(reply)[1::2] for field in _fields(document)]
    for path, kind in _fields(describe.documentation(row, redis.protocol).removeprefix(describe.name(row))):
        assert path.endswith("display_text") or (path, kind) in theirs


def _fields(document: bytes) -> Iterator[tuple[str, bytes]]:
    """Walk the fields of a document: where each stands, and its type with that of its first item."""
    inside = parts(document)
    for name, value in zip(map(parsed, inside[::2]), inside[1::2], strict=True):
        items = parts(value) if value[:1] in b"*~%" and name != "history" else []
        yield name, value[:1] + b"".join(item[:1] for item in items[:1])
        if name == "arguments":
            for argument in items:
                yield from ((f"arguments.{path.removeprefix('arguments.')}", kind) for path, kind in _fields(argument))


def test_keys() -> None:
    """The key of a call is told, with what the command does with it where that is asked for too."""
    read = COMMANDS[b"MEMREAD"]
    assert describe.keys(read, [b"memread", b"chat:1"], 2, with_flags=False) == b"*1\r\n$6\r\nchat:1\r\n"
    flags = b"3\r\n+RW\r\n+access\r\n+update\r\n"
    for protocol, kind in ((2, b"*"), (3, b"~")):
        told = describe.keys(read, [b"memread", b"k", b"PEEK"], protocol, with_flags=True)
        assert told == b"*1\r\n*2\r\n$1\r\nk\r\n" + kind + flags


def test_calls_without_keys(redis: RawRedis) -> None:
    """A command without keys, and a call with too few words, get Redis's own errors."""
    told = describe.keys(COMMANDS[b"MEMCOUNT"], [b"memcount", b"text"], 2, with_flags=False)
    assert told == redis.ask("COMMAND", "GETKEYS", "echo", "text")
    told = describe.keys(COMMANDS[b"MEMAPPEND"], [b"memappend", b"k"], 2, with_flags=True)
    assert told == redis.ask("COMMAND", "GETKEYS", "set", "k")


@ROWS
def test_rows_agree_with_themselves(row: Command) -> None:
    """Flags exist and do not contradict one another, the arity follows from the arguments, versions are no promises."""
    assert set(row.flags) <= set(describe.FLAGS)
    assert not {"write", "readonly"} <= set(row.flags)
    assert not row.keys or {"write", "readonly"} & set(row.flags)
    assert row.keys or "write" not in row.flags
    open_ended = any(each.optional or each.multiple or each.arguments for each in row.arguments)
    assert row.arity == (-1 if open_ended else 1) * (1 + sum(map(_fewest, row.arguments)))
    assert row.takes(len(SMALLEST[row.name]) + 1)
    assert _version(row.since) <= _version(__version__)
    assert row.complexity.startswith("O(")


@ROWS
def test_keys_stand_where_they_are_told_to_be(row: Command) -> None:
    """In front of a key stand only words that are always there; what the key is used for is said in Redis's words."""
    for position, key in row.keys.items():
        assert not any(each.optional or each.multiple or each.token for each in row.arguments[: position - 1])
        assert key.access[0] in ("RW", "RO", "OW", "RM")
        assert set(key.access[1:]) <= {"access", "update", "insert", "delete"}
        assert not key.optional
    assert not any(each.type == "key" for group in row.arguments for each in _inside(group))


def _fewest(argument: Argument) -> int:
    if argument.optional:
        return 0
    inside = [_fewest(each) for each in argument.arguments]
    words = (min(inside) if argument.type == "oneof" else sum(inside)) if inside else argument.type != "pure-token"
    return words + (argument.token is not None)


def _inside(argument: Argument) -> Iterator[Argument]:
    for each in argument.arguments:
        yield each
        yield from _inside(each)


def _version(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text)]
