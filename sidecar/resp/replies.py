"""Writes replies in RESP2 and RESP3 (https://redis.io/docs/latest/develop/reference/protocol-spec/).

Values are plain Python: None, bool, int, float, str, bytes, list, dict. A dict is a map on RESP3 and a flat array on
RESP2, as in Redis's own commands. Reading replies is the business of hiredis.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

Value = None | bool | int | float | str | bytes | Sequence["Value"] | Mapping[str, "Value"]


CACHED_NAMES = 1_024
"""Names of map fields kept ready: ours are a few dozen, the others are fields that clients gave their messages."""


def encode(value: Value, protocol: int) -> bytes:
    """Return the bytes of one reply.

    Args:
        value: what to send.
        protocol: 2 or 3.
    """
    parts: list[bytes] = []
    _write(parts, value, protocol)
    return b"".join(parts)


def error(line: str) -> bytes:
    """Return an error reply; `line` starts with its code and has no line end."""
    return b"-%b\r\n" % line.encode()


def bulk(data: bytes) -> bytes:
    """Return one bulk string."""
    return b"$%d\r\n%b\r\n" % (len(data), data)


@lru_cache(maxsize=CACHED_NAMES)
def _name(name: str) -> bytes:
    return bulk(name.encode())


def _write(parts: list[bytes], value: Value, protocol: int) -> None:
    # Exact types first, and those of a map without a call each: nearly all that is sent is maps of texts and numbers.
    if type(value) is str:
        data = value.encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))  # not `bulk`: a call is a third of what this costs
    elif isinstance(value, Mapping):
        parts.append(b"%%%d\r\n" % len(value) if protocol == 3 else b"*%d\r\n" % (2 * len(value)))
        for key, item in value.items():
            parts.append(_name(key))
            if type(item) is str:
                data = item.encode()
                parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
            elif type(item) is int:
                parts.append(b":%d\r\n" % item)
            else:
                _write(parts, item, protocol)
    elif isinstance(value, str):
        parts.append(bulk(value.encode()))
    elif isinstance(value, bytes):
        parts.append(bulk(value))
    elif isinstance(value, bool):
        parts.append((b"#t\r\n" if value else b"#f\r\n") if protocol == 3 else b":%d\r\n" % value)
    elif isinstance(value, int):
        parts.append(b":%d\r\n" % value)
    elif value is None:
        parts.append(b"_\r\n" if protocol == 3 else b"$-1\r\n")
    elif isinstance(value, float):
        shown = repr(value).encode()
        parts.append(b",%b\r\n" % shown if protocol == 3 else bulk(shown))
    else:
        parts.append(b"*%d\r\n" % len(value))
        for item in value:
            _write(parts, item, protocol)
