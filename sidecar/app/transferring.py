"""`memsidecar export` and `memsidecar import`: memories out of Redis and into it, with the user of `redis_url`.

They need no sidecar, and do not disturb one: what they change they change by the same scripts.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import redis.asyncio

from sidecar.app.building import make_dialer, make_redis_client, ready_counter
from sidecar.app.progress import progress_of
from sidecar.app.users import redactor
from sidecar.config.definitions import Definitions
from sidecar.config.settings import Settings
from sidecar.errors import BadKey
from sidecar.memory.addressing import Addressing, Context, Memory
from sidecar.memory.catalogue import Catalogue
from sidecar.memory.intake import Intake
from sidecar.memory.keys import KeySpace
from sidecar.store.incoming import Incoming
from sidecar.store.outgoing import Outgoing
from sidecar.transfer import jsonl
from sidecar.transfer.arriving import Imported
from sidecar.transfer.compozy import ListedMemories
from sidecar.transfer.exporting import Export, Exported
from sidecar.transfer.importing import Import
from sidecar.transfer.problems import TransferProblem
from sidecar.transfer.progress import Progress
from sidecar.transfer.sources import Event

STANDARD = Path("-")
"""How standard input and output are written where a file is wanted."""


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What the command line says of an import.

    Args:
        file: with an export, or `STANDARD`.
        patterns: globs over `definition:instance`; others are passed over.
        definition: to which all memories will belong, or None.
        dry_run: check everything, store nothing.
        lists_prefix: what the keys of Compozy's lists begin with; None: `file` is read.
    """

    file: Path = STANDARD
    patterns: tuple[str, ...] = ("*",)
    definition: str | None = None
    dry_run: bool = False
    lists_prefix: str | None = None


async def export_memories(
    settings: Settings, definitions: Definitions, patterns: tuple[str, ...], output: Path
) -> Exported:
    """Write the memories that one of the globs fits.

    Raises:
        TransferProblem: a memory kept changing, or the output cannot be written.
        UpstreamError: Redis refused, or cannot be reached.
    """
    space = KeySpace(settings.key_prefix, settings.project)
    async with _redis(settings) as client:
        outgoing = Outgoing(client, space)
        names = await outgoing.names([pattern.encode() for pattern in patterns])
        with _writing(output) as file, progress_of("memories", len(names)) as progress:
            export = Export(
                outgoing=outgoing, space=space, definitions=definitions.by_id, write=file.write, progress=progress
            )
            return await export.run(names)


async def import_memories(settings: Settings, definitions: Definitions, options: ImportOptions) -> Imported:
    """Store memories.

    Raises:
        TransferProblem: see `sidecar.transfer.importing`; or the input cannot be read.
        UpstreamError: Redis refused, or cannot be reached.
    """
    space = KeySpace(settings.key_prefix, settings.project)
    catalogue = Catalogue(definitions.by_id, strict=definitions.strict)
    intakes: dict[str, Intake] = {}

    def intake(memory: Memory) -> Intake:
        definition = memory.definition
        if definition.id not in intakes:
            looks = redactor(definition.privacy) if definition.privacy.redacts else None
            intakes[definition.id] = Intake(definition, looks)
        return intakes[definition.id]

    async with _redis(settings) as client:
        with ExitStack() as stack:
            events, progress = await _source(client, options, stack)
            work = Import(
                incoming=None if options.dry_run else Incoming(client),
                addressing=Addressing(catalogue, space, no_template),
                catalogue=catalogue,
                intake=intake,
                counter=ready_counter(settings, ()),
                now_ms=int(time.time() * 1000),
                progress=progress,
            )
            return await work.run(events)


async def _source(
    client: redis.asyncio.Redis, options: ImportOptions, stack: ExitStack
) -> tuple[AsyncIterator[Event], Progress]:
    patterns = [pattern.encode() for pattern in options.patterns]
    if options.lists_prefix is not None:
        assert options.definition is not None  # the command line sees to it
        lists = ListedMemories(client, prefix=options.lists_prefix, definition=options.definition)
        keys = await lists.keys(patterns)
        return lists.events(keys), stack.enter_context(progress_of("memories", len(keys)))
    file, name, size = stack.enter_context(_reading(options.file))
    progress = stack.enter_context(progress_of("bytes", size))
    read = jsonl.events(file, name, patterns=patterns, definition=options.definition, read=progress.read)
    return read, progress


@asynccontextmanager
async def _redis(settings: Settings) -> AsyncIterator[redis.asyncio.Redis]:
    dialer = make_dialer(settings)
    client = make_redis_client(settings, dialer)
    try:
        yield client
    finally:
        await client.aclose()
        await dialer.close()


@contextmanager
def _writing(output: Path) -> Iterator[IO[bytes]]:
    """Open the output. A file appears under its name when it is complete: half an export must not look like one."""
    if output == STANDARD:
        try:
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        except BrokenPipeError as problem:
            raise TransferProblem("whoever reads the output has gone; the export is not complete") from problem
        return
    part = output.with_name(f"{output.name}.part")
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(output)
    except OSError as problem:
        raise TransferProblem(f"{output} cannot be written: {problem.strerror}") from problem
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _reading(source: Path) -> Iterator[tuple[IO[bytes], str, int | None]]:
    """Open the input; yield it, its name for error texts, and its size where that is known."""
    if source == STANDARD:
        yield sys.stdin.buffer, "<stdin>", None
        return
    try:
        with source.open("rb") as file:
            yield file, str(source), os.fstat(file.fileno()).st_size or None
    except OSError as problem:
        raise TransferProblem(f"{source} cannot be read: {problem.strerror}") from problem


def no_template(key: str, _: Context) -> str:
    """Refuse a key that is a template: nobody is there whose context could render it."""
    raise BadKey(f"'{key}' is a template; an import takes keys as they are")
