"""Our commands among Redis's own: every answer to COMMAND of a real Redis, and those of Redis 7 as transcripts."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.commands import describe
from sidecar.commands.merging import MAX_PATTERN_BYTES, merge
from sidecar.commands.table import COMMANDS
from sidecar.dev.servers import RedisServer
from tests.commands.asking_redis import MergingRelay, RawRedis, parsed
from tests.support.requirements import require_program

NAMES = [row.name.lower() for row in COMMANDS.values()]
PUSH = b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n"


@pytest.fixture(params=[2, 3], scope="module")
def connection(request: pytest.FixtureRequest, redis_server: RedisServer) -> Iterator[RawRedis]:
    """A bare connection to a real Redis, of each protocol."""
    connection = RawRedis(redis_server.port, request.param)
    yield connection
    connection.close()


def entries(connection: RawRedis, names: list[str]) -> list[Any]:
    """Return the entries of our commands, as long as those of this server."""
    elements = len(parsed(connection.ask("COMMAND", "INFO", "get"))[0])
    return [parsed(describe.entry(COMMANDS[name.upper().encode()], connection.protocol, elements)) for name in names]


def merged(words: str, reply: bytes, protocol: int = 2) -> bytes:
    """Return what the client of a transcript gets."""
    return merge(words.encode().split(), reply, COMMANDS, protocol)


def test_all_commands(connection: RawRedis) -> None:
    """COMMAND lists ours, with entries as long as the others, and all of Redis's as they are."""
    reply, with_ours = connection.ask_merged("COMMAND")
    assert parsed(with_ours) == entries(connection, NAMES) + parsed(reply)


def test_info_without_names(connection: RawRedis) -> None:
    """COMMAND INFO without names is all commands where it is so in Redis, and none where Redis takes it so."""
    reply, with_ours = connection.ask_merged("command", "info")
    theirs = parsed(reply)
    assert parsed(with_ours) == (entries(connection, NAMES) + theirs if theirs else [])


def test_info_of_names_of_both_kinds(connection: RawRedis) -> None:
    """Ours stand where they were asked for, in any case and as often; Redis's and what neither knows are as before."""
    asked = ["get", "MEMREAD", "nosuch", "config", "memread", "memread|x", "MemInfo", "Get"]
    reply, with_ours = connection.ask_merged("COMMAND", "Info", *asked)
    expected = parsed(reply)
    read, info = entries(connection, ["memread", "meminfo"])
    expected[1] = expected[4] = read
    expected[6] = info
    assert expected[2] is None
    assert expected[5] is None
    assert parsed(with_ours) == expected


def test_info_of_names_that_are_all_ours(connection: RawRedis) -> None:
    """Where no entry of Redis tells the shape, ours is that of Redis 7, of which older ones are the beginning."""
    _, with_ours = connection.ask_merged("COMMAND", "INFO", "memflush", "nosuch")
    assert parsed(with_ours) == [parsed(describe.entry(COMMANDS[b"MEMFLUSH"], connection.protocol)), None]
    assert len(parsed(with_ours)[0]) == describe.ENTRY_ELEMENTS


def test_count(connection: RawRedis) -> None:
    """COMMAND COUNT counts ours too."""
    reply, with_ours = connection.ask_merged("COMMAND", "COUNT")
    assert parsed(with_ours) == parsed(reply) + len(COMMANDS)


def pairs(reply: bytes) -> dict[str, Any]:
    """Return a map, which is a flat array on RESP2."""
    value = parsed(reply)
    return value if isinstance(value, dict) else dict(zip(value[::2], value[1::2], strict=True))


@pytest.mark.parametrize("names", [(), ("get", "MEMREAD", "nosuch", "memcount"), ("memread",), ("nosuch",), ("get",)])
def test_docs(connection: RawRedis, names: tuple[str, ...]) -> None:
    """COMMAND DOCS documents ours with the others, all of them or those asked for; without DOCS the error stays."""
    reply, with_ours = connection.ask_merged("COMMAND", "DOCS", *names)
    if reply.startswith(b"-"):
        assert with_ours == reply
        return
    asked = [name for name in NAMES if not names or name in [each.lower() for each in names]]
    head = b"%%%d\r\n" if connection.protocol == 3 else b"*%d\r\n"
    ours = b"".join(describe.documentation(COMMANDS[name.upper().encode()], connection.protocol) for name in asked)
    documents = pairs(head % (len(asked) * (1 if connection.protocol == 3 else 2)) + ours)
    assert pairs(with_ours) == {**documents, **pairs(reply)}


