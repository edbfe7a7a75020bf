"""Makes request streams: valid ones of every kind, and mutated ones (`mutations`), from a source of randomness.

The counterpart is `differential`, which throws them. Values are full of *canaries*: commands that set a key if anybody
ever executes them. Nothing here knows what a right answer is: Redis does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random

from tests.hostile.mutations import mutate

CANARY = b"canary"
"""Key of the canaries; no command outside a value names it."""

MAX_COMMANDS = 8
"""Commands of one stream: enough for every pair and triple of states, few enough to be read when one is reported."""

MAX_CUTS = 5
"""Chunks of one stream, less one; each costs a round trip."""

LINE_LIMIT = 64 * 1024
"""Redis's limit for a line, around which streams place their sizes."""

_KEYS = (b"k1", b"k2", b"list", b"hash")
_MEMORIES = (b"m1", b"m2", b"default:m3", b"bad key")


@dataclass(frozen=True, slots=True)
class Stream:
    """One client's bytes.

    Args:
        data: all of them.
        cuts: where they are cut into chunks, ascending.
        mutated: whether they are no longer what the grammar made.
    """

    data: bytes
    cuts: tuple[int, ...]
    mutated: bool

    def chunks(self) -> list[bytes]:
        """Return the bytes in pieces."""
        edges = [0, *self.cuts, len(self.data)]
        return [self.data[start:end] for start, end in pairwise(edges) if start < end]


def resp(words: Sequence[bytes]) -> bytes:
    """Return a request as clients write it."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def make_stream(random: Random, *, ours: bool, mutated: bool) -> Stream:
    """Make one stream.

    Args:
        random: where all choices come from.
        ours: whether MEM commands are among the commands.
        mutated: whether the bytes are damaged afterwards.
    """
    parts = [_command(random, ours=ours) for _ in range(random.randint(1, MAX_COMMANDS))]
    if not mutated and random.random() < 0.1:
        # Only at the end: what waits for its reply is given up some seconds after the client has left, not at once.
        parts.append(_written(random, [b"BLPOP", b"never", b"0"]))
    data = mutate(random, parts) if mutated else b"".join(parts)
    cuts = sorted({random.randint(0, len(data)) for _ in range(random.randint(0, MAX_CUTS))})
    return Stream(data, tuple(cuts), mutated)


def _command(random: Random, *, ours: bool) -> bytes:
    if ours and random.random() < 0.5:
        return _written(random, _memory_command(random))
    kind = random.random()
    if kind < 0.12:
        return random.choice(_ODD_BUT_VALID)
    if kind < 0.4:
        return _written(random, random.choice(_STATE_CHANGES))
    return _written(random, random.choice(_PLAIN)(random))


def _written(random: Random, words: Sequence[bytes]) -> bytes:
    """Write a command in one of the ways in which Redis reads it."""
    words = list(words)
    kind = random.random()
    if random.random() < 0.3:
        words[0] = bytes(byte ^ 0x20 if random.random() < 0.5 and chr(byte).isalpha() else byte for byte in words[0])
    if kind < 0.7 or not all(words) or sum(map(len, words)) > LINE_LIMIT // 8:
        return resp(words)
    if kind < 0.85:
        return resp(words[:1])[:-2] + b"??" + resp(words)[len(resp(words[:1])) :] if len(words) == 1 else resp(words)
    return b" ".join(_inline_word(random, word) for word in words) + random.choice((b"\r\n", b"\n", b" \r\n"))


def _inline_word(random: Random, word: bytes) -> bytes:
    if word.isalnum() and random.random() < 0.7:
        return word
    return b'"' + b"".join(b"\\x%02x" % byte if not chr(byte).isalnum() else bytes([byte]) for byte in word) + b'"'


def payload(random: Random) -> bytes:
    """Make a value: text, bytes that look like protocol, canaries, and sizes around Redis's limits."""
    kind = random.random()
    if kind < 0.25:
        return random.choice((b"", b"a", b"a b", b"\r\n", b"\0", b"*1\r\n", b"$4\r\nPING\r\n", b"\xff\xfe", b"'", b'"'))
    if kind < 0.3:
        return b"x" * (random.choice((16, 32, 64)) * 1024 + random.randint(-2, 2))
    pieces = [random.choice(_PAYLOAD_PIECES) for _ in range(random.randint(1, 4))]
    return b"".join(pieces)


