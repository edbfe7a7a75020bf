"""The deputy's process: builds its objects, and does errands until its pipe ends.

It reads its charge and its errands from standard input, and answers on what standard output was at the start.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from functools import partial
from io import FileIO
from pathlib import Path

import msgspec

from sidecar.deputy.charge import Charge
from sidecar.deputy.resting import RestingRedis
from sidecar.flush.duty import serve_errands
from sidecar.flush.errands import next_frame
from sidecar.flush.labour import OwnLabour
from sidecar.flush.summarisers.extractive import ExtractiveSummariser
from sidecar.flush.summing import Summing
from sidecar.logs import set_up_logs, watch_event_loop
from sidecar.memory.keys import KeySpace
from sidecar.net.dialer import Dialer
from sidecar.net.endpoint import RedisEndpoint
from sidecar.net.redis_client import redis_client
from sidecar.net.redis_tls import RedisTls
from sidecar.store.flush_store import FlushStore
from sidecar.tokens.counter import load_counter

REPLY_TIMEOUT_S = 20.0
"""As in the sidecar: a Redis that says nothing for this long hangs."""


def main() -> None:
    """Run the process."""
    set_up_logs("info")  # until the charge says more: a traceback of Python's own would show texts
    # Who stops the sidecar with the whole group, from a terminal or as systemd does, means the sidecar: it ends the
    # pipe once nothing needs us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # Whatever else writes to standard output must not get into the answers.
    answers = FileIO(os.dup(1), "w")
    os.dup2(2, 1)
    asyncio.run(_serve(answers))


async def _serve(answers: FileIO) -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    told = await next_frame(reader)
    if told is not None:
        charge = msgspec.json.decode(told, type=Charge)
        set_up_logs(charge.log_level, charge.log_format)
        watch_event_loop()
        await serve_errands(reader, partial(_write, answers), make_labour(charge))
    # At once: a thread may still be at a summary that nobody waits for.
    os._exit(0)


def _write(answers: FileIO, frame: bytes) -> None:
    with suppress(BrokenPipeError):  # the sidecar has gone; the end of the input says so, too
        while frame:
            frame = frame[answers.write(frame) :]


def make_labour(charge: Charge) -> OwnLabour:
    """Return who does the work.

    Raises:
        ConfigurationError: a file for TLS cannot be used.
    """
    endpoint = RedisEndpoint.parse(charge.redis_url)
    client = redis_client(
        Dialer(
            endpoint,
            tls=_tls(charge) if endpoint.tls else None,
            sentinel_username=charge.sentinel_username,
            sentinel_password=charge.sentinel_password,
        ),
        username=endpoint.username,
        password=endpoint.password,
        database=endpoint.database,
        client_name="memsidecar-deputy",
        reply_timeout_s=REPLY_TIMEOUT_S,
        kind=RestingRedis,
    )
    summing = Summing(ExtractiveSummariser(), {}, None)
    return OwnLabour(
        store=FlushStore(client, KeySpace(charge.key_prefix, charge.project)),
        counter=partial(load_counter, engine=charge.token_engine),
        summing=summing,
        last_resort=summing,
        lease_ms=charge.lease_ms,
    )


def _tls(charge: Charge) -> RedisTls:
    ca, cert, key = (
        None if name is None else Path(name)
        for name in (charge.redis_tls_ca, charge.redis_tls_cert, charge.redis_tls_key)
    )
    return RedisTls(ca=ca, cert=cert, key=key, server_name=charge.redis_tls_server_name)
