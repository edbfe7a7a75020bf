"""Steps over replies by their lengths, without reading what is in them (RESP2 and RESP3).

For whoever must know where a reply ends: `pushes` keeps pushes whole, `commands.merging` changes single items of a long
reply. Values are the business of hiredis, which cannot tell where in the stream it is.
"""

from __future__ import annotations

_AGGREGATES = {0x2A: 1, 0x7E: 1, 0x3E: 1, 0x25: 2}  # * ~ > hold n items, % holds n pairs
_BLOBS = frozenset(b"$=!")
_ATTRIBUTE = 0x7C  # | holds n pairs and is followed by the reply that it describes


def step(data: bytes | bytearray, position: int) -> tuple[int, int] | None:
    """Step over one item: a whole scalar, or the header of an aggregate.

    Args:
        data: replies, whole or not.
        position: where an item begins.

    Returns:
        The position behind it and the number of items that it announces, or None if it is not whole yet.

    Raises:
        ValueError: a length that is no number.
    """
    end = data.find(b"\r\n", position)
    if end < 0:
        return None
    kind = data[position]
    after, items = end + 2, 0
    if kind in _BLOBS or kind in _AGGREGATES or kind == _ATTRIBUTE:
        count = int(data[position + 1 : end])
        if kind in _BLOBS:
            after += count + 2 if count >= 0 else 0
        elif kind == _ATTRIBUTE:
            items = 2 * count + 1
        else:
            items = max(count, 0) * _AGGREGATES[kind]
    return (after, items) if after <= len(data) else None


def end_of_reply(data: bytes | bytearray, position: int = 0) -> int | None:
    """Return the position behind the reply, with all that it contains, that begins at `position`; None if it is cut.

    Raises:
        ValueError: a length that is no number.
    """
    left = 1
    while left:
        stepped = step(data, position)
        if stepped is None:
            return None
        position, items = stepped
        left += items - 1
    return position