FILTERS: list[tuple[tuple[str, ...], list[str]]] = [
    ((), NAMES),
    (("FILTERBY", "PATTERN", "mem*"), NAMES),
    (("filterby", "pattern", "MEMC*"), ["memclear", "memcount", "memcontext"]),
    (("FILTERBY", "PATTERN", "x*"), []),
    (("FILTERBY", "ACLCAT", "READ"), ["meminfo", "memlist"]),
    (("FILTERBY", "ACLCAT", "blocking"), ["memread", "memflush", "memlock"]),
    (("FILTERBY", "ACLCAT", "@read"), []),
    (("FILTERBY", "ACLCAT", "nosuch"), []),
    (("FILTERBY", "MODULE", "memory"), []),
    (("FILTERBY", "PATTERN", "*" * (MAX_PATTERN_BYTES + 1)), []),
    (("FILTERBY", "PATTERN"), []),
    (("nosuch",), []),
]


@pytest.mark.parametrize(("words", "ours"), FILTERS)
def test_list(connection: RawRedis, words: tuple[str, ...], ours: list[str]) -> None:
    """COMMAND LIST names ours that pass the filter; errors, of servers without LIST too, stay."""
    reply, with_ours = connection.ask_merged("COMMAND", "LIST", *words)
    if reply.startswith(b"-"):
        assert with_ours == reply
    else:
        assert parsed(with_ours) == ours + parsed(reply)
    assert parsed(merged(" ".join(("COMMAND LIST", *words)), b"*1\r\n$3\r\nget\r\n")) == [*ours, "get"]


KEYS: list[tuple[tuple[str, ...], Any]] = [
    (("memappend", "chat:1", "user", "hi"), ["chat:1"]),
    (("MEMREAD", "k", "PEEK"), ["k"]),
    (("memcount", "a", "b"), "ERR The command has no key arguments"),
    (("memappend", "k", "user"), "ERR Invalid number of arguments specified for command"),
    (("memunlock", "k"), "ERR Invalid number of arguments specified for command"),
]


@pytest.mark.parametrize(("call", "expected"), KEYS)
def test_getkeys(connection: RawRedis, call: tuple[str, ...], expected: Any) -> None:
    """COMMAND GETKEYS finds the keys of ours, or says in Redis's words why there are none."""
    _, with_ours = connection.ask_merged("COMMAND", "GETKEYS", *call)
    told = parsed(with_ours)
    assert (str(told) if isinstance(told, Exception) else told) == expected


@pytest.mark.parametrize("call", [("get", "k"), ("ping", "x"), ("set", "k"), ("memx", "k"), ("get",), ()])
def test_getkeys_of_redis(connection: RawRedis, call: tuple[str, ...]) -> None:
    """What Redis says of its own commands, and of those that nobody knows, stays."""
    for subcommand in ("GETKEYS", "GETKEYSANDFLAGS"):
        reply, with_ours = connection.ask_merged("COMMAND", subcommand, *call)
        assert with_ours == reply


def test_getkeysandflags(connection: RawRedis) -> None:
    """COMMAND GETKEYSANDFLAGS tells the keys of ours and what is done with them; without it the error stays."""
    reply, with_ours = connection.ask_merged("COMMAND", "GETKEYSANDFLAGS", "memappend", "k", "user", "hi")
    assert reply.startswith(b"-")
    known = reply == b"-ERR Invalid command specified\r\n"
    assert parsed(with_ours) == [["k", ["RW", "insert"]]] if known else with_ours == reply


@pytest.mark.parametrize("words", [("HELP",), ("nosuch",), ("COUNT", "x"), ("INFO|x",), ("",)])
def test_what_is_not_about_commands_stays(connection: RawRedis, words: tuple[str, ...]) -> None:
    """Help, and errors about COMMAND itself, are Redis's."""
    reply, with_ours = connection.ask_merged("COMMAND", *words)
    assert with_ours == reply


@settings(max_examples=200, deadline=None)
@given(names=st.lists(st.sampled_from([*NAMES, "get", "xadd", "config", "MEMREAD", "Memcount", "nosuch", "me|m", ""])))
def test_one_entry_per_name(connection: RawRedis, names: list[str]) -> None:
    """Of any names COMMAND INFO has one element each, in order: an entry of that name, or nil if nobody knows it."""
    if not names:
        return  # all commands, see above
    _, with_ours = connection.ask_merged("COMMAND", "INFO", *names)
    known = {*NAMES, "get", "xadd", "config"}
    told = [entry and entry[0] for entry in parsed(with_ours)]
    assert told == [name.lower() if name.lower() in known else None for name in names]


