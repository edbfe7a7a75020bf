"""The private connection to Redis of one client: bytes as they are, both ways."""

from __future__ import annotations

import asyncio
import os
from typing import Protocol, cast

READ_BYTES = 64 * 1024
"""What is read at a time of the last words of a connection."""


class UpstreamOwner(Protocol):
    """Who gets what comes from Redis (`net.connection.ClientConnection`)."""

    def redis_received(self, data: bytes) -> None:
        """Take bytes."""

    def redis_lost(self) -> None:
        """Redis closed the connection, or it broke; everything received was handed on before."""

    def redis_writable(self, writable: bool) -> None:
        """The write buffer went above its high mark (False), or below its low one (True)."""


class Upstream(asyncio.Protocol):
    """The Redis end of one client's connection."""

    def __init__(self, owner: UpstreamOwner) -> None:
        self._owner = owner
        self._transport: asyncio.Transport | None = None

    @property
    def local_address(self) -> object:
        """Our end of the connection, as Redis's CLIENT LIST shows it; None once it is lost."""
        return self._transport.get_extra_info("sockname") if self._transport is not None else None

    def write(self, data: bytes) -> None:
        """Send bytes; after the connection is lost they vanish, as they would on the way to a dead Redis."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        """Send what is buffered, then close."""
        if self._transport is not None:
            self._transport.close()

    def finish(self) -> None:
        """Send what is buffered and end our half of the stream. Redis executes it all, answers, and closes.

        Closing both halves instead would drop replies, and a reply to a closed socket makes the kernel at Redis's end
        drop the commands that Redis has not read yet.
        """
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write_eof()

    def reading(self, wanted: bool) -> bool:
        """Pause or resume reading, for a client that does not keep up; return whether it was paused just now."""
        if self._transport is None or self._transport.is_closing():
            return False
        if wanted and not self._transport.is_reading():
            self._transport.resume_reading()
        elif not wanted and self._transport.is_reading():
            self._transport.pause_reading()
            return True
        return False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclasses of it

    def data_received(self, data: bytes) -> None:
        self._owner.redis_received(data)

    def pause_writing(self) -> None:
        self._owner.redis_writable(False)

    def resume_writing(self) -> None:
        self._owner.redis_writable(True)

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self._read_rest()
        self._owner.redis_lost()

    def _read_rest(self) -> None:
        """Take what Redis sent before it hung up on us: uvloop gives up reading when a write fails.

        So it goes after a protocol error: Redis answers, closes with bytes of ours unread, and the reply is here.
        """
        assert self._transport is not None
        if self._transport.get_extra_info("ssl_object") is not None:
            return  # these bytes are encrypted, and TLS has read ahead itself
        try:
            while data := os.read(self._transport.get_extra_info("socket").fileno(), READ_BYTES):
                self._owner.redis_received(data)
        except OSError:
            return  # nothing more is there
