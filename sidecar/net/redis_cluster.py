"""Asks whether Redis is a node of a cluster. Whether that matters is `gate`'s business."""

from __future__ import annotations

from collections.abc import Sequence

from sidecar.errors import RedisRefused
from sidecar.net.redis_probe import Dial, RedisProbe


async def in_cluster(probe: RedisProbe, dial: Dial, greeting: Sequence[tuple[str, ...]]) -> bool | None:
    """Return whether Redis is known to run in cluster mode; None when it cannot tell now, but will later.

    Args:
        probe: is asked first, with the rights that it has.
        dial: opens a second connection where the first may not ask.
        greeting: commands that log in on it, AUTH for instance; empty: there is nothing to log in with.

    Raises:
        OSError: a connection is lost or Redis does not answer.
    """
    answer = await _maybe_cluster(probe)
    if isinstance(answer, _NotAllowed) and greeting:
        second = await dial(RedisProbe)
        try:
            for command in greeting:
                await second.ask(*command)  # where it is refused, so is the question
            answer = await _maybe_cluster(second)
        finally:
            second.abort()
    return False if isinstance(answer, _NotAllowed) else answer


async def _maybe_cluster(probe: RedisProbe) -> bool | _NotAllowed | None:
    info = await probe.ask("INFO", "cluster")
    if isinstance(info, bytes):
        return b"cluster_enabled:1" in info.split()
    # A user may be allowed the one and not the other.
    state = await probe.ask("CLUSTER", "INFO")
    if isinstance(state, bytes):
        return True
    line = state.line if isinstance(state, RedisRefused) else ""
    if "cluster support disabled" in line:
        return False
    return _NotAllowed() if line.startswith(("NOAUTH", "NOPERM")) else None


class _NotAllowed:
    """Redis refuses to tell whoever asks."""
