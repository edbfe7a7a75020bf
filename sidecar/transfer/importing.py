"""Stores what a source gives, exactly once: each memory whole or not at all, into a place that is empty.

`arriving` has what becomes of one memory; here is the order in which its parts must come, and what it may be called.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from sidecar.errors import CommandError, Forbidden, UnknownMemory
from sidecar.memory.addressing import Addressing, Memory
from sidecar.memory.catalogue import Catalogue
from sidecar.memory.intake import Intake
from sidecar.memory.message import count_summary
from sidecar.memory.ports import TextCounter
from sidecar.store.incoming import Incoming
from sidecar.transfer.arriving import Arriving, Imported
from sidecar.transfer.problems import LineProblem
from sidecar.transfer.progress import Progress
from sidecar.transfer.sources import Begin, Event, Place, Said, Void


class Import:
    """One import.

    Args:
        incoming: where memories go; None to check everything and store nothing.
        addressing: finds the memory that a key names.
        catalogue: the definitions in force.
        intake: makes what a definition says of messages.
        counter: returns the counter of an encoding.
        now_ms: the time.
        progress: is told how far it is.
    """

    def __init__(
        self,
        *,
        incoming: Incoming | None,
        addressing: Addressing,
        catalogue: Catalogue,
        intake: Callable[[Memory], Intake],
        counter: Callable[[str], TextCounter],
        now_ms: int,
        progress: Progress,
    ) -> None:
        self._incoming = incoming
        self._addressing = addressing
        self._catalogue = catalogue
        self._intake = intake
        self._counter = counter
        self._now_ms = now_ms
        self._progress = progress
        self.done = Imported()

    async def run(self, events: AsyncIterator[Event]) -> Imported:
        """Store memories.

        Raises:
            LineProblem: something is wrong with the input; it names the line.
            MemoryProblem: a memory cannot be stored: something else is there, or somebody holds its lock.
            UpstreamError: Redis refused, or cannot be reached.
        """
        under_way: Arriving | None = None
        place = Place("", 0)
        async for event in events:
            place = event.place
            try:
                if isinstance(event, Begin):
                    if under_way is not None:
                        raise LineProblem(*place, f"{under_way.key} has no end; was the file cut off there?")
                    under_way = await self._begin(event)
                elif under_way is None:
                    raise LineProblem(*place, "no memory has begun here")
                elif isinstance(event, Said):
                    await under_way.add(event)
                elif isinstance(event, Void):
                    await under_way.drop()
                    under_way = None
                else:
                    await under_way.end(event)
                    under_way = None
            except CommandError as problem:
                raise LineProblem(*place, problem.reply()) from problem
        if under_way is not None:
            raise LineProblem(
                *place, f"the input ends within {under_way.key}; export it again, nothing of it is stored"
            )
        return self.done

    async def _begin(self, event: Begin) -> Arriving:
        self._progress.memory(event.key, event.size)
        if event.key.partition(":")[0] not in self._catalogue:  # where an append would take it for one of `default`
            raise UnknownMemory(event.key, sorted(self._catalogue))
        memory = self._addressing.resolve(event.key.encode())
        definition = memory.definition
        if definition.mode == "read-only":
            raise Forbidden(definition.id)
        count = self._counter(definition.encoding).count
        summary = event.summary
        if summary is not None:
            summary = summary._replace(tokens=count_summary(summary.text, count))
        arriving = Arriving(
            memory,
            summary,
            incoming=self._incoming,
            intake=self._intake(memory),
            count=count,
            now_ms=self._now_ms,
            progress=self._progress,
            done=self.done,
        )
        await arriving.begin()
        return arriving
