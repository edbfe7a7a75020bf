"""Walks the memories of a project, as SCAN walks keys: those that are there all the time are returned at least once.

Memories are found by their logs, those that wait for a flush in the outboxes. A step looks at a bounded number of keys
and may return none of ours; only the cursor "0" says that the walk is over.
"""

from __future__ import annotations

import asyncio
import re
from typing import cast

from sidecar.errors import SyntaxProblem
from sidecar.memory.glob import matches
from sidecar.memory.keys import SHARDS, KeySpace, encode
from sidecar.memory.requests import ListRequest
from sidecar.memory.results import ListPage
from sidecar.store.changes import as_error
from sidecar.store.pipe import Argument, Pipe, Reply

SHARDS_PER_STEP = 32
"""Outboxes that one step looks at: most are empty, and a walk over none of them takes eight steps."""

_SPECIAL = re.compile(r"([*?\[\]\\^])")


class Walk:
    """Walks with the rights of one user.

    Args:
        pipe: where commands go.
        space: where the memories are.
    """

    def __init__(self, pipe: Pipe, space: KeySpace) -> None:
        self._pipe = pipe
        self._space = space

    async def page(self, request: ListRequest) -> ListPage:
        """Return the next step of a walk.

        Raises:
            SyntaxProblem: the cursor is none.
            UpstreamError: Redis refused, or cannot be reached.
        """
        cursor, names = await (self._due(request) if request.due else self._all(request))
        keys = [key for name in names if (key := self._key(name)) is not None]
        if request.pattern is not None:
            wanted = request.pattern
            keys = [key for key in keys if matches(wanted, key.encode(), ignore_case=False)]
        return ListPage(cursor, keys)

    async def _all(self, request: ListRequest) -> tuple[str, list[str]]:
        pattern = log_pattern(self._space)
        cursor, found = await self._step(
            "SCAN", request.cursor, "MATCH", pattern, "COUNT", request.count, "TYPE", "stream"
        )
        return cursor, [name.partition("}:")[2] for name in found]

    async def _due(self, request: ListRequest) -> tuple[str, list[str]]:
        """Go on in the outbox that the cursor names: it is the cursor there, times `SHARDS`, plus the outbox."""
        inner, shard = divmod(int(request.cursor), SHARDS)
        names: list[str] = []
        for _ in range(SHARDS_PER_STEP):
            cursor, found = await self._step("ZSCAN", self._space.outbox(shard), str(inner), "COUNT", request.count)
            names += found[::2]  # each with its score
            inner = int(cursor)
            shard += not inner
            if shard == SHARDS or len(names) >= request.count:
                break
        return ("0" if shard == SHARDS else str(inner * SHARDS + shard)), names

    async def _step(self, *command: Argument) -> tuple[str, list[str]]:
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._pipe.call(command, lambda reply: None if answer.done() else answer.set_result(reply), resend=True)
        reply = await answer
        if isinstance(reply, BaseException) and "invalid cursor" in str(reply):
            raise SyntaxProblem("the cursor is 0 at first, then what the last reply gave") from None
        if not isinstance(reply, list):
            raise as_error(reply)
        cursor, found = cast("tuple[Reply, list[Reply]]", reply)
        return _text(cursor), [_text(name) for name in found]

    def _key(self, name: str) -> str | None:
        """Return a memory's name as clients write it; None for a name that is none of ours."""
        try:
            return ":".join(self._space.parse(name))
        except ValueError:
            return None


def log_pattern(space: KeySpace) -> str:
    """Return the pattern by which SCAN finds the logs of a project."""
    prefix, project = (_SPECIAL.sub(r"\\\1", part) for part in (space.prefix, encode(space.project)))
    return f"{prefix}:log:{{??}}:{project}:*"


def _text(value: Reply) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
