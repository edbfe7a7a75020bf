"""One flush on one memory, step by step and without the planner: the test says what goes."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress

from sidecar.errors import FlushRefused
from sidecar.flush.removal import Removal
from sidecar.flush.staging import StagedPlan, StagedRange, decode, encode
from sidecar.store.flush_store import FlushStore
from sidecar.store.flush_words import BeginReply, CommitReply, Deed, Limits
from sidecar.store.lease import Lease
from tests.flush.memories import LiveMemory, WordCounter

LEASE_MS = 60_000


class Flush:
    """One run on one memory, step by step."""

    def __init__(self, store: FlushStore, memory: LiveMemory, run_id: str = "a") -> None:
        self.store = store
        self.memory = memory
        self.run_id = run_id
        self.begun = BeginReply("")

    async def begin(self) -> Flush:
        self.begun = await self.store.begin(
            *self.memory.address, run_id=self.run_id, lease_ms=LEASE_MS, force=True, limits=self.memory.limits
        )
        assert self.begun.code == "begun"
        return self

    async def stage(self, gone: Collection[str], *, summarise: bool = False) -> Flush:
        """Plan to remove the messages with these ids."""
        messages = [message for message in await self.memory.messages() if message.id in gone]
        plan = StagedPlan(
            strategy="fifo",
            removed=len(messages),
            freed_tokens=sum(message.tokens for message in messages),
            summarise=summarise,
            reached=True,
            summary_budget=100,
            drift_messages=0,
            drift_tokens=0,
            ranges=ranges(await self.memory.ids(), gone),
        )
        code, _ = await self.store.stage_plan(self.lease, encode(plan))
        assert code == "staged"
        return self

    async def summary(self, text: str, tokens: int) -> None:
        assert await self.store.stage_summary(self.lease, text, tokens) == "staged"

    @property
    def lease(self) -> Lease:
        return self.memory.lease(self.run_id, self.begun.epoch, self.begun.fence)

    async def prepare(self) -> Deed:
        """Prepare what is staged, as the steps do; nothing where there is none."""
        work = await self.store.work(*self.memory.address, self.run_id)
        if work is not None:
            with suppress(FlushRefused):
                return await Removal(self.store.copies).prepare(
                    self.lease, decode(work.plan), self.memory.definition, WordCounter().count
                )
        return Deed("fifo", 0, 0, 0, 0, 0, False, "", "")

    async def commit(
        self,
        *,
        limits: Limits | None = None,
        ttl_ms: int | None = None,
        deed: Deed | None = None,
        undo_ttl_ms: int | None = None,
    ) -> CommitReply:
        return await self.store.commit(
            self.lease,
            deed or await self.prepare(),
            generation=self.begun.generation,
            begun_ms=self.begun.now_ms,
            limits=limits or self.memory.limits,
            ttl_ms=ttl_ms,
            undo_ttl_ms=undo_ttl_ms,
        )


def ranges(ids: list[str], gone: Collection[str]) -> list[StagedRange]:
    """Group the ids that go into ranges of neighbours; only one at the head has no ids."""
    found: list[StagedRange] = []
    run: list[str] = []
    for id_ in [*ids, ""]:
        if id_ in gone:
            run.append(id_)
        elif run:
            found.append(StagedRange(run[0], run[-1], len(run), None if run[0] == ids[0] else run))
            run = []
    return found
