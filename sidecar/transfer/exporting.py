"""Writes memories as JSON lines, one page at a time.

A memory may be appended to meanwhile: what came after its first line is not part of the export. When a flush, an edit
or a clear changes it, a line says that what was written of it is void, and it is written again: summary and messages
are of one moment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sidecar.commands.chat_messages import content_of, fields_of
from sidecar.memory.definition import Definition
from sidecar.memory.keys import KeySpace, MemoryKeys
from sidecar.memory.message import PROTECTED_ROLES
from sidecar.memory.stored_message import StoredMessage
from sidecar.store.outgoing import Entry, Outgoing, Snapshot
from sidecar.transfer.lines import VERSION, EndLine, ExportLine, MemoryLine, MessageLine, SummaryPart, VoidLine, encode
from sidecar.transfer.problems import MemoryProblem
from sidecar.transfer.progress import Progress

MAX_TRIES = 5
"""How often a memory is begun that keeps changing: flushes are minutes apart."""


@dataclass(slots=True)
class Exported:
    """What was written."""

    memories: int = 0
    messages: int = 0
    tokens: int = 0


class Export:
    """One export.

    Args:
        outgoing: the memories.
        space: where they are.
        definitions: those in force; they tell which messages are kept by their class and not by a pin.
        write: takes the lines.
        progress: is told how far it is.
    """

    def __init__(
        self,
        *,
        outgoing: Outgoing,
        space: KeySpace,
        definitions: Mapping[str, Definition],
        write: Callable[[bytes], object],
        progress: Progress,
    ) -> None:
        self._outgoing = outgoing
        self._space = space
        self._definitions = definitions
        self._write = write
        self._progress = progress

    async def run(self, names: list[tuple[str, str]]) -> Exported:
        """Write memories, each given by definition and instance.

        Raises:
            MemoryProblem: one kept changing.
            UpstreamError: Redis refused, or cannot be reached.
        """
        done = Exported()
        self._line(ExportLine(VERSION, self._space.project))
        for definition, instance in names:
            await self._memory(definition, instance, done)
        return done

    async def _memory(self, definition: str, instance: str, done: Exported) -> None:
        keys, key = self._space.keys(definition, instance), f"{definition}:{instance}"
        critical = self._critical(definition)
        for _ in range(MAX_TRIES):
            snapshot = await self._outgoing.snapshot(keys)
            if snapshot is None:  # it has expired, or was cleared, since it was found
                return
            self._progress.memory(key, snapshot.messages)
            messages, tokens = await self._once(keys, key, snapshot, critical)
            now = await self._outgoing.snapshot(keys)
            if now is not None and now.moment == snapshot.moment:
                self._line(EndLine(messages))
                done.memories += 1
                done.messages += messages
                done.tokens += tokens
                return
            self._line(VoidLine())
        raise MemoryProblem(key, f"it changed during each of {MAX_TRIES} tries; export it when it is quiet")

    async def _once(self, keys: MemoryKeys, key: str, snapshot: Snapshot, critical: set[str]) -> tuple[int, int]:
        """Write a memory without its end; return its messages, and their tokens with those of its summary."""
        summary = None if snapshot.summary is None else SummaryPart(*snapshot.summary)
        self._line(MemoryLine(key, snapshot.encoding, summary))
        messages, tokens = 0, summary.tokens if summary else 0
        async for page in self._outgoing.pages(keys, snapshot.last_id):
            self._write(b"".join(encode(_line(entry, critical)) + b"\n" for entry in page))
            messages += len(page)
            tokens += sum(entry.message.tokens for entry in page)
            self._progress.messages(len(page))
        return messages, tokens

    def _critical(self, definition: str) -> set[str]:
        known = self._definitions.get(definition)
        return {name for name, priority in known.priorities.items() if priority == "critical"} if known else set()

    def _line(self, record: ExportLine | MemoryLine | EndLine | VoidLine) -> None:
        self._write(encode(record) + b"\n")


def _line(entry: Entry, critical: set[str]) -> MessageLine:
    message = entry.message
    pinned = entry.kept and message.role not in PROTECTED_ROLES and entry.kind not in critical
    return MessageLine(
        id=message.id, at=_time(message.id), tokens=message.tokens, pinned=pinned, message=_chat(message)
    )


def _chat(message: StoredMessage) -> dict[str, object]:
    fields = fields_of(message)
    content = content_of(message, fields)
    fields.pop("content", None)
    return {"role": message.role, "content": content, **fields}


def _time(id_: str) -> str:
    """Return the time in an id."""
    try:
        at = datetime.fromtimestamp(int(id_.partition("-")[0]) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return ""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
