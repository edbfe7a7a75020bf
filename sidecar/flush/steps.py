"""The steps of one flush: begin, plan, summarise, commit; or fail.

Both engines run these, in this order, each step possibly in another process and possibly more than once. What
makes that safe: begin hands out a fence and the id of the newest message; plan and summary wait on Redis
under that fence; the commit removes exactly the planned ids if epoch and fence still hold. Nothing is changed
before the commit, so a flush may break off anywhere.

The counterpart is `store.flush_store`. Not here: who starts a flush (`dispatcher`), renews its lease and
tries again (the engines), what goes (`memory.plan`) and how it is summed up (a `Summariser`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress

import structlog

from sidecar.errors import FlushLocked, FlushRefused, SummaryRejected, UnknownMemory
from sidecar.flush.labour import Labour, OwnLabour
from sidecar.flush.planning import strategy_of
from sidecar.flush.summarisers.extractive import ExtractiveSummariser
from sidecar.flush.summing import Summing
from sidecar.flush.ticket import Begun, PlanFacts, Ticket
from sidecar.memory.definition import Definition
from sidecar.memory.label import label
from sidecar.memory.ports import FlushOrder, FlushOutcome, Summariser, TextCounter
from sidecar.memory.tracing import in_trace
from sidecar.metrics import Metrics
from sidecar.store.flush_store import FlushStore
from sidecar.store.flush_words import Limits as Thresholds
from sidecar.store.flush_words import Record
from sidecar.store.lease import LEASE_MS

LONGEST_ERROR = 500
"""Characters of an error that are kept in `meta`: enough for a reason, too few for a whole message's text."""

_log = structlog.get_logger(__name__)


