"""TLS over a plain connection, as a transport that behaves like TCP's: both halves close independently.

It stands between a socket's transport and a protocol (`ClientConnection`, `Upstream`) and looks to each like the other.
The event loop's own TLS cannot be used here: it has no `write_eof` and drops what is written after the peer's
close_notify, so the replies to a client that ends its half would be lost. Its counterparts are `client_tls`, which has
the certificates, and whoever dials. It does not decide whom to trust: the `SSLContext` does.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, cast

HANDSHAKE_TIMEOUT_S = 10.0
"""Two or three round trips and one signature; who needs longer has no mind to finish. Redis itself never gives up."""

RECORD_BYTES = 16 * 1024
"""Most that a record holds (RFC 8446, 5.1), so one read takes it whole."""

READ_BYTES = 256 * 1024
"""As much as one read of the socket brings, so that its records reach the protocol together."""

WRITE_BYTES = 256 * 1024
"""Plain bytes that are encrypted between two writes to the socket: a large value is not held twice."""

Buffer = bytes | bytearray | memoryview


class TlsStream(asyncio.Transport, asyncio.Protocol):
    """One TLS connection: the protocol of its socket, and the transport of `create`'s protocol.

    Args:
        context: certificates and rules; it stays the one of this connection.
        create: makes the protocol, once the handshake is done: a connection that never gets there is nobody's client.
        server_side: whether the peer dialled.
        server_hostname: the name that the peer's certificate must bear; None for the server's side, and where the
            context does not check names.
        on_failure: is told why there will be no protocol; None: nobody asks.
        handshake_timeout_s: how long the handshake may take.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        create: Callable[[], asyncio.Protocol],
        *,
        server_side: bool,
        server_hostname: str | None = None,
        on_failure: Callable[[OSError], None] | None = None,
        handshake_timeout_s: float = HANDSHAKE_TIMEOUT_S,
    ) -> None:
        super().__init__()
        self._handshake_timeout_s = handshake_timeout_s
        self._create = create
        self._on_failure = on_failure
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=server_hostname
        )
        self._raw: asyncio.Transport | None = None
        self._protocol: asyncio.Protocol | None = None  # none before the handshake is done
        self._deadline: asyncio.TimerHandle | None = None
        self._reading = True
        self._read_scheduled = False
        self._raw_ended = False
        self._peer_ended = False
        self._broken: ssl.SSLError | None = None
        self._finished = False
        self._closing = False

    # ---- the socket's side ----

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._raw = cast("asyncio.Transport", transport)  # uvloop's are no subclasses of it
        limit_s = self._handshake_timeout_s
        late = TimeoutError(f"the TLS handshake took longer than {limit_s:g} s")
        self._deadline = asyncio.get_running_loop().call_later(limit_s, self._fail, late)
        self._shake_hands()

    def data_received(self, data: bytes) -> None:
        self._incoming.write(data)
        if self._protocol is None:
            self._shake_hands()
        elif self._reading:
            self._read()
        elif self._raw is not None:
            self._raw.pause_reading()  # uvloop starts to read after connection_made, whatever that asked for

    def eof_received(self) -> bool:
        self._raw_ended = True
        if self._protocol is None:
            self._fail(ConnectionError("the peer ended the connection during the TLS handshake"))
        elif self._reading:
            self._read()
        return True  # the protocol says when to close

    def pause_writing(self) -> None:
        if self._protocol is not None:
            self._protocol.pause_writing()

    def resume_writing(self) -> None:
        if self._protocol is not None:
            self._protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._raw = None
        self._closing = True
        if self._deadline is not None:
            self._deadline.cancel()
        if self._protocol is not None:
            self._protocol.connection_lost(exc)
        elif self._on_failure is not None:
            self._report(ConnectionError(f"the connection ended during the TLS handshake{f': {exc}' if exc else ''}"))

    def _shake_hands(self) -> None:
        if self._closing or self._raw is None:
            return
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return
        except (ssl.SSLError, ssl.CertificateError) as problem:
            self._flush()  # the alert tells the peer what was wrong
            self._fail(problem)
            return
        self._flush()
        if self._deadline is not None:
            self._deadline.cancel()
        # Made only now, and never when the connection is lost meanwhile: it is told of everything, or of nothing.
        self._protocol = self._create()
        self._protocol.connection_made(self)
        if self._reading:
            self._read()  # what came with the last message of the handshake

    def _fail(self, problem: OSError) -> None:
        self._closing = True
        self._report(problem)
        if self._raw is not None:
            self._raw.close()

    def _report(self, problem: OSError) -> None:
        report, self._on_failure = self._on_failure, None
        if report is not None:
            report(problem)

    def _read(self) -> None:
        """Hand on what is decrypted, many records at once."""
        while self._reading and not self._closing and not self._peer_ended:
            plain = self._decrypt()
            if plain:
                assert self._protocol is not None
                self._protocol.data_received(plain)
            elif self._broken is not None:
                self.abort()
            elif self._raw_ended:
                self._end_of_peer()
            else:
                break
        self._flush()  # an answer to a new key of the peer

    def _decrypt(self) -> bytes:
        """Return up to about `READ_BYTES`; nothing, when no whole record has come or none will come any more."""
        records: list[bytes] = []
        size = 0
        try:
            while size < READ_BYTES and self._incoming.pending:  # OpenSSL itself holds back no more than half a record
                record = self._tls.read(RECORD_BYTES)
                if not record:
                    raise ssl.SSLZeroReturnError
                records.append(record)
                size += len(record)
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            self._raw_ended = True  # nothing counts behind close_notify
        except ssl.SSLError as problem:
            self._broken = problem  # not TLS, or changed on the way: nothing after it can be trusted
        return b"".join(records)

    def _end_of_peer(self) -> None:
        """With or without close_notify: Redis treats both alike, and ends what is left of a command."""
        self._peer_ended = True
        assert self._protocol is not None
        if not self._protocol.eof_received():
            self.close()

    def _flush(self) -> None:
        if self._outgoing.pending and self._raw is not None and not self._raw.is_closing() and not self._finished:
            self._raw.write(self._outgoing.read())

    # ---- the protocol's side ----

    def write(self, data: Buffer) -> None:
        """Encrypt and send; the high and low marks of the buffer count encrypted bytes."""
        if self._closing or self._finished or self._raw is None:
            return
        rest = memoryview(data)
        try:
            while rest:  # once, mostly
                part, rest = rest[:WRITE_BYTES], rest[WRITE_BYTES:]
                while part:
                    part = part[self._tls.write(part) :]  # one record at a time, which memory always takes
                self._flush()
        except ssl.SSLError:
            self.abort()  # the keys are used up, or an alert came: the stream ends here

    def writelines(self, list_of_data: Iterable[Buffer]) -> None:
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """End our half: close_notify and the end of the stream, behind everything written; reading goes on."""
        if self._closing or self._finished or self._raw is None:
            return
        self._notify()
        self._finished = True
        if not self._raw.is_closing():
            self._raw.write_eof()

    def close(self) -> None:
        """Send what is buffered and close_notify, then close; the peer's own is not waited for (RFC 8446, 6.1)."""
        if self._closing:
            return
        self._closing = True
        if not self._finished:
            self._notify()
        if self._raw is not None:
            self._raw.close()

    def abort(self) -> None:
        self._closing = True
        if self._raw is not None:
            self._raw.abort()

    def _notify(self) -> None:
        """Send close_notify. What has come and is not read yet is kept from `unwrap`, which would stumble over it."""
        unread = self._incoming.read()
        with suppress(ssl.SSLError):  # it always wants the peer's close_notify, too
            self._tls.unwrap()
        self._incoming.write(unread)
        self._flush()

    def is_closing(self) -> bool:
        return self._closing or self._raw is None or self._raw.is_closing()

    def is_reading(self) -> bool:
        return self._reading and not self.is_closing()

    def pause_reading(self) -> None:
        self._reading = False
        if self._raw is not None and not self._raw.is_closing() and self._raw.is_reading():
            self._raw.pause_reading()

    def resume_reading(self) -> None:
        self._reading = True
        if self._raw is not None and not self._raw.is_closing() and not self._raw.is_reading():
            self._raw.resume_reading()
        if not self._read_scheduled:
            # What is received already raises no event of the socket; and the caller may be in the middle of a read.
            self._read_scheduled = True
            asyncio.get_running_loop().call_soon(self._read_again)

    def _read_again(self) -> None:
        self._read_scheduled = False
        if self._protocol is not None:
            self._read()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if self._raw is not None:
            self._raw.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return 0 if self._raw is None else self._raw.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return (0, 0) if self._raw is None else self._raw.get_write_buffer_limits()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = cast("asyncio.Protocol", protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        assert self._protocol is not None
        return self._protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """As of asyncio's own TLS: `ssl_object`, `peercert`, `cipher`; the rest is the socket's."""
        match name:
            case "ssl_object":
                return self._tls
            case "peercert":
                return self._tls.getpeercert()
            case "cipher":
                return self._tls.cipher()
        return default if self._raw is None else self._raw.get_extra_info(name, default)
