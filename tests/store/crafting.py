"""Memories with ids and contents of the test's choice, and what a read of one comes to, for the model of reads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import count

from redis.asyncio import Redis

from sidecar.memory.addressing import Memory
from sidecar.memory.definition import Definition
from sidecar.memory.requests import ReadRequest
from sidecar.memory.results import ReadResult
from tests.store.live import ENDLESS, LiveStore, change, memory
from tests.store.model import Answer, Id, Question, Stored

_instances = count()


async def craft(
    redis: Redis, log: Sequence[Stored], summary_tokens: int = 0, definition: Definition = ENDLESS
) -> Memory:
    """Write a memory as append.lua does, with ids of the test's choice."""
    where = memory(definition, f"crafted-{next(_instances)}")
    async with redis.pipeline() as pipeline:
        for message in log:
            id_ = shown(message.id)
            entry: dict[str, str] = {"r": message.role, "c": id_, "n": str(message.tokens)}
            if message.calls:
                entry["x"] = json.dumps({"tool_calls": [_call(call) for call in message.calls]}, separators=(",", ":"))
            elif message.answers is not None:
                entry["x"] = json.dumps({"tool_call_id": message.answers}, separators=(",", ":"))
            if message.kind:
                entry["k"] = message.kind
            pipeline.xadd(where.keys.log, entry, id=id_)  # type: ignore[arg-type] # its types take no dict of str
            if message.kept:
                pipeline.zadd(where.keys.keep, {id_: message.id[0]})
        totals: dict[str, str | int] = {"messages": len(log), "tokens": sum(message.tokens for message in log)}
        if summary_tokens:
            totals |= {"summary": "what was said", "summary_tokens": summary_tokens}
        await pipeline.execute()
    await change(redis, where, totals)
    return where


def _call(id_: str) -> dict[str, object]:
    return {"id": id_, "type": "function", "function": {"name": "f", "arguments": "{}"}}


def shown(id_: Id) -> str:
    return f"{id_[0]}-{id_[1]}"


def numbered(*weights: int, role: str = "user") -> list[Stored]:
    """Messages of the given weights, all of one millisecond."""
    return [Stored((5, sequence), role, weight) for sequence, weight in enumerate(weights)]


async def ask(live: LiveStore, where: Memory, question: Question) -> ReadResult:
    """Read as a question says."""
    request = ReadRequest(
        where,
        tokens=question.tokens,
        count=question.most,
        since=None if question.since is None else shown(question.since),
        before=None if question.before is None else shown(question.before),
        roles=question.roles,
        with_summary=question.with_summary,
        touch=False,
    )
    return (await live.find(request)).result


def facts(result: ReadResult) -> Answer:
    """Reduce a result to what the model knows."""
    ids: list[Id] = []
    for message in result.messages:
        ms, sequence = message.id.split("-")
        ids.append((int(ms), int(sequence)))
        assert message.content == message.id
    return Answer(result.summary_tokens if result.summary else 0, ids, result.more, result.left_out)
