"""An export as a source of an import."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import IO

from sidecar.memory.glob import matches
from sidecar.store.outgoing import Summary
from sidecar.transfer.lines import MAX_LINE_BYTES, EndLine, Line, MemoryLine, MessageLine, VoidLine, read_lines
from sidecar.transfer.problems import LineProblem
from sidecar.transfer.sources import Begin, End, Event, Place, Said, Void


async def events(
    file: IO[bytes], name: str, *, patterns: list[bytes], definition: str | None, read: Callable[[int], None]
) -> AsyncIterator[Event]:
    """Yield what a file holds.

    Args:
        file: with an export; read line by line.
        name: of the file, for error texts.
        patterns: globs over `definition:instance`; memories that none of them fits are passed over.
        definition: to which all memories will belong; None: to those that the file names.
        read: is told how many bytes have been read.

    Raises:
        LineProblem: a line is no record, or stands where it cannot.
    """
    wanted = within = False
    for number, line in read_lines(_lines(file, read), name):
        place = Place(name, number)
        if isinstance(line, MemoryLine):
            if within:
                raise LineProblem(name, number, "the memory before it has no end; was the file cut off there?")
            within = True
            wanted = any(matches(pattern, line.key.encode(), ignore_case=False) for pattern in patterns)
        if wanted and (event := _event(line, place, definition)) is not None:
            yield event
        elif isinstance(line, MessageLine | EndLine | VoidLine) and not within:
            raise LineProblem(name, number, "no memory has begun; a line with its key comes before its messages")
        if isinstance(line, EndLine | VoidLine):
            wanted = within = False


def _lines(file: IO[bytes], read: Callable[[int], None]) -> Iterator[bytes]:
    while line := file.readline(MAX_LINE_BYTES + 1):
        read(len(line))
        yield line


def _event(line: Line, place: Place, definition: str | None) -> Event | None:
    if isinstance(line, MemoryLine):
        key = line.key
        if definition is not None:
            key = f"{definition}:{key.partition(':')[2]}"
        part = line.summary
        summary = None if part is None else Summary(part.text, part.tokens, part.messages, part.first_id, part.last_id)
        return Begin(place, key, summary)
    if isinstance(line, MessageLine):
        return Said(place, line.message, line.id, line.pinned)
    if isinstance(line, EndLine):
        return End(place, line.messages)
    if isinstance(line, VoidLine):
        return Void(place)
    return None
