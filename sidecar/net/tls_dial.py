"""The dialling side of `tls_stream`: waits for the handshake, so that who dials gets a connection or an `OSError`."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sidecar.net.tls_stream import TlsStream

P = TypeVar("P", bound=asyncio.Protocol)


async def dial_tls(
    connect: Callable[[Callable[[], TlsStream]], Awaitable[object]],
    context: ssl.SSLContext,
    create: Callable[[], P],
    *,
    server_hostname: str | None,
) -> P:
    """Return the protocol that `create` made, connected.

    Args:
        connect: opens the socket with the factory that it is given (`loop.create_connection`).
        context: whom to trust and what to show.
        create: makes the protocol, once the handshake is done.
        server_hostname: what the certificate must be for; None where the context does not check names.

    Raises:
        OSError: no connection, or no handshake; a certificate that is not trusted is among these.
    """
    done: asyncio.Future[P] = asyncio.get_running_loop().create_future()
    streams: list[TlsStream] = []

    def made() -> P:
        protocol = create()
        if not done.done():
            done.set_result(protocol)
        return protocol

    def failed(problem: OSError) -> None:
        if not done.done():
            done.set_exception(problem)

    def stream() -> TlsStream:
        streams.append(TlsStream(context, made, server_side=False, server_hostname=server_hostname, on_failure=failed))
        return streams[-1]

    try:
        await connect(stream)
        return await done
    except BaseException:
        done.cancel()
        for each in streams:  # one, or one for each address that was tried
            each.abort()
        raise
