"""A client of Redis that leaves it half of the time to others.

Redis serves one command at a time. A flush that asks for page after page keeps it busy without a gap, and nearly every
command of a client would find it at work.
"""

from __future__ import annotations

import asyncio
from typing import Any

from redis.asyncio import Redis

LONGEST_REST_S = 0.005
"""After a command that took long, because Redis or this process had to wait for the machine."""


class RestingRedis(Redis):
    """Rests after each command for as long as that took. Pipelines, which are few here, do not count."""

    async def execute_command(self, *words: Any, **options: Any) -> Any:
        """Run a command, and rest."""
        clock = asyncio.get_running_loop().time
        begun = clock()
        reply = await super().execute_command(*words, **options)  # type: ignore[no-untyped-call]  # redis-py's own gap
        await asyncio.sleep(min(clock() - begun, LONGEST_REST_S))
        return reply
