"""A way to Redis that breaks at a chosen byte of a script's request or of its reply."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

CHUNK_BYTES = 64 * 1024


class Cut(NamedTuple):
    """Where a connection breaks.

    Args:
        piece: `request`: Redis gets no more than its first bytes; `reply`: the request is whole, and no more than the
            first bytes of what Redis sends next come back.
        passed: how many bytes of the piece still get through, None for all of them.
    """

    piece: Literal["request", "reply"]
    passed: int | None


class CuttingRelay:
    """Forwards to a Redis, and cuts connections that carry scripts; use with `async with`.

    Only connections that send EVALSHA or EVAL are cut, right there, so that a client's own connection lives on while
    that of the MEM commands breaks. `break_all` breaks the others too.

    Args:
        url: the Redis.
        plan: asked for every piece that carries a script: where to cut, or None; at its end, or without one, nothing
            more is cut. May be replaced at any time.
    """

    def __init__(self, url: str, plan: Iterator[Cut | None] | None = None) -> None:
        target = urlsplit(url)
        self._target = (target.hostname, target.port)
        self._serving: set[asyncio.Task[None]] = set()
        self.plan = plan or iter(())
        self.cuts = 0
        self.request_bytes = 0  # of the last piece that carried a script
        self.reply_bytes = 0  # of the last piece that came back after it

    async def __aenter__(self) -> CuttingRelay:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self.break_all()

    @property
    def url(self) -> str:
        """Address for clients."""
        return f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"

    async def break_all(self) -> None:
        """Break every connection that there is now."""
        serving = list(self._serving)
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer), name="cutting-relay")
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            redis_reader, redis_writer = await asyncio.open_connection(*self._target)
        except OSError:  # it is being started again
            writer.close()
            return
        way = _Way(self)
        pumps = [
            asyncio.create_task(way.requests(reader, redis_writer), name="to-redis"),
            asyncio.create_task(way.replies(redis_reader, writer), name="to-client"),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            writer.close()
            redis_writer.close()
            await asyncio.gather(*pumps, return_exceptions=True)


class _Way:
    """One connection; each direction ends where it is cut."""

    def __init__(self, relay: CuttingRelay) -> None:
        self._relay = relay
        self._reply_cut: Cut | None = None
        self._carries_scripts = False

    async def requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK_BYTES):
            cut = None
            if b"\nEVAL" in data:
                cut = next(self._relay.plan, None)
                self._carries_scripts, self._relay.request_bytes = True, len(data)
            if cut is not None and cut.piece == "request":
                self._relay.cuts += 1
                writer.write(data[: cut.passed])
                return
            self._reply_cut = self._reply_cut or cut
            writer.write(data)

    async def replies(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK_BYTES):
            if self._carries_scripts:
                self._relay.reply_bytes = len(data)
            if self._reply_cut is not None:
                self._relay.cuts += 1
                writer.write(data[: self._reply_cut.passed])
                return
            writer.write(data)
