"""Who makes the summaries, with what options, and what a flush does where nobody does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis.asyncio
from aiohttp import web

from sidecar.dev.servers import RedisServer
from tests.e2e.definitions.effects import shows
from tests.e2e.definitions.talking import Talk
from tests.flush.summarisers.endpoint import Endpoint, fails, says, serving
from tests.support.children import Children, StartSidecar

TALK = [f"The parcel {number} left Rotterdam at 14:05 on Tuesday." for number in range(6)]


async def by_model(request: web.Request) -> web.StreamResponse:
    """Refuse the model `broken`, and sum up for every other one."""
    asked = json.loads(await request.text())["model"]
    return await (fails(404) if asked == "broken" else says(f"{asked} says: parcels."))(request)


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    """A server that speaks chat completions."""
    async with serving() as endpoint:
        endpoint.next.extend([by_model] * 50)
        yield endpoint


@pytest.fixture
async def talk(
    endpoint: Endpoint, memory_redis: RedisServer, children: Children, tmp_path: Path
) -> AsyncIterator[Talk]:
    """A client of a sidecar whose summarisers are at the endpoint."""
    options = {"base_url": endpoint.url, "api_key_env": "A_KEY"}
    file = {
        "summarisers": {
            "brief": {"kind": "openai", "options": {**options, "model": "tiny", "prompt": "Be brief: {words} words."}},
            "quoting": {"kind": "extractive"},
            "broken": {"kind": "openai", "options": {**options, "model": "broken"}},
        },
        "definitions": [
            {"id": name, "max_messages": 10, "flush": flush}
            for name, flush in {
                "plain": {},
                "brief": {"summariser": "brief"},
                "quoting": {"summariser": "quoting"},
                "usual-fallback": {"summariser": "broken"},
                "dropping": {"summariser": "broken", "fallback": "drop"},
                "keeping": {"summariser": "broken", "fallback": "keep"},
            }.items()
        ],
    }
    path = tmp_path / "definitions.yaml"
    path.write_text(json.dumps(file))
    settings = {"MEMSIDECAR_PROJECT": "summarisers", "A_KEY": "sk-of-the-test"}
    sidecar = StartSidecar(children)(redis_url=memory_redis.url, definitions=path, settings=settings)
    async with redis.asyncio.Redis.from_url(sidecar.url, decode_responses=True) as client:
        yield Talk(client)


async def summed(talk: Talk, key: str) -> str | None:
    """Fill a memory, flush it, and return its summary."""
    await talk.say(key, *TALK)
    await talk.flush(key, "FORCE")
    summary: str | None = (await talk.map("MEMREAD", key))["summary"]
    return summary


@shows("flush.summariser")
async def test_summariser(talk: Talk, endpoint: Endpoint) -> None:
    """The summary is made by whom the definition names, and by the built-in one where it names none."""
    assert await summed(talk, "brief:one") == "tiny says: parcels."
    assert "Rotterdam" in str(await summed(talk, "plain:one"))
    assert len(endpoint.requests) == 1


@shows("summarisers.kind")
async def test_kind(talk: Talk, endpoint: Endpoint) -> None:
    """`openai` asks an endpoint, `extractive` nobody."""
    assert "Rotterdam" in str(await summed(talk, "quoting:kind"))
    assert endpoint.requests == []
    assert await summed(talk, "brief:kind") == "tiny says: parcels."


@shows("summarisers.options")
async def test_options(talk: Talk, endpoint: Endpoint) -> None:
    """The options reach the summariser: endpoint, model, key, prompt."""
    await summed(talk, "brief:options")
    assert endpoint.requests[0]["model"] == "tiny"
    assert endpoint.keys == ["Bearer sk-of-the-test"]
    assert endpoint.system(0).startswith("Be brief: ")


@shows("flush.fallback")
async def test_fallback(talk: Talk) -> None:
    """Where the summariser makes none: the built-in one does, the messages go without, or everything stays."""
    assert "Rotterdam" in str(await summed(talk, "usual-fallback:one"))
    assert await summed(talk, "dropping:one") is None
    assert len(await talk.texts("dropping:one")) < len(TALK)
    await talk.say("keeping:one", *TALK)
    assert "no-summary" in await talk.refused("MEMFLUSH", "keeping:one", "FORCE", "WAIT", "30000")
    assert await talk.texts("keeping:one") == TALK
