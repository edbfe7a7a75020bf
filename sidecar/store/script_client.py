"""Sends our scripts, and single commands, through redis-py: for whatever may take its time.

The counterpart of the hot path's `Pipe`. Errors are translated here, once; what a reply means is up to the caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis

from sidecar.errors import RedisRefused
from sidecar.store import scripts
from sidecar.store.redis_errors import translated

Argument = bytes | str | int
"""What redis-py can send as it is."""


class ScriptClient:
    """Scripts by name on one Redis.

    Every method raises `RedisRefused`, `Unavailable` or `Uncertain`; see `redis_errors`.

    Args:
        redis: a client that answers bytes (`decode_responses=False`).
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def script(self, name: str, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        """Run `lua/<name>.lua` and return its reply."""
        script = scripts.load(name)
        try:
            return await self.command("EVALSHA", script.sha, len(keys), *keys, *arguments)
        except RedisRefused as refused:
            if not refused.line.startswith("NOSCRIPT"):
                raise
        # The first call ever, or a restarted server; EVAL makes the script known again.
        return await self.command("EVAL", script.source, len(keys), *keys, *arguments)

    async def command(self, *words: Argument) -> Any:
        """Run one command and return its reply."""
        with translated():
            return await self._redis.execute_command(*words)  # type: ignore[no-untyped-call] # redis-py's own gap

    async def commands(self, lines: Sequence[Sequence[Argument]]) -> list[Any]:
        """Run commands on keys of one memory in one round trip, and return their replies."""
        with translated():
            async with self._redis.pipeline(transaction=False) as pipe:
                for words in lines:
                    pipe.execute_command(*words)
                return await pipe.execute()
