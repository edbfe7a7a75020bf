"""The attacks on the sidecar's memory and on its other clients, as data. `arena` carries them out and measures.

Each has the bytes that one attacking client may cost, which follow from the limits that the code names. What the kernel
holds for a socket is not the sidecar's memory, and bounded by the kernel.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from sidecar.net.connection import WRITE_BUFFER_BYTES
from sidecar.resp.requests import MAX_REQUEST_ARGUMENTS, MAX_REQUEST_BYTES
from sidecar.session.limits import MAX_PENDING_BYTES
from tests.hostile.crowd import Crowd
from tests.hostile.streams import make_stream, resp

IDLE_BYTES = 64 * 1024
"""A connected client with its session, upstream and transports."""

READ_BYTES = 256_000
"""What uvloop reads from a socket at a time, and so what may come on top of a full write buffer."""

BUFFERED_BYTES = IDLE_BYTES + WRITE_BUFFER_BYTES + READ_BYTES
"""A client for which replies are relayed and that does not read them."""

BIG = b"big"
BIG_BYTES = 1024 * 1024
"""A value on Redis, for replies that no buffer holds."""

MEDIUM = b"medium"
MEDIUM_BYTES = 64 * 1024
"""A value for attacks by thousands: their megabytes would fill what the kernel has for all sockets of the machine."""

GETS = 6
"""How often a client asks for it: more than the kernel's buffers hold, so that ours fill. The rest stays with Redis,
which has no limit of its own for it."""

MEMORIES = 128
"""As many as the MEM commands of one client that run at once, so that each may read another one."""

MEMORY_BYTES = 60_000
"""What is said in each of them."""

LONG = b"long:1"
LONG_MESSAGES = 500
LONG_MESSAGE_BYTES = 1_000
"""A memory whose reading makes megabytes."""

OUTPUT_VARIABLE = "MEMSIDECAR_MAX_OUTPUT_BYTES"
"""Setting of the sidecar: most bytes of MEM replies kept for one client that does not read them."""

MEGABYTE = 1024 * 1024

TOKENIZER_BYTES = 64 * MEGABYTE
"""What counting one text of a megabyte needs at its worst, the second tokenizer that is loaded for it included."""

COUNTING_THREADS = min(32, (os.cpu_count() or 1) + 4)
"""Large texts that are counted at once: as many as `asyncio.to_thread` has threads."""

STORM = 20
"""Clients that come and go together."""

BASE_BYTES = 48 * MEGABYTE
"""What any load costs once: the allocator's reserve, and our own connection's buffers."""


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack.

    Args:
        name: one word or two.
        run: carries it out with a crowd and a number of clients; returns how many requests, or parts of one, were sent.
        client_bytes: most memory that one attacking client may cost.
        clients: how many attack in CI and in a long run.
        once_bytes: most memory that it may cost besides, however many clients there are.
    """

    name: str
    run: Callable[[Crowd, int], int]
    client_bytes: int
    clients: tuple[int, int]
    once_bytes: int = BASE_BYTES

    def bound(self, clients: int) -> int:
        """Most memory that the attack may cost in all."""
        return self.once_bytes + clients * self.client_bytes


def memory(number: int) -> bytes:
    """Return the key of one of the `MEMORIES`."""
    return b"many:%d" % number


def deaf_forwarded(crowd: Crowd, clients: int) -> int:
    """Ask Redis for megabytes and read nothing."""
    pipeline = resp([b"GET", BIG]) * GETS
    for member in crowd.join(clients):
        crowd.push(member, pipeline)
    return clients * GETS


def deaf_crowd(crowd: Crowd, clients: int) -> int:
    """As many clients as one sidecar may have, each of which asks for one value and reads nothing."""
    for member in crowd.join(clients):
        crowd.push(member, resp([b"GET", MEDIUM]) * 4)
    return clients * 4


def deaf_reads(crowd: Crowd, clients: int) -> int:
    """Ask for one long memory again and again and read nothing."""
    pipeline = resp([b"MEMREAD", LONG]) * 64
    for member in crowd.join(clients):
        crowd.push(member, pipeline)
    return clients * 64


