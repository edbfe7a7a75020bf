"""A real HTTP server on loopback that speaks chat completions, and fails as it is told to."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Endpoint:
    """What it was asked, and what it answers next; with nothing left it gives a good summary."""

    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    next: deque[Answer] = field(default_factory=deque)
    url: str = ""
    at_once: int = 0
    most_at_once: int = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        self.requests.append(await request.json())
        self.keys.append(request.headers.get("Authorization", ""))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            answer = self.next.popleft() if self.next else says(f"summary {len(self.requests)}")
            return await answer(request)
        finally:
            self.at_once -= 1

    def system(self, number: int = -1) -> str:
        """Return the instructions of a request."""
        return str(self.requests[number]["messages"][0]["content"])

    def user(self, number: int = -1) -> str:
        """Return the data of a request."""
        return str(self.requests[number]["messages"][1]["content"])


def says(text: str | None, finish: str = "stop", **message: Any) -> Answer:
    """Answer with a completion."""

    async def answer(_: web.Request) -> web.StreamResponse:
        choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text, **message}}
        usage = {"prompt_tokens": 100, "completion_tokens": 7, "total_tokens": 107}
        return web.json_response(
            {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
        )

    return answer


def fails(status: int, body: str = '{"error": {"message": "no"}}', **headers: str) -> Answer:
    """Answer with an error; `_` in names of headers stands for `-`."""

    async def answer(_: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, text=body, headers=named, content_type="application/json")

    return answer


def page(text: str, content_type: str) -> Answer:
    """Answer 200 with something that is no completion."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(text=text, content_type=content_type)

    return answer


async def hangs(_: web.Request) -> web.StreamResponse:
    """Never answer."""
    await asyncio.Event().wait()
    raise AssertionError


async def drips(request: web.Request) -> web.StreamResponse:
    """Send the headers, then a blank now and then, and never an answer."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    while True:
        await response.write(b" ")
        await asyncio.sleep(0.02)


async def cuts(request: web.Request) -> web.StreamResponse:
    """Close the connection in the middle of the body."""
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"choices": [')
    assert request.transport is not None
    request.transport.close()
    return response


@asynccontextmanager
async def serving(endpoint: Endpoint | None = None) -> AsyncIterator[Endpoint]:
    """Serve on a free port of loopback; `endpoint` None: a new one."""
    endpoint = endpoint or Endpoint()
    app = web.Application(client_max_size=1 << 28)
    app.router.add_post("/v1/chat/completions", endpoint.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    endpoint.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield endpoint
    finally:
        await runner.cleanup()
