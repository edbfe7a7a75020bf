"""Awkward contents and roles get what the contract says, through a real client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis.asyncio
import redis.exceptions

from sidecar.dev.servers import SidecarProcess
from tests.e2e.agents import as_map, run

STORED = {
    "special token": "before <|endoftext|> after",
    "empty": "",
    "emoji sequence": "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽",
    "line ends": "a\r\nb\n\rc",
    "NUL": "a\0b",
    "1 MB": "A sentence of the usual kind, number 12. " * 25_000,
    "1 MB without a space": "x" * 1_000_000,
}


@pytest.fixture
async def client(plain_sidecar: SidecarProcess) -> AsyncIterator[redis.asyncio.Redis]:
    """A client of the sidecar, on an empty Redis."""
    async with redis.asyncio.Redis.from_url(plain_sidecar.url) as connected:
        yield connected


@pytest.mark.parametrize("content", STORED.values(), ids=STORED)
async def test_a_content_comes_back_as_it_was_sent(client: redis.asyncio.Redis, content: str) -> None:
    """What was appended is read back to the letter, with MEMCOUNT's tokens and the overhead of its role."""
    appended = as_map(await run(client, "MEMAPPEND", "odd", "user", content))
    read = as_map(await run(client, "MEMREAD", "odd"))
    message = as_map(read["messages"][0])
    counts: Any = await run(client, "MEMCOUNT", content, "user")
    assert message["content"] == content
    assert message["tokens"] == appended["tokens"] == 3 + sum(counts)


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ((b"user", b"ab\xff"), "BADMESSAGE the content of message 1 is not UTF-8: byte 0xff at offset 2"),
        ((b"user", b"fine", b"robot", b"x"), "BADMESSAGE role of message 2 is 'robot'"),
        ((b"JSON", b'{"role":"user","content":"\\ud800"}'), "BADMESSAGE message 1 is not a JSON object"),
        ((b"JSON", b'{"content":"x"}'), "BADMESSAGE role of message 1 is 'missing or not a string'"),
        ((b"user", b"x", b"assistant"), "messages are pairs of role and content"),
    ],
)
async def test_a_bad_message_is_refused_whole(
    client: redis.asyncio.Redis, messages: tuple[bytes, ...], said: str
) -> None:
    """The error says what is wrong with which message, nothing is stored, and the connection lives."""
    with pytest.raises(redis.exceptions.ResponseError) as refused:
        await run(client, "MEMAPPEND", "odd", *messages)
    assert said in str(refused.value)
    assert as_map(await run(client, "MEMINFO", "odd"))["messages"] == 0
    assert await client.ping()
