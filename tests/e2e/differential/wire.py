"""Where a reply ends, for RESP2 and RESP3. Only to know when a step is over; what is compared are the bytes.

Written for the tests alone, so that a mistake of the sidecar's own scanners cannot hide itself.
"""

from __future__ import annotations

ITEMS_PER_COUNT = {0x2A: 1, 0x7E: 1, 0x3E: 1, 0x25: 2, 0x7C: 2}  # * ~ > % |
BLOBS = b"$=!"
LINES = b"+-:_#,("
ATTRIBUTE = 0x7C


class NoReply(Exception):
    """The bytes are no RESP."""


def reply_end(data: bytes | bytearray, start: int) -> int | None:
    """Return where the reply at `start` ends, None if it is not whole yet.

    Raises:
        NoReply: there is no reply at `start`.
    """
    position, open_items = start, 1
    while open_items:
        newline = data.find(b"\r\n", position)
        if newline < 0:
            return None
        kind = data[position]
        open_items -= 1
        after = newline + 2
        if kind in ITEMS_PER_COUNT:
            count = _number(data, position, newline)
            open_items += max(count, 0) * ITEMS_PER_COUNT[kind] + (kind == ATTRIBUTE)
        elif kind in BLOBS:
            length = _number(data, position, newline)
            after += length + 2 if length >= 0 else 0
        elif kind not in LINES:
            raise NoReply(bytes(data[position : position + 40]))
        if after > len(data):
            return None
        position = after
    return position


def _number(data: bytes | bytearray, position: int, newline: int) -> int:
    try:
        return int(data[position + 1 : newline])
    except ValueError:
        raise NoReply(bytes(data[position : position + 40])) from None


def split(data: bytes) -> tuple[list[bytes], bytes]:
    """Return the whole replies in `data`, and what is left behind them."""
    replies = []
    start = 0
    try:
        while (end := reply_end(data, start)) is not None:
            replies.append(data[start:end])
            start = end
    except NoReply:
        pass
    return replies, data[start:]


def multibulk(words: tuple[bytes, ...] | list[bytes]) -> bytes:
    """Return a request as client libraries send it."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)
