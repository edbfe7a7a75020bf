"""Messages come back from Redis as they were stored, whatever their length; what is none is refused."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from sidecar.errors import RedisRefused
from sidecar.memory.addressing import Memory
from sidecar.memory.stored_message import StoredMessage
from sidecar.store.packed import unpacked
from tests.store.live import LiveStore, memory

LENGTHS = [0, 1, 31, 32, 255, 256, 65_535, 65_536]
"""On both sides of every bound at which MessagePack writes a length in another way."""


async def add(redis: Redis, where: Memory, *words: str | bytes | int) -> str:
    """Add an entry by hand, and return its id."""
    id_: bytes = await redis.execute_command("XADD", where.keys.log, "*", *words)  # type: ignore[no-untyped-call] # redis-py's own gap
    return id_.decode()


@pytest.mark.parametrize("end", ["", "\xe9", "\N{GRINNING FACE}"])
async def test_every_length(live: LiveStore, redis_client: Redis, end: str) -> None:
    """Texts and fields of all lengths are read as they were written."""
    where, expected = memory(), []
    for number, length in enumerate(LENGTHS, 1):
        text = "a" * length + end
        for others in ((), ("x", text), ("k", "facts"), ("x", text, "k", "facts")):
            id_ = await add(redis_client, where, "r", "user", "c", text, "n", number, *others)
            expected.append(StoredMessage(id_, "user", text, number, text if "x" in others else None))
    assert (await live.read(where)).messages == expected


async def test_bytes_that_are_no_text(live: LiveStore, redis_client: Redis) -> None:
    """Bytes that somebody put there by hand are replaced, and the messages beside them are as they were."""
    where = memory()
    for content, fields in ((b"before" * 50, b"{}"), (b"a\xffb", b'{"name":"\xff"}'), (b"behind" * 12_000, None)):
        others = () if fields is None else ("x", fields)
        await add(redis_client, where, "r", "user", "c", content, "n", 7, *others)
    messages = (await live.read(where)).messages
    assert [message[1:] for message in messages] == [
        ("user", "before" * 50, 7, "{}"),
        ("user", "a\N{REPLACEMENT CHARACTER}b", 7, '{"name":"\N{REPLACEMENT CHARACTER}"}'),
        ("user", "behind" * 12_000, 7, None),
    ]


@pytest.mark.parametrize(
    "fields",
    [("mine", "1"), ("r", "user", "c", "text", "n", "many"), ("r", b"\xff", "c", "text", "n", "1")],
    ids=["other fields", "no count", "no role"],
)
async def test_what_is_no_message(live: LiveStore, redis_client: Redis, fields: tuple[str | bytes, ...]) -> None:
    """An entry that no append can have written is told by name, instead of being read as something."""
    where = memory()
    await add(redis_client, where, *fields)
    with pytest.raises(RedisRefused, match=f"{where.keys.log}.*did not write"):
        await live.read(where)


def test_nothing() -> None:
    """A read that found nothing has no packed form at all."""
    assert unpacked(b"") == []
