"""A relay that does one small thing wrong: what the comparison must see."""

from __future__ import annotations

import re
import selectors
import socket
import threading
from collections.abc import Callable

from sidecar.dev.ports import LOOPBACK

Tamper = Callable[[bytes], bytes]
"""What becomes of a piece of the replies; it changes something only where it finds what it looks for."""

PIECE_BYTES = 65_536


def one_byte(piece: bytes) -> bytes:
    """Change one byte of a value."""
    return piece.replace(b"value", b"valuE")


def drop_push(piece: bytes) -> bytes:
    """Drop invalidations."""
    return re.sub(rb">2\r\n\$10\r\ninvalidate\r\n\*1\r\n\$\d+\r\n[^\r]*\r\n", b"", piece)


def swap(piece: bytes) -> bytes:
    """Let two replies change places."""
    return piece.replace(b":1\r\n:2\r\n", b":2\r\n:1\r\n")


def one_more(piece: bytes) -> bytes:
    """Answer something twice."""
    return piece.replace(b"+PONG\r\n", b"+PONG\r\n+PONG\r\n")


def reworded(piece: bytes) -> bytes:
    """Word an error in one's own way."""
    return piece.replace(b"-ERR unknown command", b"-ERR no such command")


def other_type(piece: bytes) -> bytes:
    """Send a null of the other protocol."""
    return piece.replace(b"$-1\r\n", b"_\r\n")


class Relay:
    """Listens on a free port of loopback and relays to `port`, the replies through `tamper`."""

    def __init__(self, port: int, tamper: Tamper) -> None:
        self._upstream = port
        self._tamper = tamper
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port: int = self._listener.getsockname()[1]
        self._wake, self._stop = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="tampering relay", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop, and close every connection."""
        self._stop.send(b"x")
        self._thread.join()
        self._stop.close()

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake, selectors.EVENT_READ)
            selector.register(self._listener, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self._wake:
                        self._end(selector)
                        return
                    if key.fileobj is self._listener:
                        self._accept(selector)
                    else:
                        self._pass_on(selector, key)

    def _end(self, selector: selectors.BaseSelector) -> None:
        for key in list(selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()

    def _accept(self, selector: selectors.BaseSelector) -> None:
        client, _ = self._listener.accept()
        upstream = socket.create_connection((LOOPBACK, self._upstream))
        selector.register(client, selectors.EVENT_READ, (upstream, None))
        selector.register(upstream, selectors.EVENT_READ, (client, self._tamper))

    def _pass_on(self, selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
        source = key.fileobj
        assert isinstance(source, socket.socket)
        other, tamper = key.data
        try:
            piece = source.recv(PIECE_BYTES)
            if piece:
                other.sendall(piece if tamper is None else tamper(piece))
                return
            other.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the other side is gone; its own end of the stream tells the rest
        selector.unregister(source)
        if not any(registered.data and registered.data[0] is source for registered in selector.get_map().values()):
            source.close()
            other.close()
