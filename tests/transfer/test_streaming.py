"""However large a memory is, an export and an import hold a page of it at a time."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Iterator

from redis.asyncio import Redis

from sidecar.store.outgoing import Outgoing
from sidecar.tokens.counter import load_counter
from sidecar.transfer import jsonl
from sidecar.transfer.exporting import Export
from sidecar.transfer.progress import Silent
from tests.transfer.moving import DEFINITIONS, SPACE, begun, content, ended, lines, said, work

MESSAGES = 6_000
TEXT = "word " * 400
"""2 kB: 12 MB in all, of which a page has 1 MB at most."""

MOST_BYTES = 6 * 1024 * 1024


class Endless(io.RawIOBase):
    """A file whose lines are made when they are read."""

    def __init__(self, made: Iterator[bytes]) -> None:
        self._made = made

    def readline(self, size: int | None = -1, /) -> bytes:
        return next(self._made, b"")


def made() -> Iterator[bytes]:
    yield lines(begun("default:1"))
    for n in range(1, MESSAGES + 1):
        yield lines(said(content=TEXT, id=f"{n}-0"))
    yield lines(ended(MESSAGES))


async def test_a_large_memory_does_not_fill_ours(redis_client: Redis) -> None:
    """Neither way holds more than a small part of 12 MB."""
    load_counter("o200k_base").count("")  # the vocabulary is as large as all this
    source = jsonl.events(Endless(made()), "-", patterns=[b"*"], definition=None, read=lambda _: None)  # type: ignore[arg-type] # all that is used of it is there
    bringing = work(redis_client)
    size = 0

    def write(data: bytes) -> None:
        nonlocal size
        size += len(data)

    outgoing = Outgoing(redis_client, SPACE)
    leaving = Export(outgoing=outgoing, space=SPACE, definitions=DEFINITIONS, write=write, progress=Silent())
    tracemalloc.start()
    try:
        await bringing.run(source)
        in_peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        await leaving.run([("default", "1")])
        out_peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len((await content(redis_client, "default:1"))[0]) == MESSAGES
    assert size > MESSAGES * len(TEXT)
    assert max(in_peak, out_peak) < MOST_BYTES
