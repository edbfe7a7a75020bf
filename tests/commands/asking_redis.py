"""Asks a real Redis and keeps the bytes of its replies, and stands between a client and Redis as a sidecar would."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Callable
from typing import Any

import hiredis

from sidecar.commands.merging import merge
from sidecar.commands.table import COMMANDS
from sidecar.resp.scan import end_of_reply

TIMEOUT_S = 10
"""Longest wait for one reply."""

HELLO_3 = b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n"


def request(*words: str | bytes) -> bytes:
    """Return the bytes of one request."""
    parts = [word.encode() if isinstance(word, str) else word for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


def parsed(reply: bytes) -> Any:
    """Return the one value that a client reads; sets come as lists."""
    reader = hiredis.Reader(encoding="utf-8")
    reader.feed(reply)
    value = reader.gets()
    assert value is not False, "a reply is cut"
    assert reader.gets() is False, "there is more than one reply"
    return value


class RawRedis:
    """A bare connection to Redis, which speaks the protocol 2 or 3."""

    def __init__(self, port: int, protocol: int) -> None:
        self.protocol = protocol
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
        if protocol == 3:
            self.relay(HELLO_3)

    def close(self) -> None:
        self._socket.close()

    def relay(self, data: bytes) -> bytes:
        """Send one request and return its reply."""
        self._socket.sendall(data)
        received = b""
        while end_of_reply(received) != len(received) or not received:
            more = self._socket.recv(1 << 20)
            assert more, f"Redis closed after {received!r}"
            received += more
        return received

    def ask(self, *words: str | bytes) -> bytes:
        """Send one request, given by its words, and return its reply."""
        return self.relay(request(*words))

    def ask_merged(self, *words: str) -> tuple[bytes, bytes]:
        """Send one request; return its reply, and the same with our commands."""
        reply = self.ask(*words)
        return reply, merge([word.encode() for word in words], reply, COMMANDS, self.protocol)


class MergingRelay(socketserver.ThreadingTCPServer):
    """Forwards every request of its clients, one at a time, and merges our commands into the replies to COMMAND."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, redis_port: int) -> None:
        self.redis_port = redis_port
        super().__init__(("127.0.0.1", 0), _Client)
        self.port: int = self.server_address[1]
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self.shutdown()
        self.server_close()


class _Client(socketserver.BaseRequestHandler):
    server: MergingRelay

    def handle(self) -> None:
        upstream = RawRedis(self.server.redis_port, 2)
        reader = hiredis.Reader()
        receive: Callable[[int], bytes] = self.request.recv
        try:
            while data := receive(65_536):
                reader.feed(data)
                while (words := reader.gets()) is not False:
                    reply = upstream.relay(request(*words))
                    if words[0].upper() == b"HELLO" and words[1:2] == [b"3"]:
                        upstream.protocol = 3
                    if words[0].upper() == b"COMMAND":
                        reply = merge(words, reply, COMMANDS, upstream.protocol)
                    self.request.sendall(reply)
        except ConnectionError:
            pass  # the client has gone
        finally:
            upstream.close()