def _memory_command(random: Random) -> list[bytes]:
    key = random.choice(_MEMORIES)
    makers: tuple[Callable[[], list[bytes]], ...] = (
        lambda: [b"MEMAPPEND", key, b"user", payload(random)],
        lambda: [b"MEMAPPEND", key, b"user", payload(random), b"assistant", payload(random)],
        lambda: [b"MEMAPPEND", key, b"JSON", random.choice(_JSONS)],
        lambda: [b"MEMAPPEND", key, payload(random)],
        lambda: [b"MEMREAD", key],
        lambda: [b"MEMREAD", key, *random.choice(_READ_OPTIONS)],
        lambda: [b"MEMINFO", key],
        lambda: [b"MEMCLEAR", key],
        lambda: [b"MEMCOUNT", payload(random), payload(random)],
        lambda: [b"MEMHEALTH"],
        lambda: [b"MEMFLUSH", key],
        lambda: [b"MEMFLUSH", key, b"DRYRUN"],
        lambda: [b"MEMINFO", payload(random)],
        lambda: [b"MEMREAD"],
        lambda: [b"MEMAPPEND", key, b"IDEMPOTENT", random.choice((b"t1", b"t2")), b"user", payload(random)],
        lambda: [b"MEMAPPEND", key, b"META", random.choice(_JSONS), b"user", payload(random)],
        lambda: [b"MEMAPPEND", random.choice(_TEMPLATES), b"CONTEXT", random.choice(_CONTEXTS), b"user", b"a"],
        lambda: [b"MEMWRITE", key, b"user", payload(random)],
        lambda: [b"MEMDEL", key, random.choice(_IDS), b"PAIRS"],
        lambda: [b"MEMPIN", key, random.choice(_IDS)],
        lambda: [b"MEMUNPIN", key, random.choice(_IDS)],
        lambda: [b"MEMFORK", key, random.choice(_MEMORIES), *random.choice(([], [b"AT", random.choice(_IDS)]))],
        lambda: [b"MEMLIST", *random.choice(([], [b"0", b"MATCH", b"def*"], [b"DUE"], [payload(random)]))],
        # Short, so that what another stream appends waits for no longer than a read of its replies does.
        lambda: [b"MEMLOCK", key, random.choice((b"1", b"20", b"-1", b"x")), b"WAIT", b"5"],
        lambda: [b"MEMUNLOCK", key, payload(random)],
        lambda: [b"MEMCONTEXT", random.choice(_CONTEXTS)],
        lambda: [b"MEMCONTEXT"],
        lambda: [b"MEMDEFS", *random.choice(([], [b"default"], [payload(random)]))],
    )
    return random.choice(makers)()


_PLANTED = (
    resp([b"SET", CANARY, b"1"]),
    b"SET %b 1\r\n" % CANARY,
    resp([b"MEMAPPEND", CANARY, b"user", b"x"]),
    b"MEMAPPEND %b user x\r\n" % CANARY,
)
_PAYLOAD_PIECES = (
    *_PLANTED,
    b"\r\n",
    b"\r\n" + _PLANTED[0],
    b"\n" + _PLANTED[1],
    b"text ",
    b"*3\r\n",
    b"$3\r\n",
    b"\0",
)