# Replies of Redis 7.0.15 to what older servers do not know.
TRANSCRIPTS: list[tuple[str, int, bytes, Any]] = [
    (
        "COMMAND GETKEYSANDFLAGS memread k",
        2,
        b"-ERR Invalid command specified\r\n",
        [["k", ["RW", "access", "update"]]],
    ),
    ("COMMAND GETKEYSANDFLAGS meminfo k", 3, b"-ERR Invalid command specified\r\n", [["k", ["RO"]]]),
    ("COMMAND LIST FILTERBY ACLCAT blocking", 2, b"*1\r\n$5\r\nblpop\r\n", ["memread", "memflush", "memlock", "blpop"]),
    ("COMMAND LIST FILTERBY PATTERN mema*", 3, b"*0\r\n", ["memappend"]),
]


@pytest.mark.parametrize(("words", "protocol", "reply", "expected"), TRANSCRIPTS)
def test_transcripts_of_redis_7(words: str, protocol: int, reply: bytes, expected: Any) -> None:
    """What Redis answers since 7.0 is completed on either protocol."""
    assert parsed(merged(words, reply, protocol)) == expected


@pytest.mark.parametrize(("protocol", "header", "more"), [(2, b"*%d\r\n", 2), (3, b"%%%d\r\n", 1)])
def test_documents_as_of_redis_7(protocol: int, header: bytes, more: int) -> None:
    """Documents of ours stand in front of Redis's, which are not touched; as often as they were asked for."""
    theirs = b"$4\r\nxlen\r\n" + header % more + b"$5\r\nsince\r\n$5\r\n5.0.0\r\n"
    read = describe.documentation(COMMANDS[b"MEMREAD"], protocol)
    reply = header % more + theirs
    assert merged("COMMAND DOCS xlen memread nosuch", reply, protocol) == header % (2 * more) + read + theirs
    assert merged("COMMAND DOCS memread xlen MEMREAD", reply, protocol) == header % (3 * more) + read + read + theirs
    assert merged("COMMAND DOCS xlen", reply, protocol) == reply
    assert merged("COMMAND DOCS memread", header % 0, protocol) == header % more + read


def test_pushes_around_a_reply() -> None:
    """Pushes and lines of MONITOR around the reply stay whole, and where they are."""
    line = b'+1700000000.1 [0 127.0.0.1:5] "COMMAND" "COUNT"\r\n'
    count = b":%d\r\n" % (240 + len(COMMANDS))
    assert merged("COMMAND COUNT", PUSH + b":240\r\n" + PUSH, 3) == PUSH + count + PUSH
    assert merged("COMMAND COUNT", line + b":240\r\n") == line + count
    names = merged("COMMAND INFO get memread", PUSH + b"*2\r\n_\r\n_\r\n" + PUSH, 3)
    read = describe.entry(COMMANDS[b"MEMREAD"], 3)
    assert names == PUSH + b"*2\r\n_\r\n" + read + PUSH
    keys = merged("COMMAND GETKEYS memread k", b"-ERR Invalid command specified\r\n" + PUSH, 3)
    assert keys == b"*1\r\n$1\r\nk\r\n" + PUSH


@pytest.mark.parametrize("elements", [6, 7, 10, 12])
def test_the_shape_of_the_server(elements: int) -> None:
    """Entries of ours have as many elements as the server's, as far as we know what they mean."""
    theirs = b"*%d\r\n" % elements + b"$3\r\nget\r\n" + b":0\r\n" * (elements - 1)
    wanted = min(elements, describe.ENTRY_ELEMENTS)
    everything = parsed(merged("COMMAND", b"*1\r\n" + theirs))
    assert {len(entry) for entry in everything[:-1]} == {wanted}
    assert len(everything[-1]) == elements
    assert len(parsed(merged("COMMAND INFO memread get", b"*2\r\n$-1\r\n" + theirs))[0]) == wanted


UNEXPECTED: list[tuple[str, bytes]] = [
    *[
        (words, reply)
        for words in (
            "COMMAND",
            "COMMAND INFO memread get",
            "COMMAND DOCS",
            "COMMAND LIST",
            "COMMAND GETKEYS memread k",
        )
        for reply in (
            b"",
            b"+QUEUED\r\n",
            b"-NOPERM this user has no permissions to run the 'command' command\r\n",
            b"*-1\r\n",
            b"*x\r\n",
            b"*01\r\n",
            b"%1\r\n+a\r\n+b\r\n",
            b"~1\r\n+a\r\n",
            b"$3\r\nabc\r\n",
            b"_\r\n",
            b">2\r\n+a",
            b">x\r\n*2\r\n_\r\n_\r\n",
        )
    ],
    ("COMMAND", b"*0\r\n"),
    ("COMMAND", b"*1\r\n:1\r\n"),
    ("COMMAND", b"*1\r\n*5\r\n"),
    ("COMMAND INFO memread get", b"*2\r\n_\r\n"),
    ("COMMAND INFO memread get", b"*2\r\n_\r\n$x\r\n"),
    ("COMMAND INFO memread get", b"*3\r\n_\r\n_\r\n_\r\n"),
    ("COMMAND INFO memread get", b"*2\r\n:1\r\n_\r\n"),
    ("COMMAND GETKEYS memread k", b"-ERR Invalid command specified, perhaps\r\n"),
    ("COMMAND GETKEYS memread k", b"*1\r\n$1\r\nz\r\n"),
    ("COMMAND COUNT", b":12345678901234567890\r\n"),
    ("COMMAND COUNT", b":-1\r\n"),
]


