"""Keeps account of every message: what was acknowledged, and where it is now.

A message is either in its memory's log, or it was below what a committed flush has removed, for which the summary
stands. The log is read from Redis itself and once more through memsidecar, as an agent does.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import redis.asyncio

from sidecar.memory.keys import SHARDS, KeySpace

SYSTEM = "system"
"""Role of the message at the head of each memory, which no flush may remove."""


@dataclass(slots=True)
class Account:
    """One memory.

    Args:
        acknowledged: ids of all messages that were answered for, in the order of the answers.
        protected: those among them that must stay.
    """

    acknowledged: list[str] = field(default_factory=list)
    protected: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Audit:
    """What became of all messages.

    Args:
        appended: messages that were acknowledged.
        stored: those that are in a log.
        summarised: those that committed flushes removed, by the memories' own record.
        problems: every contradiction that was found, in words.
    """

    appended: int
    stored: int
    summarised: int
    problems: list[str]


class Accounts:
    """The accounts of some memories.

    Args:
        space: where they lie on Redis.
    """

    def __init__(self, space: KeySpace) -> None:
        self._space = space
        self._accounts: defaultdict[str, Account] = defaultdict(Account)

    @property
    def memories(self) -> list[str]:
        """Their names, `definition:instance`."""
        return list(self._accounts)

    def acknowledge(self, memory: str, *ids: str, protected: bool = False) -> None:
        """Note what an append has answered."""
        account = self._accounts[memory]
        account.acknowledged += ids
        if protected:
            account.protected.update(ids)

    async def marks(self, client: redis.asyncio.Redis) -> int:
        """Return how many memories wait for a flush; `client` is Redis's."""
        async with client.pipeline(transaction=False) as pipe:
            for shard in range(SHARDS):
                pipe.zcard(self._space.outbox(shard))
            return sum(await pipe.execute())

    async def flushes_under_way(self, client: redis.asyncio.Redis) -> int:
        """Return how many memories are being flushed; `client` is Redis's."""
        async with client.pipeline(transaction=False) as pipe:
            for memory in self._accounts:
                pipe.hexists(self._space.keys(*memory.split(":", 1)).meta, "flush_run")
            return sum(await pipe.execute())

    async def audit(self, direct: redis.asyncio.Redis, sidecar: redis.asyncio.Redis) -> Audit:
        """Compare all accounts with what there is. Nothing may be appended or flushed meanwhile.

        Args:
            direct: a client of Redis.
            sidecar: a client of memsidecar. Both answer text (`decode_responses=True`), in RESP3.
        """
        stored = summarised = 0
        problems: list[str] = []
        for memory, account in self._accounts.items():
            keys = self._space.keys(*memory.split(":", 1))
            entries: Any = await direct.xrange(keys.log)
            meta: Any = await direct.hgetall(keys.meta)
            seen = await _read(sidecar, memory)
            problems += [f"{memory}: {problem}" for problem in _contradictions(account, entries, meta, seen)]
            stored += len(entries)
            summarised += int(meta.get("summary_messages", 0))
        appended = sum(len(account.acknowledged) for account in self._accounts.values())
        return Audit(appended, stored, summarised, problems)


async def _read(sidecar: redis.asyncio.Redis, memory: str) -> tuple[list[str], bool]:
    """Return the ids that MEMREAD gives, and whether it gives a summary."""
    reply: Any = await sidecar.execute_command("MEMREAD", memory, "PEEK")  # type: ignore[no-untyped-call]
    return [message["id"] for message in reply["messages"]], bool(reply["summary"])


def _contradictions(
    account: Account, entries: list[tuple[str, dict[str, str]]], meta: dict[str, str], seen: tuple[list[str], bool]
) -> list[str]:
    """Return what does not fit together in one memory."""
    log = [id_ for id_, _ in entries]
    acknowledged, here = set(account.acknowledged), set(log)
    gone = acknowledged - here
    summarised = int(meta.get("summary_messages", 0))
    first, last = meta.get("summary_first", ""), meta.get("summary_last", "")
    outside = sorted(id_ for id_ in gone if not summarised or not _key(first) <= _key(id_) <= _key(last))
    tokens = sum(int(fields["n"]) for _, fields in entries)
    checks = {
        f"{len(account.acknowledged) - len(acknowledged)} ids were given out twice": len(acknowledged)
        == len(account.acknowledged),
        f"{len(outside)} acknowledged messages are lost, the first one is {outside[:1]}": not outside,
        f"{len(gone)} messages are gone, and flushes removed {summarised}": len(gone) == summarised,
        f"{len(here - acknowledged)} messages in the log were never acknowledged": here <= acknowledged,
        "a system message was removed": account.protected <= here,
        f"the record says {meta.get('messages')} messages, the log has {len(log)}": int(meta.get("messages", -1))
        == len(log),
        f"the record says {meta.get('tokens')} tokens, the log has {tokens}": int(meta.get("tokens", -1)) == tokens,
        f"MEMREAD gives {len(seen[0])} messages, the log has {len(log)}": seen[0] == log,
        "messages were removed, and there is no summary": seen[1] or not summarised,
    }
    return [problem for problem, holds in checks.items() if not holds]


def _key(id_: str) -> tuple[int, int]:
    """Return a stream id as something that sorts as Redis does."""
    milliseconds, _, sequence = id_.partition("-")
    return int(milliseconds), int(sequence)
