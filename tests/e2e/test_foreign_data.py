"""Whatever somebody else wrote under our keys, the sidecar answers, and its other clients do not notice."""

from __future__ import annotations

import pytest
import redis.asyncio
import redis.exceptions

from sidecar.dev.servers import SidecarProcess
from tests.e2e.agents import SPACE, as_map, run


async def refusal(client: redis.asyncio.Redis, *words: str) -> str:
    """Return the error that a command is answered with."""
    with pytest.raises(redis.exceptions.ResponseError) as refused:
        await run(client, *words)
    return str(refused.value)


@pytest.mark.parametrize("fields", ['{"tool_call', '{"tool_calls":[1]}', "no JSON"])
async def test_fields_that_are_not_ours(
    redis_client: redis.asyncio.Redis, plain_sidecar: SidecarProcess, fields: str
) -> None:
    """A stored message with broken fields makes reads of its memory fail, each with an answer; all else works."""
    async with (
        redis.asyncio.Redis.from_url(plain_sidecar.url) as client,
        redis.asyncio.Redis.from_url(plain_sidecar.url) as other,
    ):
        await run(client, "MEMAPPEND", "broken", "user", "hello")
        entry: dict[str, str] = {"r": "assistant", "c": "", "n": "5", "x": fields}
        await redis_client.xadd(SPACE.keys("default", "broken").log, entry)  # type: ignore[arg-type]
        for options in (("TOKENS", "100", "FORMAT", "OPENAI"), ("COUNT", "2", "FORMAT", "OPENAI")):
            assert "memsidecar" in await refusal(client, "MEMREAD", "broken", *options)
            assert as_map(await run(other, "MEMAPPEND", "fine", "user", "hello"))["appended"] == 1
    with redis.Redis.from_url(plain_sidecar.url) as late:
        assert late.ping()