class FlushSteps:
    """The steps over one store.

    Every step raises `UnknownMemory` where the definition is not among `definitions`, and `RedisRefused`,
    `Unavailable` or `Uncertain` where Redis does not do its part; after those it may be called again.

    Args:
        store: where the memories are.
        definitions: by id.
        counter: gives the counter of an encoding.
        summariser: makes the summaries of definitions that name no other: the built-in one, `extractive`.
        summarisers: the others, by name; a mapping that a reload may change.
        lease_ms: how long a run counts as alive without `renew`.
        metrics: counts the flushes that end; None counts nothing.
        deputise: returns who does the work in place of our own labour; None: nobody.
    """

    def __init__(
        self,
        *,
        store: FlushStore,
        definitions: Mapping[str, Definition],
        counter: Callable[[str], TextCounter],
        summariser: Summariser,
        summarisers: Mapping[str, Summariser] | None = None,
        lease_ms: int = LEASE_MS,
        metrics: Metrics | None = None,
        deputise: Callable[[OwnLabour], Labour] | None = None,
    ) -> None:
        self.lease_ms = lease_ms
        self._store = store
        self._definitions = definitions
        self._own = OwnLabour(
            store=store,
            counter=counter,
            summing=Summing(summariser, {} if summarisers is None else summarisers, metrics),
            # What does without models and options, whatever the usual one is.
            last_resort=Summing(ExtractiveSummariser(), {}, None),
            lease_ms=lease_ms,
        )
        self._labour: Labour = self._own if deputise is None else deputise(self._own)
        self._metrics = metrics

    async def begin(
        self,
        definition: str,
        instance: str,
        *,
        run_id: str,
        force: bool,
        strategy: str = "",
        target_tokens: int | None = None,
        trace: str = "",
    ) -> Begun:
        """Ask for the right to flush. O(1).

        Args:
            definition, instance: which memory.
            run_id: who asks; the same again when a begin is repeated, never again for a new flush.
            force: flush below the threshold too.
            strategy, target_tokens, trace: as in `ports.FlushOrder`.
        """
        known = self._definition(definition)
        reply = await self._store.begin(
            definition,
            instance,
            run_id=run_id,
            lease_ms=self.lease_ms,
            force=force,
            limits=_thresholds(known),
            target_tokens=target_tokens,
        )
        if reply.code == "begun":
            ticket = Ticket(
                definition=definition,
                instance=instance,
                run_id=run_id,
                strategy=strategy_of(known, strategy),
                force=force,
                epoch=reply.epoch,
                fence=reply.fence,
                generation=reply.generation,
                last_id=reply.last_id,
                messages=reply.messages,
                tokens=reply.tokens,
                summary_tokens=reply.summary_tokens,
                begun_ms=reply.now_ms,
                target_tokens=target_tokens,
                trace=trace,
            )
            return Begun("begun", run_id, ticket=ticket)
        if reply.code == "joined":
            return Begun("joined", reply.holder)
        if reply.record is not None:
            return Begun("done", run_id, outcome=_outcome(reply.record))
        idle = FlushOutcome("not-due", run_id, messages=reply.messages, tokens=reply.tokens)
        return Begun("not-due", run_id, outcome=idle)

    async def plan(self, ticket: Ticket) -> PlanFacts:
        """Decide what goes, and stage it. O(n) for the n messages of the snapshot, without their texts.

        Holds the facts of all of them, about 250 bytes each. Repeated, it leaves the first plan as it is.

        Raises:
            FlushRefused: the memory has moved on.
        """
        return await self._labour.plan(ticket, self._definition(ticket.definition))

    async def summarise(self, ticket: Ticket, progress: Callable[[], None]) -> int:
        """Make the summary of what the plan removes, and stage it. Returns its tokens as a message.

        Holds the texts of all messages that go, because a summary weighs them against each other: the removed
        share of the memory in bytes. Repeated after it has succeeded, it does nothing; after it has not, a summariser
        that works in parts goes on from the last one.

        Args:
            ticket: of a flush whose plan says `summarise`.
            progress: is called after every page read, every part of a summary, and the summary: a sign of life.

        Raises:
            FlushRefused: the memory has moved on, or the plan has expired.
            SummaryProblem: there is no summary. Try again where its kind says so; after that, `fall_back`.
        """
        known = self._definition(ticket.definition)
        return await self._labour.summarise(ticket, known, progress, fallback=False)

    async def fall_back(self, ticket: Ticket, reason: str, progress: Callable[[], None]) -> int:
        """Do what the definition says for a flush without a summary; for an engine whose last try has failed.

        Returns the tokens of what is staged, as a message. Repeated, or after a summary was staged all the same, it
        does nothing more.

        Args:
            ticket: of a flush whose plan says `summarise`.
            reason: why there is none, without any text of the conversation; it goes to the log.
            progress: as in `summarise`.

        Raises:
            FlushRefused: as `summarise`, and with `no-summary` where the definition would rather keep the messages.
        """
        known = self._definition(ticket.definition)
        fallback = known.flush.fallback
        staged = (await self._own.work(ticket)).summary_tokens
        if staged is not None:
            return staged
        # Why is in the lines before: here it may have come through Temporal, from whatever a summariser raised.
        _log.warning(
            "flush.fell_back",
            memory=label(ticket.definition, ticket.instance),
            fallback=fallback,
            **in_trace(ticket.trace),
        )
        if self._metrics is not None:
            self._metrics.fell_back(fallback)
        if fallback == "keep":
            raise FlushRefused("no-summary")
        if fallback == "extractive":
            with suppress(SummaryRejected):  # not one word fits the budget: there is nothing better than to drop
                return await self._labour.summarise(ticket, known, progress, fallback=True)
        earlier = await self._store.summary(ticket.definition, ticket.instance)
        # An empty one would delete it at the commit.
        return await self._own.stage_summary(ticket, known, earlier)

    async def commit(self, ticket: Ticket) -> FlushOutcome:
        """Carry the staged plan out, at once and completely. Repeated, it returns what it did the first time.

        Prepares it first, see `removal`: O(removed), of a plan that takes much O(n), in pieces of a millisecond; the
        script at the end holds Redis for two at most. A plan that removes nothing is committed too: the mark
        and the record of the last flush depend on it.

        Raises:
            FlushRefused: the memory has moved on, or plan or summary have expired. Nothing was changed.
            FlushLocked: somebody holds the lease on the memory. Nothing was changed; try again.
        """
        known = self._definition(ticket.definition)
        deed = await self._labour.prepare(ticket, known)
        while True:
            reply = await self._store.commit(
                self._own.lease(ticket),
                deed,
                generation=ticket.generation,
                begun_ms=ticket.begun_ms,
                limits=_thresholds(known),
                ttl_ms=known.ttl_after_flush_ms or known.ttl_ms,
                undo_ttl_ms=known.flush.undo_ttl_ms,
            )
            if reply.code != "behind":
                break
            deed = await self._own.catch_up(ticket, deed)
        if reply.code == "locked":
            raise FlushLocked(reply.left_ms)
        if reply.record is None:
            raise FlushRefused(reply.code)
        outcome = _outcome(reply.record)
        if reply.code == "committed":
            self._count(outcome)
        return outcome

    async def fail(self, ticket: Ticket, error: str) -> None:
        """Give the flush up. The memory and its mark stay, so it is tried again. O(1).

        Args:
            ticket: of the flush. If it is no longer the running one, nothing happens.
            error: what went wrong; the start of it is kept in one line, for MEMINFO.
        """
        text = " ".join(error.split())[:LONGEST_ERROR]
        duration_ms = await self._store.fail(
            self._own.lease(ticket), begun_ms=ticket.begun_ms, strategy=ticket.strategy, error=text
        )
        if duration_ms is not None:
            self._count(FlushOutcome("failed", strategy=ticket.strategy, duration_ms=duration_ms))

    async def renew(self, ticket: Ticket) -> None:
        """Give a sign of life: extend the lease to `lease_ms` from now. O(1).

        Raises:
            FlushRefused: the flush was overtaken or given up, or the memory cleared. Go no further.
        """
        if not await self._store.renew(self._own.lease(ticket), self.lease_ms):
            raise FlushRefused("stale-fence")

    async def outcome_of(self, definition: str, instance: str, run_id: str) -> FlushOutcome | None:
        """Return how a run of another process ended; None while it runs.

        When a later flush has ended since, its outcome is returned: it covers the earlier one's messages. A
        run whose lease has run out has failed; its process went away.
        """
        now = await self._store.running(definition, instance)
        if now.holder == run_id and not now.expired:
            return None
        if now.holder == run_id or not now.record.status:
            lost = "the process that ran this flush went away, or the memory was cleared"
            return FlushOutcome("failed", run_id, error=lost)
        return _outcome(now.record)

    async def preview(self, order: FlushOrder) -> FlushOutcome:
        """Tell what a flush would do now; see `ports.FlushPreview`. O(n), and changes nothing."""
        return await self._labour.preview(order, self._definition(order.definition))

    async def reachable(self) -> bool:
        """Tell whether Redis answers now."""
        return await self._store.reachable()

    def _definition(self, definition: str) -> Definition:
        known = self._definitions.get(definition)
        if known is None:
            raise UnknownMemory.definition(definition, sorted(self._definitions))
        return known

    def _count(self, outcome: FlushOutcome) -> None:
        if self._metrics is not None:
            self._metrics.run(
                outcome.strategy,
                outcome.status,
                outcome.removed,
                outcome.tokens_freed,
                outcome.summary_tokens,
                outcome.duration_ms / 1000,
            )


def _thresholds(definition: Definition) -> Thresholds:
    return Thresholds(definition.threshold_tokens, definition.threshold_messages)


def _outcome(record: Record) -> FlushOutcome:
    return FlushOutcome(
        status="done" if record.status == "done" else "failed",
        run_id=record.run_id,
        strategy=record.strategy,
        removed=record.removed,
        messages=record.messages,
        tokens=record.tokens,
        tokens_freed=record.freed_tokens,
        summary_tokens=record.summary_tokens,
        shortened=record.shortened,
        duration_ms=record.duration_ms,
        error=record.error,
        again=record.again,
    )
