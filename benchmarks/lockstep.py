"""Sends an exact number of requests: all connections write a pipeline, then all replies are awaited, and so on.

`client` keeps servers busy for a time and counts what they did; here the number is given, and what is sent together is
the same in every run, so that two runs make a server do the same. It measures no time.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from itertools import islice
from types import TracebackType
from typing import Self

import hiredis

from benchmarks.client import LoadFailed
from sidecar.dev.ports import LOOPBACK

SILENCE_LIMIT_S = 120.0
"""Longest wait for bytes of a reply. Servers that count their instructions are fifty times as slow as usual."""

CHUNK_BYTES = 1 << 20


class Lockstep:
    """Connections to one server on 127.0.0.1; a context manager."""

    def __init__(self, port: int, *, connections: int) -> None:
        self._port = port
        self._number = connections
        self._connections: list[tuple[socket.socket, hiredis.Reader]] = []

    def __enter__(self) -> Self:
        try:
            for _ in range(self._number):
                connection = socket.create_connection((LOOPBACK, self._port), timeout=SILENCE_LIMIT_S)
                self._connections.append((connection, hiredis.Reader(notEnoughData=NotImplemented)))
        except OSError as problem:
            self._close()
            raise LoadFailed(f"the server on port {self._port} takes no connection: {problem}") from problem
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close()

    def send(self, requests: Iterator[bytes], *, pipeline: int, turns: int, connections: int | None = None) -> int:
        """Send `pipeline` requests on each connection and wait for all replies, `turns` times; return the number.

        Args:
            connections: how many of the connections are used; None: all of them.

        Raises:
            LoadFailed: a request was refused, or the server fell silent or left.
        """
        used = self._connections[:connections]
        try:
            for _ in range(turns):
                for connection, _parser in used:
                    connection.sendall(b"".join(islice(requests, pipeline)))
                for connection, parser in used:
                    _await(connection, parser, pipeline)
        except OSError as problem:
            raise LoadFailed(f"the server on port {self._port} does not answer: {problem}") from problem
        return turns * pipeline * len(used)

    def _close(self) -> None:
        for connection, _ in self._connections:
            connection.close()


def _await(connection: socket.socket, parser: hiredis.Reader, replies: int) -> None:
    while replies:
        reply = parser.gets()
        if reply is NotImplemented:
            data = connection.recv(CHUNK_BYTES)
            if not data:
                raise LoadFailed("the server closed the connection")
            parser.feed(data)
            continue
        if isinstance(reply, Exception):
            raise LoadFailed(f"a request was refused: {reply}")
        replies -= 1
