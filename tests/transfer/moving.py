"""What the tests of exports and imports move, over a real Redis."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from redis.asyncio import Redis

from sidecar.app.transferring import no_template
from sidecar.app.users import redactor
from sidecar.memory.addressing import Addressing, Memory
from sidecar.memory.catalogue import Catalogue
from sidecar.memory.definition import Definition, FlushPolicy, PriorityBlock, PrivacyPolicy
from sidecar.memory.intake import Intake
from sidecar.memory.keys import KeySpace
from sidecar.store.incoming import Incoming
from sidecar.store.outgoing import Outgoing
from sidecar.tokens.counter import load_counter
from sidecar.transfer import jsonl
from sidecar.transfer.arriving import Imported
from sidecar.transfer.exporting import Export, Exported
from sidecar.transfer.importing import Import
from sidecar.transfer.progress import Silent
from sidecar.transfer.sources import Event

SPACE = KeySpace()
NOW_MS = 1_800_000_000_000

CHAT = Definition(id="chat", max_tokens=1_000, ttl_ms=3_600_000, flush=FlushPolicy(threshold=0.8))
DEFINITIONS = {
    definition.id: definition
    for definition in (
        CHAT,
        Definition(id="default"),
        Definition(id="old", encoding="cl100k_base"),
        Definition(id="frozen", mode="read-only"),
        Definition(id="small", max_tokens=None, max_messages=2, overflow="trim"),
        Definition(id="private", privacy=PrivacyPolicy(redact=("email",), do_not_persist=("tool",))),
        Definition(id="ranked", priority_blocks=(PriorityBlock("rules", "critical", keywords=("always",)),)),
    )
}
CATALOGUE = Catalogue(DEFINITIONS)


def memory(key: str) -> Memory:
    """Return the memory that a key names."""
    definition, _, instance = key.partition(":")
    return Memory(DEFINITIONS[definition], instance, SPACE.keys(definition, instance))


def lines(*records: Mapping[str, Any] | str) -> bytes:
    """Return an export's bytes; texts stand as they are."""
    return b"".join((record if isinstance(record, str) else json.dumps(record)).encode() + b"\n" for record in records)


def begun(key: str, **more: Any) -> dict[str, Any]:
    return {"type": "memory", "key": key, **more}


def said(role: str = "user", content: Any = "hello", *, id: str = "", pinned: bool = False, **fields: Any) -> Any:
    record: dict[str, Any] = {"type": "message", "message": {"role": role, "content": content, **fields}}
    if id:
        record["id"] = id
    return record | ({"pinned": True} if pinned else {})


def ended(messages: int) -> dict[str, Any]:
    return {"type": "end", "messages": messages}


def talk(key: str, count: int, *, first: int = 1) -> bytes:
    """Return an export of one memory with plain messages."""
    messages = (said(content=f"word {n}", id=f"{n}-0") for n in range(first, first + count))
    return lines(begun(key), *messages, ended(count))


def work(redis: Redis | None) -> Import:
    """Return an import; without a Redis one that only checks."""
    return Import(
        incoming=None if redis is None else Incoming(redis),
        addressing=Addressing(CATALOGUE, SPACE, no_template),
        catalogue=CATALOGUE,
        intake=lambda where: Intake(where.definition, redactor(where.definition.privacy)),
        counter=load_counter,
        now_ms=NOW_MS,
        progress=Silent(),
    )


def read(data: bytes, *, patterns: Sequence[bytes] = (b"*",), definition: str | None = None) -> AsyncIterator[Event]:
    """Return what an export's bytes give."""
    return jsonl.events(
        io.BytesIO(data), "x.jsonl", patterns=list(patterns), definition=definition, read=lambda _: None
    )


async def bring(redis: Redis | None, data: bytes, **options: Any) -> Imported:
    """Import an export's bytes."""
    return await work(redis).run(read(data, **options))


async def export(redis: Redis, *patterns: bytes) -> tuple[list[dict[str, Any]], Exported]:
    """Export, and return the records and what was counted."""
    outgoing, written = Outgoing(redis, SPACE), io.BytesIO()
    names = await outgoing.names(list(patterns) or [b"*"])
    done = await Export(
        outgoing=outgoing, space=SPACE, definitions=DEFINITIONS, write=written.write, progress=Silent()
    ).run(names)
    return [json.loads(line) for line in written.getvalue().splitlines()], done


async def content(redis: Redis, key: str) -> tuple[Any, ...]:
    """Return log, kept ids, and what of the meta belongs to the content."""
    keys = memory(key).keys
    meta: Any = await redis.hgetall(keys.meta)
    names = ("messages", "tokens", "kept_messages", "kept_tokens", "encoding", "summary", "summary_tokens")
    facts = {name: meta.get(name.encode()) for name in (*names, "summary_first", "summary_last", "summary_messages")}
    return await redis.xrange(keys.log), await redis.zrange(keys.keep, 0, -1, withscores=True), facts
