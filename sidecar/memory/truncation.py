"""Cuts the text of a message that is larger than a whole read budget (`OVERSIZE TRUNCATE`), exactly counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil

from sidecar.memory.definition import Definition
from sidecar.memory.stored_message import StoredMessage

Count = Callable[[str], int]


def truncated(
    unit: Sequence[StoredMessage], room: int, count: Count, definition: Definition
) -> list[StoredMessage] | None:
    """Return a unit with its longest text cut at its end so that all of it has at most `room` tokens.

    Args:
        unit: a message, or a tool call with its results.
        room: tokens that it may have.
        count: exact tokens of a text, in the encoding of the stored counts.
        definition: of the memory; its calibration is part of the counts.

    Returns:
        The unit, the cut message with a field `truncated`; None where it cannot be made to fit, because what is not
        text (parts, arguments of calls) is too large already.
    """
    longest = max(range(len(unit)), key=lambda at: len(unit[at].content))
    message = unit[longest]
    room -= sum(each.tokens for at, each in enumerate(unit) if at != longest)
    # What the message weighs without its text, before calibration; never less than it was.
    others = max(0, ceil(message.tokens / definition.calibration) - count(message.content))

    def weight(length: int) -> int:
        return ceil((others + count(message.content[:length])) * definition.calibration)

    fits, too_long = 1, len(message.content)
    if len(message.content) < 2 or weight(1) > room:
        return None
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        if weight(middle) <= room:
            fits = middle
        else:
            too_long = middle
    fields = '{"truncated":true}' if not message.fields else f'{{"truncated":true,{message.fields[1:]}'
    cut = message._replace(content=message.content[:fits], tokens=weight(fits), fields=fields)
    return [cut if at == longest else each for at, each in enumerate(unit)]
