"""The border between redis-py and us: what its exceptions mean in ours.

Used by the cold path (`flush_store`, `outbox`); the hot path speaks to Redis itself and knows what was sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import redis.exceptions

from sidecar.errors import RedisRefused, Unavailable, Uncertain, UpstreamError

_NOT_CONNECTED = (" connecting to ", "Too many connections", "No connection available")
"""What redis-py says of a connection that did not come about; it has one class for all troubles of one."""


@contextmanager
def translated() -> Iterator[None]:
    """Turn what redis-py raises inside the block into ours.

    Raises:
        RedisRefused: Redis answered an error; its first word is as Redis wrote it.
        Unavailable: no connection came about, and nothing was sent.
        Uncertain: the connection broke, or the answer did not come in time.
    """
    try:
        yield
    except redis.exceptions.RedisError as error:
        raise _ours(error) from error


def _ours(error: redis.exceptions.RedisError) -> UpstreamError:
    text = str(error)
    if isinstance(error, redis.exceptions.ResponseError) or error.status_code:
        # redis-py cuts the first word off where it has a class for it, and keeps it in `status_code`.
        return RedisRefused(f"{error.status_code} {text}" if error.status_code else text)
    if isinstance(error, (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError)):
        never_sent = any(sign in text for sign in _NOT_CONNECTED)
        return Unavailable(text) if never_sent else Uncertain(text)
    return Uncertain(text or type(error).__name__, type(error).__name__)  # it may quote what it could not read