@pytest.mark.parametrize(("words", "reply"), UNEXPECTED)
def test_the_unexpected_stays(words: str, reply: bytes) -> None:
    """A reply of another form than Redis's is passed on as it is."""
    assert merged(words, reply) == reply


@settings(max_examples=500, deadline=None)
@given(
    words=st.sampled_from(["", "COUNT", "INFO", "INFO memread get", "DOCS", "LIST", "GETKEYS memread k"]),
    reply=st.binary(max_size=40) | st.text("*%$:->+~_\r\n0123456789memread", max_size=40).map(str.encode),
    protocol=st.sampled_from([2, 3]),
)
def test_nothing_is_raised_and_nothing_is_lost(words: str, reply: bytes, protocol: int) -> None:
    """Whatever Redis should answer, the client gets an answer, which is never less than that of Redis, unless it is the
    keys of a command that Redis does not know.
    """
    answer = merged(f"COMMAND {words}", reply, protocol)
    assert len(answer) >= len(reply) or (words.startswith("GETKEYS") and reply[:1] == b"-" and answer[:1] == b"*")


@pytest.mark.parametrize("words", ["COMMAND", "COMMAND INFO memread get", "COMMAND DOCS", "COMMAND LIST"])
def test_replies_that_are_cut(connection: RawRedis, words: str) -> None:
    """A reply that ends early, because Redis went away, ends early still: what was there is not invented."""
    reply = connection.ask(*words.split())
    for cut in range(0, len(reply), max(1, len(reply) // 200)):
        answer = merged(words, reply[:cut], connection.protocol)
        assert answer.endswith(reply[:cut][-10:])


@pytest.fixture
def relay(redis_server: RedisServer) -> Iterator[MergingRelay]:
    """A port that answers as Redis, with our commands among Redis's."""
    relay = MergingRelay(redis_server.port)
    yield relay
    relay.close()


@pytest.mark.parametrize("protocol", [2, 3])
def test_a_python_client_understands_it(relay: MergingRelay, protocol: int) -> None:
    """redis-py reads ours as it reads Redis's own."""
    with redis.Redis(port=relay.port, protocol=protocol, decode_responses=True) as client:
        described = client.command()
        read, get = described["memread"], described["get"]
        assert read.keys() == get.keys()
        assert {name: type(value) for name, value in read.items()} == {k: type(v) for k, v in get.items()}
        assert (read["arity"], read["first_key_pos"], read["last_key_pos"], read["step_count"]) == (-2, 1, 1, 1)
        assert set(read["flags"]) == {"write", "noscript", "blocking", "no_multi"}
        assert set(described) >= set(NAMES)
        assert client.command_count() == len(described)
        assert client.command_getkeys("MEMREAD", "chat:1") == ["chat:1"]
        assert client.command_getkeys("GET", "k") == ["k"]
        with pytest.raises(redis.ResponseError, match="The command has no key arguments"):
            client.command_getkeys("MEMCOUNT", "text")


@pytest.mark.parametrize("protocol", [2, 3])
def test_a_python_client_lists_it(relay: MergingRelay, protocol: int) -> None:
    """redis-py lists ours, and finds what is done with their keys, where Redis can; elsewhere it gets Redis's error."""
    with redis.Redis(port=relay.port, protocol=protocol, decode_responses=True) as client:
        if int(client.info("server")["redis_version"].split(".")[0]) < 7:
            with pytest.raises(redis.ResponseError, match="LIST"):
                client.command_list()
            return
        assert set(client.command_list()) >= {*NAMES, "get"}
        assert client.command_list(pattern="memr*") == ["memread"]
        assert "memflush" in client.command_list(category="blocking")
        assert client.command_list(module="none") == []
        assert client.command_getkeysandflags("MEMINFO", "k") == [["k", ["RO"]]]


def test_redis_cli_has_help(relay: MergingRelay) -> None:
    """redis-cli knows ours: it shows help for them, from the documents where it and the server can, else the arity."""
    program = require_program("redis-cli")
    command = [str(program), "-p", str(relay.port)]
    shown = subprocess.run(command, input="help memread\n", capture_output=True, text=True, timeout=10).stdout
    assert "MEMREAD" in shown
    assert "key ...options..." in shown or COMMANDS[b"MEMREAD"].summary in shown
