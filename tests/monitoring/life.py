"""A small life of many kinds of requests, so that every panel of the dashboard has something to show.

Each round does everything once: appends, reads of each kind, locks, flushes with summaries that come and that do not,
mistakes. It goes through a sidecar with the engine `local` and the definitions of `definitions_file`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Coroutine
from itertools import count
from pathlib import Path
from typing import Any

import redis
import redis.asyncio
from aiohttp import web

from tests.e2e.agents import run
from tests.flush.summarisers.endpoint import Endpoint, fails, says

STRANGER = "stranger"
"""A Redis user without any right to memories."""

TEXT = "The parcel {number} left Rotterdam at 14:05 on Tuesday, and is due in Utrecht; write to ada@example.org. "


async def by_model(request: web.Request) -> web.StreamResponse:
    """Answer as the model would that is asked for: one has no summary to give."""
    model = json.loads(await request.text())["model"]
    return await (fails(404) if model == "away" else says("Parcels have left Rotterdam."))(request)


class Answering(Endpoint):
    """An endpoint that never runs out of answers."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.next.append(by_model)
        return await super().handle(request)


def definitions_file(path: Path, model_url: str) -> Path:
    """Write the definitions to `path` and return it; the models are behind `model_url`."""

    def kind(model: str) -> dict[str, Any]:
        return {"kind": "openai", "options": {"base_url": model_url, "api_key_env": None, "model": model}}

    def compacted(**flush: str) -> dict[str, Any]:
        return {"max_messages": 10, "flush": {"strategy": "hybrid_summary", "target": 0.3, **flush}}

    definitions = [
        {"id": "chat", "privacy": {"redact": ["email"]}, **compacted(summariser="model")},
        {"id": "quoting", **compacted()},
        {"id": "falling", **compacted(summariser="away", fallback="extractive")},
        {"id": "failing", **compacted(summariser="away", fallback="keep")},
        {"id": "hasty", "locking": {"wait": "20ms"}},
    ]
    content = {
        "strict": True,
        "summarisers": {"model": kind("small"), "away": kind("away")},
        "definitions": definitions,
    }
    path.write_text(json.dumps(content))
    return path


def admit_the_stranger(url: str) -> None:
    """Give Redis the user `STRANGER`."""
    with redis.Redis.from_url(url) as client:
        client.acl_setuser(STRANGER, enabled=True, passwords=["+secret"], categories=["+@all"], keys=["nothing"])


class Life:
    """Rounds of requests to one sidecar, on 127.0.0.1.

    Args:
        port: of the sidecar.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._numbers = count()

    async def live(self, until: Callable[[], bool], pause_s: float) -> None:
        """Go round, with a pause after each round, until `until` says so."""
        async with self._client() as client, self._client() as other, self._client(STRANGER) as stranger:
            while not until():
                await asyncio.gather(self._talk(client), self._locks(client, other), self._mistakes(client, stranger))
                await asyncio.sleep(pause_s)

    def _client(self, user: str | None = None) -> redis.asyncio.Redis:
        return redis.asyncio.Redis(
            port=self._port, protocol=3, decode_responses=True, username=user, password="secret" if user else None
        )

    async def _talk(self, client: redis.asyncio.Redis) -> None:
        number = next(self._numbers)
        ask = _to(client)
        for name in ("chat", "quoting", "falling", "failing"):
            for text in (TEXT.format(number=number), TEXT.format(number=number) * 4):
                await ask("MEMAPPEND", f"{name}:{number % 3}", "user", text, "assistant", text)
        for _ in range(2):
            await ask("MEMAPPEND", "chat:1", "IDEMPOTENT", f"turn-{number}", "user", "Once.")
        await ask("MEMREAD", "chat:1")
        await ask("MEMREAD", "chat:1", "COUNT", 3)
        await ask("MEMREAD", "chat:1", "SINCE", "0-1", "COUNT", 2)
        await ask("MEMREAD", "chat:1", "ROLE", "user")
        await ask("MEMREAD", "chat:1", "TOKENS", 400)
        await ask("MEMAPPEND", "chat:2", "user", TEXT * 20)
        await ask("MEMREAD", "chat:2", "TOKENS", 100, "OVERSIZE", "SKIP")
        await ask("MEMREAD", "chat:1", "SINCE", "$", "BLOCK", 5)
        await ask("MEMINFO", "chat:1")
        await client.set("plain", number)
        await client.get("plain")

    async def _locks(self, client: redis.asyncio.Redis, other: redis.asyncio.Redis) -> None:
        ask = _to(client)
        held = await ask("MEMLOCK", "hasty:1", 2_000)
        await _refused(ask("MEMAPPEND", "hasty:1", "user", "kept out"))
        waiting = asyncio.create_task(_to(other)("MEMLOCK", "hasty:1", 2_000, "WAIT", 1_000))
        await ask("MEMAPPEND", "hasty:1", "LOCK", held["token"], "user", "mine")
        await ask("MEMUNLOCK", "hasty:1", held["token"])
        next_one = await waiting
        await _refused(ask("MEMAPPEND", "hasty:1", "LOCK", held["token"], "user", "too late"))
        await ask("MEMUNLOCK", "hasty:1", next_one["token"])

    async def _mistakes(self, client: redis.asyncio.Redis, stranger: redis.asyncio.Redis) -> None:
        await _refused(_to(client)("MEMREAD", "nothing:1"))
        await _refused(_to(client)("MEMAPPEND", "chat:{", "user", "no key"))
        await _refused(_to(stranger)("MEMAPPEND", "chat:1", "user", "no right"))
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(b"*no\r\n")
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()


def _to(client: redis.asyncio.Redis) -> Callable[..., Coroutine[Any, Any, Any]]:
    """Return what sends words as a command; numbers are words, too."""
    return lambda *words: run(client, *map(str, words))


async def _refused(command: Coroutine[Any, Any, Any]) -> None:
    try:
        await command
    except redis.ResponseError:
        return
    raise AssertionError("this must be refused")
