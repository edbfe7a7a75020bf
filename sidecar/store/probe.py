"""Asks Redis whether it can be used: by a write, a read and a deletion, as an append would need them.

A PING says less: a replica, a Redis whose memory is full, and one that cannot save answer it, and refuse every append.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

from sidecar.memory.keys import KeySpace
from sidecar.store.changes import as_error
from sidecar.store.pipe import Pipe, Reply

PROBE_TTL_MS = 10_000
"""The probe deletes its key itself; this is for a Redis that dies in the middle of it."""


class Probe:
    """Probes with the rights of one user.

    Args:
        pipe: where the script goes.
        space: names the key.
    """

    def __init__(self, pipe: Pipe, space: KeySpace) -> None:
        self._pipe = pipe
        self._key = space.probe

    def __call__(self, done: Callable[[BaseException | None], None]) -> None:
        """Probe once; `done` is told None, or what went wrong."""
        value = secrets.token_hex(8).encode()

        def replied(reply: Reply) -> None:
            done(None if reply == value else as_error(reply))

        self._pipe.call_script("probe", (self._key,), (value, PROBE_TTL_MS), replied, resend=True)
