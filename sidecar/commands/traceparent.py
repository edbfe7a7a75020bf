"""TRACEPARENT, which every MEM command with a key takes directly behind its key, or its keys.

Always there, so that whatever instruments a client can put it in without knowing the command. Its value is that of the
HTTP header: https://www.w3.org/TR/trace-context/#traceparent-header.
"""

from __future__ import annotations

import re

from sidecar.errors import SyntaxProblem

OPTION = b"TRACEPARENT"

_LENGTH = len(OPTION)
_VALUE = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_VALUE_LENGTH = 55
"""Of version 00. Later ones may be longer, and begin with the same fields."""


def stands(arguments: list[bytes], at: int) -> bool:
    """Whether the option stands at this place among the arguments."""
    return len(arguments) > at and len(arguments[at]) == _LENGTH and arguments[at].upper() == OPTION


def take(arguments: list[bytes], at: int) -> tuple[str, list[bytes]]:
    """Return the value of the option that stands at this place, and the arguments without it.

    Raises:
        SyntaxProblem: the value is missing, or none.
    """
    if len(arguments) == at + 1:
        raise SyntaxProblem("TRACEPARENT expects a value after it")
    value = arguments[at + 1]
    known, more = value[:_VALUE_LENGTH], value[_VALUE_LENGTH:]
    if not _VALUE.fullmatch(known) or (more and (known.startswith(b"00") or not more.startswith(b"-"))):
        raise SyntaxProblem(
            "TRACEPARENT takes the header of W3C Trace Context, version-trace-parent-flags in lower-case hexadecimal "
            f"such as 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01, not '{_shown(value)}'"
        )
    return known.decode(), arguments[:at] + arguments[at + 2 :]


def misplaced() -> SyntaxProblem:
    """Return the error for the option where it does not belong."""
    return SyntaxProblem("TRACEPARENT stands directly behind the key, in front of all other options")


def _shown(value: bytes) -> str:
    return value[: _VALUE_LENGTH + 1].decode(errors="replace")