_IDS = (b"0-1", b"1732312345678-0", b"18446744073709551615-1", b"-", b"x", b"")
_TEMPLATES = (
    b"default:{{ user.id }}",
    b"{{ .session.id }}",
    b"default:{{ nothing }}",
    b"default:{{",
    b"{{ a.b.c | trunc(3) }}",
)
_CONTEXTS = (
    b'{"user":{"id":"u"},"session":{"id":"s"},"a":{"b":{"c":"abcdef"}}}',
    b'{"user":{"id":"canary\\r\\n"}}',
    b"[]",
    b"{",
    b"CLEAR",
)
_JSONS = (
    b'{"role":"user","content":"a"}',
    b'{"role":"assistant","content":null,"tool_calls":[{"id":"1"}]}',
    b'{"role":"user","content":"a","x":%b}' % (b"[" * 50 + b"]" * 50),
    b'{"role":"user","content":"a","x":' + b"[" * 5_000,
    b'{"role":"user","content":"\\ud800"}',
    b'{"role":"user","role":"tool","content":"a","content":"b"}',
    b'{"role":"user","content":"a","x":1e999}',
    b'{"role":"user","content":"a","x":123456789012345678901234567890}',
    b"{}",
    b"[]",
    b"",
)
_READ_OPTIONS: tuple[list[bytes], ...] = (
    [b"TOKENS", b"100"],
    [b"COUNT", b"1"],
    [b"FORMAT", b"OPENAI"],
    [b"TOKENS", b"99999999999999999999"],
    [b"COUNT", b"-1"],
    [b"SINCE", b"0-0"],
    [b"SINCE", b"$", b"BLOCK", b"5"],
    [b"BEFORE", b"9-9", b"ROLE", b"user", b"tool"],
    [b"TOKENS", b"9", b"RESERVE", b"3", b"OVERSIZE", b"TRUNCATE"],
    [b"FORMAT", b"ANTHROPIC", b"NOSUMMARY", b"PEEK"],
)
_STATE_CHANGES: tuple[list[bytes], ...] = (
    [b"MULTI"],
    [b"MULTI"],
    [b"EXEC"],
    [b"EXEC"],
    [b"DISCARD"],
    [b"WATCH", b"k1"],
    [b"SUBSCRIBE", b"c1", b"c1"],
    [b"UNSUBSCRIBE"],
    [b"UNSUBSCRIBE", b"c1", b"c1"],
    [b"PSUBSCRIBE", b"p*"],
    [b"PUNSUBSCRIBE"],
    [b"CLIENT", b"REPLY", b"ON"],
    [b"CLIENT", b"REPLY", b"OFF"],
    [b"CLIENT", b"REPLY", b"SKIP"],
    [b"CLIENT", b"REPLY", b"skip"],
    [b"CLIENT", b"REPLY"],
    [b"CLIENT", b"GETNAME"],
    [b"HELLO"],
    [b"HELLO", b"2"],
    [b"HELLO", b"3"],
    [b"HELLO", b"4"],
    [b"HELLO", b"3", b"AUTH", b"default", b"secret"],
    [b"AUTH", b"secret"],
    [b"AUTH", b"wrong"],
    [b"AUTH", b"default", b"secret"],
    [b"SELECT", b"0"],
    [b"SELECT", b"99"],
    [b"RESET"],
    [b"QUIT"],
)
_PLAIN: tuple[Callable[[Random], list[bytes]], ...] = (
    lambda random: [b"PING"],
    lambda random: [b"PING", payload(random)],
    lambda random: [b"ECHO", payload(random)],
    lambda random: [b"SET", random.choice(_KEYS), payload(random)],
    lambda random: [b"GET", random.choice(_KEYS)],
    lambda random: [b"INCR", random.choice(_KEYS)],
    lambda random: [b"APPEND", random.choice(_KEYS), payload(random)],
    lambda random: [b"RPUSH", b"list", payload(random), payload(random)],
    lambda random: [b"LRANGE", b"list", b"0", b"-1"],
    lambda random: [b"HSET", b"hash", payload(random), payload(random)],
    lambda random: [b"DEL", random.choice(_KEYS)],
    lambda random: [b"EVAL", b"return {1,'two',{3}}", b"0"],
    lambda random: [b"MEMUNHEARDOF", payload(random)],
    lambda random: [payload(random)],
    lambda random: [b"PUBLISH", b"c1", payload(random)],
)
_ODD_BUT_VALID = (b"*0\r\n", b"*-1\r\n", b"*-10\r\n", b"\r\n", b"\n", b"   \r\n", b"*1\r\n$4\r\nPING..", b"PING\n")
