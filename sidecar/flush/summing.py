"""The summary of one flush: picks who makes it, lets it go on where an earlier try stopped, and judges the result.

The counterpart is `steps`, which knows what is summed up and where it is staged. Not here: tries and pauses (the
engines), and what happens without a summary (`steps.fall_back`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any

import structlog

from sidecar.errors import MemsidecarError, SummariserRefused, SummariserUnavailable, SummaryProblem
from sidecar.flush.summarisers.verdict import accept, something_said
from sidecar.memory.definition import EXTRACTIVE
from sidecar.memory.ports import Partial, ResumableSummariser, Summariser
from sidecar.memory.stored_message import StoredMessage
from sidecar.metrics import Metrics

_log = structlog.get_logger(__name__)

Keep = Callable[[Partial], Awaitable[None]]
"""Lays aside how far a summary has come."""


class Summing:
    """Makes summaries with the summarisers in force.

    Args:
        usual: the summariser of the name `extractive`.
        others: all others, by name; looked up anew for each summary, because a reload replaces them.
        metrics: counts what fails, and what models report; None counts nothing.
    """

    def __init__(self, usual: Summariser, others: Mapping[str, Summariser], metrics: Metrics | None) -> None:
        self._usual = usual
        self._others = others
        self._metrics = metrics

    async def make(
        self,
        name: str,
        earlier: str,
        messages: Sequence[StoredMessage],
        *,
        budget: int,
        count: Callable[[str], int],
        partial: Partial,
        keep: Keep,
    ) -> str:
        """Return an accepted summary.

        Args:
            name: of the summariser.
            earlier, messages, budget, count: as in `Summariser.summarise`.
            partial: how far an earlier try came.
            keep: is awaited after each part of a summariser that works in parts.

        Raises:
            SummaryProblem: there is none.
            MemsidecarError: of `keep`.
        """
        ours = True
        try:
            summariser = self._pick(name)
            ours = type(summariser).__module__.startswith("sidecar.")
            if isinstance(summariser, ResumableSummariser):
                work = _Work(name, partial, keep, self._metrics)
                text = await _unharmed(summariser.resume(earlier, messages, budget, count, work))
            else:
                text = await _unharmed(summariser.summarise(earlier, messages, budget, count))
            accept(text, something_said(earlier, messages), budget, count)
        except SummaryProblem as problem:
            # Of another's summariser only the kind of trouble is shown: whatever it promises, its text may quote.
            _log.warning("summary.failed", summariser=name, error=str(problem) if ours else problem.logged)
            if self._metrics is not None:
                self._metrics.summary_failed(problem.reason)
            raise
        return text

    def _pick(self, name: str) -> Summariser:
        if name == EXTRACTIVE:
            return self._usual
        if name not in self._others:
            # The loader refuses such a definition; a worker with other files may get here.
            raise SummariserRefused(f"there is no summariser '{name}' here")
        return self._others[name]


async def _unharmed(making: Coroutine[Any, Any, str]) -> str:
    """Await a summariser. A bug in one, which may be another's code, must not stop the flushes for good: it counts as
    trouble that may pass, and after the last try there is the fallback.
    """
    try:
        return await making
    except MemsidecarError:
        raise
    except Exception as bug:
        # The type only: its text may hold a message's.
        _log.exception("summariser.failed")
        raise SummariserUnavailable(why=f"internal error: {type(bug).__name__}") from None


class _Work:
    """The port `PartialWork`."""

    def __init__(self, summariser: str, partial: Partial, keep: Keep, metrics: Metrics | None) -> None:
        self._summariser = summariser
        self.partial = partial
        self._keep = keep
        self._metrics = metrics

    async def keep(self, partial: Partial) -> None:
        await self._keep(partial)
        self.partial = partial

    def spent(self, tokens_in: int, tokens_out: int) -> None:
        if self._metrics is not None:
            self._metrics.model_called(self._summariser, tokens_in, tokens_out)
