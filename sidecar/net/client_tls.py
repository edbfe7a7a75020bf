"""Our certificate, shown to Redis clients, and the authority that theirs must come from; both read anew on request.

The counterpart is `tls_stream`, which encrypts. What Redis is asked for is not here: whoever dials it knows.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

from sidecar.net.tls_stream import HANDSHAKE_TIMEOUT_S, TlsStream


class ClientTls:
    """The TLS side of listening.

    Args:
        cert: PEM file with our certificate, and behind it those of the authorities between it and the root.
        key: PEM file with its private key, without a passphrase.
        client_ca: PEM file with the authorities whose client certificates are let in; None asks clients for none.
        handshake_timeout_s: how long a client may take until it is connected.

    Raises:
        ValueError: a file cannot be used; the text names it.
    """

    def __init__(
        self, cert: Path, key: Path, client_ca: Path | None = None, *, handshake_timeout_s: float = HANDSHAKE_TIMEOUT_S
    ) -> None:
        self._cert = cert
        self._key = key
        self._client_ca = client_ca
        self._handshake_timeout_s = handshake_timeout_s
        self._context = self._load()

    def reload(self) -> None:
        """Read the files anew, for the connections that come from now on; those that exist keep theirs.

        Raises:
            ValueError: a file cannot be used; the text names it, and nothing has changed.
        """
        self._context = self._load()

    def protect(self, accept: Callable[[], asyncio.Protocol]) -> Callable[[], TlsStream]:
        """Return a factory for the server: its connections ask `accept` for a protocol after their handshake."""
        return lambda: TlsStream(self._context, accept, server_side=True, handshake_timeout_s=self._handshake_timeout_s)

    def _load(self) -> ssl.SSLContext:
        """A context of its own each time: an authority can be added to an old one, but not removed."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION
        # A ticket that meets a client which has sent its commands and closed makes the client's kernel answer with a
        # reset, and ours then drops the commands that are not read yet (measured: 200 of 200 times). Connections to
        # Redis live long, so hardly a client would resume a session.
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
        _load_certificate(context, self._cert, self._key)
        if self._client_ca is not None:
            _load_authorities(context, self._client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


def _load_certificate(context: ssl.SSLContext, cert: Path, key: Path) -> None:
    _readable(cert)
    _readable(key)
    try:
        context.load_cert_chain(cert, key, password=_no_passphrase)
    except _PassphraseAsked:
        raise ValueError(f"the key {key} needs a passphrase; store it without one and keep its file private") from None
    except ssl.SSLError as problem:
        if problem.reason == "KEY_VALUES_MISMATCH":
            raise ValueError(f"the key {key} does not belong to the certificate {cert}") from problem
        raise ValueError(
            f"{cert} and {key} are not a certificate and its key in PEM format ({_reason(problem)})"
        ) from problem


def _load_authorities(context: ssl.SSLContext, path: Path) -> None:
    _readable(path)
    try:
        context.load_verify_locations(path)
    except ssl.SSLError as problem:
        raise ValueError(f"{path} holds no certificates in PEM format ({_reason(problem)})") from problem


def _readable(path: Path) -> None:
    # OpenSSL names no file in what it raises.
    try:
        with path.open("rb"):
            pass
    except OSError as problem:
        raise ValueError(f"cannot read {path}: {problem.strerror}") from problem


class _PassphraseAsked(Exception):
    """OpenSSL would ask on the terminal."""


def _no_passphrase() -> str:
    raise _PassphraseAsked


def _reason(problem: ssl.SSLError) -> str:
    return (problem.reason or str(problem)).lower().replace("_", " ")