def deaf_wide_reads(crowd: Crowd, clients: int) -> int:
    """Ask for as many memories at once as may run at once and read nothing."""
    pipeline = b"".join(resp([b"MEMREAD", memory(number)]) for number in range(MEMORIES))
    for member in crowd.join(clients):
        crowd.push(member, pipeline)
    return clients * MEMORIES


def deaf_pipeline(crowd: Crowd, clients: int) -> int:
    """Pipeline a hundred thousand small MEM commands and read nothing."""
    command = resp([b"MEMINFO", memory(0)])
    sent = sum(crowd.push(member, command * 100_000) for member in crowd.join(clients))
    return sent // len(command)


def half_forwarded(crowd: Crowd, clients: int) -> int:
    """Begin to set a value of half a gigabyte and stop."""
    for member in crowd.join(clients):
        crowd.push(member, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870911\r\n" + b"x" * 1000)
    return clients


def half_appends(crowd: Crowd, clients: int) -> int:
    """Begin to append a message of half a gigabyte, and send a megabyte of it."""
    for member in crowd.join(clients):
        crowd.push(member, b"*4\r\n$9\r\nMEMAPPEND\r\n$1\r\nk\r\n$4\r\nuser\r\n$536870911\r\n" + b"x" * MEGABYTE)
    return clients


def held_requests(crowd: Crowd, clients: int) -> int:
    """Send all but the end of the largest request that the sidecar holds."""
    body = b"x" * (MAX_REQUEST_BYTES - 1024)
    data = b"*4\r\n$9\r\nMEMAPPEND\r\n$1\r\nk\r\n$4\r\nuser\r\n$%d\r\n" % len(body) + body[:-1]
    for member in crowd.join(clients):
        member.setblocking(True)
        crowd.push(member, data)
    return clients


def held_arguments(crowd: Crowd, clients: int) -> int:
    """Send all but the end of a request with as many arguments as the sidecar holds."""
    data = b"*%d\r\n$8\r\nMEMCOUNT\r\n" % MAX_REQUEST_ARGUMENTS + b"$2\r\nxy\r\n" * (MAX_REQUEST_ARGUMENTS - 2)
    for member in crowd.join(clients):
        member.setblocking(True)
        crowd.push(member, data)
    return clients


def trickles(crowd: Crowd, clients: int) -> int:
    """Send one byte at a time, on all connections in turn."""
    requests = (resp([b"MEMAPPEND", b"k", b"user", b"hello"]), resp([b"SET", b"k", b"v"]), b"MEMINFO  k")
    members = crowd.join(clients)
    for position in range(max(map(len, requests)) - 1):
        for number, member in enumerate(members):
            request = requests[number % len(requests)]
            crowd.push(member, request[position : position + 1] if position < len(request) - 1 else b"")
    return crowd.sent_bytes


def deep_messages(crowd: Crowd, clients: int) -> int:
    """Append JSON that is nested a hundred thousand levels deep, and other JSON that breaks parsers."""
    levels = 100_000
    texts = [
        b'{"role":"user","content":null,"x":' + b"[" * levels + b"]" * levels + b"}",
        b'{"role":"user","x":' + b'{"a":' * levels + b"1" + b"}" * levels + b"}",
        b'{"role":"user","x":' + b"[" * levels,
        b'{"role":"user","content":"a","x":' + b"9" * levels + b"}",
        b'{"role":"user","content":"a","x":1e99999}',
        b'{"role":"user","content":"\\ud800\\ud800"}',
        b'{"role":"user","content":"a"' + b',"content":"b"' * levels + b"}",
        b"[" + b'{"role":"user","content":"a"},' * 1000,
    ]
    requests = [resp([b"MEMAPPEND", b"deep", b"JSON", text]) for text in texts]
    for member in crowd.join(clients):
        member.setblocking(True)
        for request in requests:
            crowd.push(member, request)
    return clients * len(requests)


def blank_counts(crowd: Crowd, clients: int) -> int:
    """Have megabytes of blanks counted, the slowest text for a tokenizer."""
    request = resp([b"MEMCOUNT", b" " * MEGABYTE])
    for member in crowd.join(clients):
        member.setblocking(True)
        crowd.push(member, request)
    return clients


def health_questions(crowd: Crowd, clients: int) -> int:
    """Ask for the health and for flushes again and again, which goes to Redis on connections of its own."""
    pipeline = (resp([b"MEMHEALTH"]) * 9 + resp([b"MEMFLUSH", memory(0)])) * 50
    for member in crowd.join(clients):
        crowd.push(member, pipeline)
    return clients * 500


def storms(crowd: Crowd, clients: int) -> int:
    """Connect and go, politely and not, before, within and after requests and replies."""
    ends = (b"", resp([b"GET", BIG]), resp([b"GET", BIG])[:-3], resp([b"MEMREAD", LONG]), resp([b"MEMREAD", LONG])[:-3])
    for number in range(clients // STORM):
        for member in crowd.join(STORM):
            crowd.push(member, ends[number % len(ends)])
        crowd.leave(reset=number % 2 == 0)
    return clients


def half_closed(crowd: Crowd, clients: int) -> int:
    """Ask for megabytes, say that nothing more will come, and read nothing."""
    for number, member in enumerate(crowd.join(clients)):
        crowd.push(member, resp([b"GET", BIG] if number % 2 else [b"MEMREAD", LONG]) * 4)
        member.shutdown(socket.SHUT_WR)
    return clients * 4


def noise(crowd: Crowd, clients: int) -> int:
    """Send mutated streams and never look at what comes back."""
    random = Random(clients)
    for member in crowd.join(clients):
        crowd.push(member, make_stream(random, ours=True, mutated=True).data)
    return clients


def _output_limit() -> int:
    given = os.environ.get(OUTPUT_VARIABLE)
    return int(given) if given else MEMORIES * 2 * MEMORY_BYTES


_LONG_REPLY = 2 * LONG_MESSAGES * (LONG_MESSAGE_BYTES + 200)
_HELD = IDLE_BYTES + MAX_PENDING_BYTES + READ_BYTES

ATTACKS: tuple[Attack, ...] = (
    Attack("deaf, forwarded", deaf_forwarded, BUFFERED_BYTES, (30, 200)),
    Attack("deaf, one memory", deaf_reads, BUFFERED_BYTES + _LONG_REPLY, (4, 100)),
    Attack("deaf, many memories", deaf_wide_reads, BUFFERED_BYTES + _output_limit(), (8, 60)),
    Attack("deaf, long pipeline", deaf_pipeline, _HELD + WRITE_BUFFER_BYTES, (2, 50)),
    Attack("deaf crowd", deaf_crowd, BUFFERED_BYTES, (200, 2500)),
    Attack("half, forwarded", half_forwarded, IDLE_BYTES, (200, 4000)),
    Attack("half, too large", half_appends, IDLE_BYTES, (50, 1000)),
    Attack("half, held", held_requests, IDLE_BYTES + 2 * MAX_REQUEST_BYTES, (3, 30)),
    Attack("half, many words", held_arguments, IDLE_BYTES + 100 * MAX_REQUEST_ARGUMENTS, (10, 200)),
    Attack("byte by byte", trickles, IDLE_BYTES, (100, 2000)),
    Attack("deep JSON", deep_messages, _HELD, (5, 50)),
    Attack("blanks", blank_counts, _HELD, (2, 20), BASE_BYTES + COUNTING_THREADS * TOKENIZER_BYTES),
    Attack("health", health_questions, _HELD, (3, 100)),
    Attack("storms", storms, 0, (400, 4000), BASE_BYTES + STORM * (BUFFERED_BYTES + _LONG_REPLY)),
    Attack("half closed", half_closed, BUFFERED_BYTES + _LONG_REPLY, (20, 100)),
    Attack("noise", noise, IDLE_BYTES + WRITE_BUFFER_BYTES, (100, 2000)),
)
"""All of them, in the order of a run."""
