"""What a definition forbids to be stored is nowhere: not on Redis, not on the way there, not in logs or metrics."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis
import redis.asyncio
import redis.exceptions

from sidecar.dev.ports import free_port
from sidecar.dev.servers import RedisServer, SidecarProcess
from tests.e2e.agents import as_map, recount, run, stored
from tests.support.children import Children, StartSidecar

DEFINITIONS = [
    {"id": "open"},
    {
        "id": "private",
        "flush": {"target": 0.01},
        "privacy": {
            "redact": ["card", "email", "iban", "ip", "phone", "secrets"],
            "patterns": [
                {"name": "badge", "regex": r"B-\d{4}-[a-z]+"},
                {"name": "patient", "regex": r"patient (\w+)", "replacement": "somebody"},
            ],
            "replacement": "<{kind} removed>",
            "do_not_persist": ["tool"],
        },
    },
]

SECRETS = {
    "email": "ann.bell+q@mail.example.org",
    "card": "4111 1111 1111 1111",
    "iban": "DE89 3704 0044 0532 0130 00",
    "ip": "203.0.113.77",
    "phone": "+49 170 7654321",
    "secrets": "ghp_0123456789abcdefghijABCDEFGHIJ012345",
    "badge": "B-4711-zulu",
    "patient": "Zebulon",
}

ALL_OF_THEM = (
    "Mail ann.bell+q@mail.example.org, pay with 4111 1111 1111 1111 or from DE89 3704 0044 0532 0130 00; host "
    "203.0.113.77, call +49 170 7654321, token ghp_0123456789abcdefghijABCDEFGHIJ012345, badge B-4711-zulu, "
    "patient Zebulon. Marigold."
)

REDACTED = (
    "Mail <email removed>, pay with <card removed> or from <iban removed>; host "
    "<ip removed>, call <phone removed>, token <secrets removed>, badge <badge removed>, "
    "patient somebody. Marigold."
)

NEEDLES = [part.encode() for secret in SECRETS.values() for part in (secret, secret[-8:])]
"""What must be nowhere: each secret, and its end."""

CONTROL = b"Marigold"
"""Stands beside the secrets; where it is not found, nothing was looked at."""


@pytest.fixture(scope="module")
def redis_of_its_own(
    shared_children: Children, redis_program: Any, tmp_path_factory: pytest.TempPathFactory
) -> RedisServer:
    """A Redis whose dumps can be searched: it does not compress."""
    directory = tmp_path_factory.mktemp("redis-plain")
    return shared_children.add(
        RedisServer(port=free_port(), directory=directory, program=redis_program, arguments=("--rdbcompression", "no"))
    )


@pytest.fixture(scope="module")
def sidecar(
    shared_children: Children, redis_of_its_own: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> SidecarProcess:
    """One sidecar for the whole module, which logs all that it ever logs."""
    definitions = tmp_path_factory.mktemp("privacy") / "definitions.yaml"
    definitions.write_text(json.dumps({"definitions": DEFINITIONS}))
    return StartSidecar(shared_children)(
        redis_url=redis_of_its_own.url, definitions=definitions, settings={"MEMSIDECAR_LOG_LEVEL": "debug"}
    )


@pytest.fixture
async def direct(redis_of_its_own: RedisServer) -> AsyncIterator[redis.asyncio.Redis]:
    """A client of the Redis itself, which it empties."""
    async with redis.asyncio.Redis.from_url(redis_of_its_own.url) as connected:
        await connected.flushall()
        yield connected


@pytest.fixture
async def client(sidecar: SidecarProcess, direct: redis.asyncio.Redis) -> AsyncIterator[redis.asyncio.Redis]:
    """A client of the sidecar, on an empty Redis."""
    assert await direct.dbsize() == 0
    async with redis.asyncio.Redis.from_url(sidecar.url) as connected:
        yield connected


@contextmanager
def watched(server: RedisServer) -> Iterator[list[bytes]]:
    """Write down every command that reaches Redis, those of scripts too, as MONITOR shows it."""
    seen: list[bytes] = []
    with redis.Redis.from_url(server.url) as connected, connected.monitor() as monitor:
        yield seen
        with redis.Redis.from_url(server.url) as ending:
            ending.echo("the end of the watch")
        while not seen or b"the end of the watch" not in seen[-1]:
            seen.append(monitor.connection.read_response(disable_decoding=True))


async def everything_in(direct: redis.asyncio.Redis) -> bytes:
    """Return all keys with all that they hold, as Redis would save them."""
    keys: Any = await direct.keys()
    return b"\n".join([key + b" " + (await direct.dump(key) or b"") for key in keys])


async def page(sidecar: SidecarProcess) -> str:
    def fetch() -> str:
        with urllib.request.urlopen(sidecar.metrics_url, timeout=10) as answer:
            return str(answer.read(), "utf-8")

    return await asyncio.to_thread(fetch)


async def redactions(sidecar: SidecarProcess) -> dict[str, float]:
    """Return the counts by kind on /metrics."""
    found = {}
    for line in (await page(sidecar)).splitlines():
        if line.startswith("memsidecar_redactions_total{"):
            labels, _, count = line.rpartition(" ")
            found[labels.split('"')[1]] = float(count)
    return found


def found_in(text: bytes) -> list[bytes]:
    return [needle for needle in NEEDLES if needle in text]


CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "mail", "arguments": json.dumps({"text": ALL_OF_THEM})}},
        {"id": "c2", "type": "function", "function": {"name": "say", "arguments": "no JSON: " + ALL_OF_THEM}},
    ],
}

PARTS = {
    "role": "user",
    "name": ALL_OF_THEM,
    "content": [
        {"type": "text", "text": ALL_OF_THEM},
        {"type": "text", "text": "data: " + ALL_OF_THEM},
        {"type": "image_url", "image_url": {"url": "https://x.example/?" + ALL_OF_THEM}},
        {"type": "file", "file": {"filename": ALL_OF_THEM}},
        {"type": "unheard_of", "text": None, "x": [[{"y": ALL_OF_THEM}]]},
    ],
    "refusal": ALL_OF_THEM,
    "unknown": {"deep": [{"deeper": ALL_OF_THEM}], ALL_OF_THEM: 1},
}

ESCAPED = '{"role": "user", "content": "' + "".join(f"\\u{ord(letter):04x}" for letter in ALL_OF_THEM) + '"}'

APPENDS: dict[str, tuple[str, ...]] = {
    "a pair": ("user", ALL_OF_THEM),
    "many pairs": ("system", ALL_OF_THEM, "developer", ALL_OF_THEM, "assistant", ALL_OF_THEM),
    "JSON": ("JSON", json.dumps({"role": "user", "content": ALL_OF_THEM})),
    "escapes": ("JSON", ESCAPED),
    "tool calls": ("JSON", json.dumps(CALL)),
    "parts and fields": ("JSON", json.dumps(PARTS)),
    "META": ("META", json.dumps({"note": ALL_OF_THEM, "data": ALL_OF_THEM}), "user", "Marigold"),
    "IDEMPOTENT": ("IDEMPOTENT", "a", "user", ALL_OF_THEM),
    "a large one": ("user", f"{ALL_OF_THEM} {'and so on ' * 10_000}{ALL_OF_THEM}"),
}


@pytest.mark.parametrize("words", APPENDS.values(), ids=APPENDS)
async def test_it_never_reaches_redis(
    client: redis.asyncio.Redis,
    direct: redis.asyncio.Redis,
    redis_of_its_own: RedisServer,
    sidecar: SidecarProcess,
    words: tuple[str, ...],
) -> None:
    """However a message is written: no command has what is forbidden, no key, no log line, no metric, no reply."""
    with watched(redis_of_its_own) as commands:
        await run(client, "MEMAPPEND", "private:one", *words)
        reads = [("MEMREAD", "private:one", "FORMAT", name) for name in ("RESP", "OPENAI", "ANTHROPIC")]
        replies = [repr(await run(client, *read)).encode() for read in reads]
    sent, kept = b"\n".join(commands), await everything_in(direct)
    assert CONTROL in sent
    assert CONTROL in kept
    assert CONTROL in replies[0]
    for place in (sent, kept, *replies, "\n".join(sidecar.tail()).encode(), (await page(sidecar)).encode()):
        assert found_in(place) == []


async def test_an_open_memory_keeps_all_of_it(
    client: redis.asyncio.Redis, direct: redis.asyncio.Redis, redis_of_its_own: RedisServer
) -> None:
    """Where nothing is forbidden everything is found with the same search, on the way and on Redis."""
    with watched(redis_of_its_own) as commands:
        await run(client, "MEMAPPEND", "open:one", *APPENDS["a pair"])
    for place in (b"\n".join(commands), await everything_in(direct)):
        assert found_in(place) == NEEDLES


async def test_replacements_and_counts(client: redis.asyncio.Redis, direct: redis.asyncio.Redis) -> None:
    """The stored text has the replacements and nothing else changed, and the tokens are those of that text."""
    reply = as_map(await run(client, "MEMAPPEND", "private:one", "user", ALL_OF_THEM, "assistant", "Marigold"))
    entries = await stored(direct, "private", "one")
    assert [entry.content for entry in entries] == [REDACTED, "Marigold"]
    assert reply["tokens"] == sum(entry.tokens for entry in entries) == recount(entries)
    written = as_map(await run(client, "MEMWRITE", "private:one", "user", ALL_OF_THEM))
    entries = await stored(direct, "private", "one")
    assert [entry.content for entry in entries] == [REDACTED]
    assert written["tokens"] == recount(entries)


async def test_metrics_count_by_kind(client: redis.asyncio.Redis, sidecar: SidecarProcess) -> None:
    """Each kind is counted as often as it was found; an append without any, and a repetition of none, count nothing."""
    before = await redactions(sidecar)
    await run(client, "MEMAPPEND", "private:one", "user", ALL_OF_THEM, "user", "Mail a@example.org and b@example.org")
    await run(client, "MEMAPPEND", "private:one", "user", "nothing here")
    await run(client, "MEMAPPEND", "open:one", "user", ALL_OF_THEM)
    after = await redactions(sidecar)
    assert after.keys() == SECRETS.keys()
    grown = {kind: count - before.get(kind, 0.0) for kind, count in after.items()}
    assert grown == {kind: 3.0 if kind == "email" else 1.0 for kind in SECRETS}


async def test_roles_that_are_not_kept(
    client: redis.asyncio.Redis, direct: redis.asyncio.Redis, redis_of_its_own: RedisServer
) -> None:
    """Messages of these roles are accepted and sent nowhere; the reply tells how many were stored."""
    result = json.dumps({"role": "tool", "tool_call_id": "c1", "content": "Chrysanthemum"})
    with watched(redis_of_its_own) as commands:
        mixed = as_map(await run(client, "MEMAPPEND", "private:one", "user", "Marigold", "tool", "Chrysanthemum"))
        alone = as_map(await run(client, "MEMAPPEND", "private:one", "JSON", result))
        written = as_map(await run(client, "MEMWRITE", "private:two", "tool", "Chrysanthemum", "user", "Marigold"))
    assert (mixed["appended"], mixed["messages"], mixed["first-id"]) == (1, 1, mixed["last-id"])
    assert (alone["appended"], alone["messages"], alone["first-id"], alone["last-id"]) == (0, 1, None, None)
    assert alone["tokens"] == mixed["tokens"] == recount(await stored(direct, "private", "one"))
    assert (written["appended"], written["messages"]) == (1, 1)
    for place in (b"\n".join(commands), await everything_in(direct)):
        assert CONTROL in place
        assert b"Chrysanthemum" not in place


async def test_refusals_tell_nothing(client: redis.asyncio.Redis, sidecar: SidecarProcess) -> None:
    """What is refused, for whatever reason, is neither in a log nor stored."""
    for words in (
        ("user", ALL_OF_THEM, "robot", ALL_OF_THEM),
        ("user", ALL_OF_THEM, "user"),
        ("JSON", json.dumps({"role": "user", "content": ALL_OF_THEM})[:-1]),
        ("JSON", json.dumps({"role": "user", "content": {"x": ALL_OF_THEM}})),
        ("LOCK", "nobody's", "user", ALL_OF_THEM),
    ):
        with pytest.raises(redis.exceptions.ResponseError) as refused:
            await run(client, "MEMAPPEND", "private:one", *words)
        if words[0] != "user":
            assert found_in(str(refused.value).encode()) == []
    assert found_in("\n".join(sidecar.tail()).encode()) == []
    assert as_map(await run(client, "MEMINFO", "private:one"))["messages"] == 0


async def test_what_is_made_of_it(client: redis.asyncio.Redis, direct: redis.asyncio.Redis) -> None:
    """Summaries and copies are made of what was stored, so it is not in them either."""
    for _ in range(30):
        await run(client, "MEMAPPEND", "private:one", "user", ALL_OF_THEM, "assistant", "Marigold: " + ALL_OF_THEM)
    flushed = as_map(await run(client, "MEMFLUSH", "private:one", "FORCE", "WAIT", "20000"))
    assert flushed["status"] == "done"
    assert as_map(await run(client, "MEMREAD", "private:one"))["summary"]
    await run(client, "MEMFORK", "private:one", "private:copy")
    kept = await everything_in(direct)
    assert CONTROL in kept
    assert found_in(kept) == []
