"""Damages request streams: what a broken client, a broken network or an enemy makes of valid ones.

Each mutation takes the bytes and returns others; none looks at whether the result is still valid. A stream is a list of
whole commands, so that one of them can be hit where it hurts: in its counts, lengths and line ends.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random

MAX_MUTATIONS = 3
"""More than a few leave nothing but noise, which Redis refuses at the first byte."""

_NUMBER = re.compile(rb"(?<=[*$])-?\d+(?=\r)")
_LINE_END = re.compile(rb"\r\n")

NUMBERS = (
    b"0",
    b"-1",
    b"-2",
    b"-0",
    b"00",
    b"+1",
    b"01",
    b" 1",
    b"1 ",
    b"",
    b"x",
    b"1\0",
    b"9" * 19,
    b"9" * 40,
    b"1024",
    b"1025",
    b"1048576",
    b"1048577",
    b"2147483647",
    b"2147483648",
    b"4294967297",
    b"536870911",
    b"536870912",
    b"536870913",
    b"-9223372036854775808",
    b"9223372036854775807",
    b"18446744073709551616",
)
"""Counts and lengths around every limit of Redis's and ours, and ways of writing a number that Redis refuses."""

_INTRUDERS = (b"\0", b"\r", b"\n", b"\r\n", b"*", b"$", b"-", b"+", b"'", b'"', b" ", b"\\", b"\xff", b"\x0b", b"0")


def mutate(random: Random, commands: Sequence[bytes]) -> bytes:
    """Return the commands as one stream with one to `MAX_MUTATIONS` damages."""
    commands = list(commands)
    for _ in range(random.randint(1, MAX_MUTATIONS)):
        at = random.randint(0, len(commands) - 1)
        commands[at] = random.choice(MUTATIONS)(random, commands[at])
    if random.random() < 0.1:
        commands.append(commands[0])
    return b"".join(commands)


def flip_byte(random: Random, data: bytes) -> bytes:
    """Change one bit."""
    if not data:
        return data
    at = random.randint(0, len(data) - 1)
    return data[:at] + bytes([data[at] ^ (1 << random.randint(0, 7))]) + data[at + 1 :]


def remove_bytes(random: Random, data: bytes) -> bytes:
    """Take a few bytes out."""
    at = random.randint(0, len(data))
    return data[:at] + data[at + random.randint(1, 4) :]


def repeat_bytes(random: Random, data: bytes) -> bytes:
    """Send a piece twice."""
    start = random.randint(0, len(data))
    end = min(start + random.randint(1, 12), len(data))
    return data[:end] + data[start:]


def insert_byte(random: Random, data: bytes) -> bytes:
    """Put a byte in that means something to a parser."""
    at = random.randint(0, len(data))
    return data[:at] + random.choice(_INTRUDERS) + data[at:]


def truncate(random: Random, data: bytes) -> bytes:
    """Stop in the middle; what follows is read as its rest."""
    return data[: random.randint(0, len(data))]


def change_number(random: Random, data: bytes) -> bytes:
    """Lie about a count or a length, grossly."""
    return _at_one(random, _NUMBER, data, lambda old: random.choice(NUMBERS))


def shift_number(random: Random, data: bytes) -> bytes:
    """Lie about a count or a length by a little, so that a value's end, or more, is read as a command."""
    return _at_one(
        random, _NUMBER, data, lambda old: b"%d" % (int(old[:18]) + random.choice((-30, -3, -2, -1, 1, 2, 3)))
    )


def change_line_end(random: Random, data: bytes) -> bytes:
    """Write a line's end in another way."""
    return _at_one(random, _LINE_END, data, lambda old: random.choice((b"\n", b"\r", b"", b"\n\r", b"\r\r\n", b"xx")))


def stretch_line(random: Random, data: bytes) -> bytes:
    """Begin with a line nearly as long as Redis allows, or clearly longer.

    In between, Redis's answer depends on what it happens to read at once: it looks for the end first.
    """
    return (
        b"a" * (random.choice((65_000, 90_000)) + random.randint(-2, 2)) + random.choice((b"\n", b"\r\n", b"")) + data
    )


def _at_one(random: Random, pattern: re.Pattern[bytes], data: bytes, new: Callable[[bytes], bytes]) -> bytes:
    found = list(pattern.finditer(data))
    if not found:
        return data
    match = random.choice(found)
    return data[: match.start()] + new(match[0]) + data[match.end() :]


MUTATIONS: tuple[Callable[[Random, bytes], bytes], ...] = (
    flip_byte,
    flip_byte,
    remove_bytes,
    repeat_bytes,
    insert_byte,
    insert_byte,
    truncate,
    change_number,
    change_number,
    shift_number,
    shift_number,
    shift_number,
    change_line_end,
    change_line_end,
    stretch_line,
)
"""All of them; those that break framing in the most ways are there more than once."""
