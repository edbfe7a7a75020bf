"""A way to Redis that loses replies, so that nobody can tell what Redis has executed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from urllib.parse import urlsplit

CHUNK_BYTES = 64 * 1024


class LossyProxy:
    """Forwards to a Redis, and loses replies: the connection ends when Redis has answered, before the answer is there.

    Use with `async with`. What is lost had been executed by Redis.

    Args:
        url: the Redis.
        plan: asked for every piece that Redis sends, the answers to the greeting included: whether to lose it;
            at its end nothing more is lost. May be replaced at any time.
    """

    def __init__(self, url: str, plan: Iterator[bool]) -> None:
        target = urlsplit(url)
        self._target = (target.hostname, target.port)
        self._serving: set[asyncio.Task[None]] = set()
        self.plan = plan
        self.lost = 0

    async def __aenter__(self) -> LossyProxy:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    @property
    def url(self) -> str:
        """Address for clients."""
        return f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer), name="lossy-proxy")
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        redis_reader, redis_writer = await asyncio.open_connection(*self._target)
        pumps = [
            asyncio.create_task(self._forward(reader, redis_writer), name="to-redis"),
            asyncio.create_task(self._reply(redis_reader, writer), name="to-client"),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            writer.close()
            redis_writer.close()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)

    async def _reply(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK_BYTES):
            if next(self.plan, False):
                self.lost += 1
                return
            writer.write(data)
