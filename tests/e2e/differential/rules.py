"""What may differ between the two ways, as data: ids, times and addresses. Everything else is compared byte by byte.

`ALWAYS` holds in every sequence; its patterns match nothing but the thing itself. The others hold only in the
sequences that name them with `@rules`. A rule sees one whole reply at a time.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

Change = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that may differ. `why`: a sentence for the reader; `change`: the reply without it."""

    name: str
    why: str
    change: Change


def _replaced(pattern: bytes, by: bytes) -> Change:
    compiled = re.compile(pattern)
    return lambda reply: compiled.sub(by, reply)


_BLOB = re.compile(rb"([$=])\d+\r\n((?:txt:)?)(id=\d+ addr=[^\r]*)\r\n", re.DOTALL)
_FIELD = re.compile(rb"\b(id|addr|laddr|fd|age|idle|redir)=(?!-1\b)[^ \n]*")
_SIZE = re.compile(
    rb"\b(qbuf|qbuf-free|argv-mem|obl|oll|omem|tot-mem|rbs|rbp|tot-net-in|tot-net-out|tot-cmds|io-thread|read-events|avg-pipeline-len-sum|avg-pipeline-len-cnt)=\d+"
)


def _client_lines(keep: Callable[[bytes], bool]) -> Change:
    """Return a change of the text of CLIENT LIST and CLIENT INFO: no ids, addresses, times, and sizes of buffers."""

    def text(match: re.Match[bytes]) -> bytes:
        lines = [line for line in match[3].split(b"\n") if not line or keep(line)]
        shown = _SIZE.sub(rb"\1=<size>", _FIELD.sub(rb"\1=<\1>", b"\n".join(lines)))
        return match[1] + b"<length>\r\n" + match[2] + shown + b"\r\n"

    return lambda reply: _BLOB.sub(text, reply)


def _everybody(line: bytes) -> bool:
    return True


ALWAYS = (
    Rule(
        "client-line",
        "a client has another id, address and age, and reads come in other pieces",
        _client_lines(_everybody),
    ),
    Rule("hello", "HELLO tells the client's id", _replaced(rb"(\$2\r\nid\r\n:)\d+", rb"\1<id>")),
    Rule(
        "monitor",
        "MONITOR tells time and address",
        _replaced(rb"\A\+\d+\.\d{6} \[(\d+) 127\.0\.0\.1:\d+\] ", rb"+<time> [\1 <address>] "),
    ),
    Rule(
        "monitor-script",
        "MONITOR tells the time of a script's command",
        _replaced(rb"\A\+\d+\.\d{6} \[(\d+) lua\] ", rb"+<time> [\1 lua] "),
    ),
    Rule("entry-id", "XADD * takes the time", _replaced(rb"(?<!\d)1[6-9]\d{11}-\d+(?!\d)", rb"<ms>-<n>")),
    Rule(
        "redirection",
        "CLIENT TRACKINGINFO, and the push when a redirection breaks, tell a client's id",
        _replaced(rb"(\$8\r\nredirect\r\n|\$21\r\ntracking-redir-broken\r\n):[1-9]\d*", rb"\1:<id>"),
    ),
)

_NAMED = (
    Rule(
        "own-clients",
        "the sidecar has connections of its own, so only clients named seq-… are looked at",
        _client_lines(lambda line: b" name=seq-" in line),
    ),
    Rule("time", "TIME", _replaced(rb"\A\*2\r\n\$\d+\r\n\d+\r\n\$\d+\r\n\d+\r\n\Z", b"<time>")),
    Rule(
        "idle",
        "XPENDING and XINFO tell how long ago something was",
        _replaced(rb"(idle|inactive|seen-time|active-time)\r\n:\d+", rb"\1\r\n:<ms>"),
    ),
    Rule(
        "pending",
        "the extended XPENDING tells an idle time after the name of a consumer",
        _replaced(rb"(\*4\r\n\$\d+\r\n\d+-\d+\r\n\$\d+\r\n[a-z]+\r\n):\d+", rb"\1:<ms>"),
    ),
    Rule("ms", "a time to live in ms", _replaced(rb"\A:\d{4,6}\r\n", b":<ms>\r\n")),
    Rule("unix-time", "a point of time in s or ms", _replaced(rb"\A:1\d{9}(\d{3})?\r\n", rb":<unix time>\r\n")),
    Rule(
        "acl-log",
        "ACL LOG tells ages, ids and times",
        _replaced(
            rb"(\$\d+\r\n(?:age-seconds|entry-id|timestamp-created|timestamp-last-updated)\r\n)(:\d+|,[0-9.e-]+|\$\d+\r\n[0-9.e-]+)",
            rb"\1<number>",
        ),
    ),
)

NAMED = {rule.name: rule for rule in _NAMED}
"""The rules that a sequence has to ask for, by name."""


def without_what_may_differ(reply: bytes, names: tuple[str, ...]) -> bytes:
    """Return `reply` after the rules that hold always and those named."""
    for rule in (*(NAMED[name] for name in names), *ALWAYS):
        reply = rule.change(reply)
    return reply
