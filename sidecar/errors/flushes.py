"""What keeps a flush from being started, or from being carried through; no client sees one of these."""

from __future__ import annotations

from sidecar.errors.root import MemsidecarError


class EngineUnavailable(MemsidecarError):
    """The flush engine cannot be reached. The mark stays in the outbox, so the flush comes later by itself.

    Args:
        text: what happened.
        logged: what of that a log may show; None: all of it.
    """

    def __init__(self, text: str, logged: str | None = None) -> None:
        super().__init__(text)
        self._logged = logged


class FlushRefused(MemsidecarError):
    """A flush step found that the memory has moved on (cleared, or another flush took over).

    `reason` is `stale-epoch` (the content was replaced), `stale-fence` (a later flush began, or messages were deleted),
    `lost-plan` (the staged plan has expired), `stale-plan` (a message of it was pinned, or somebody edited the stream
    itself), `no-summary` (none could be made, and the definition's fallback is `keep`) or `undo-busy` (somebody else
    undoes a flush of it). Nothing was changed.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"the flush was refused: {reason}; the memory is unchanged")
        self.reason = reason


class FlushLocked(MemsidecarError):
    """Somebody holds the lease on the memory: a commit must wait. Nothing was changed, and it may be tried again."""

    def __init__(self, left_ms: int) -> None:
        super().__init__(f"somebody holds the lock of the memory for {left_ms} ms more; the flush is tried again")
        self.left_ms = left_ms


class DeputyLost(MemsidecarError):
    """The process that does the work of large flushes for a sidecar ended in the middle. Nothing was changed."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the process that worked on the flush was lost ({why}); the memory is unchanged")
        self.why = why


class DeputyMissing(MemsidecarError):
    """No process could be started for large flushes; whoever gets this does the work itself."""

    def __init__(self, why: str) -> None:
        super().__init__(f"large flushes have no process of their own ({why}); appends are slower while one runs")
        self.why = why


class SummaryProblem(MemsidecarError):
    """There is no summary. The text never holds what was to be summarised, nor an answer, nor a key.

    `reason` is one of few words, for metrics.
    """

    reason: str = "unavailable"

    @property
    def logged(self) -> str:
        """Its kind: a summariser may be another's code, and its text hold more than it should."""
        return f"{type(self).__name__}: {self.reason}"


class SummariserUnavailable(SummaryProblem):
    """The summariser did not answer, or had too much to do: the same request may succeed later.

    Args:
        retry_after_s: seconds after which it asked to be asked again; None: it did not say.
        why: what happened, in our words.
    """

    def __init__(self, retry_after_s: float | None = None, why: str = "it did not answer") -> None:
        when = "" if retry_after_s is None else f"; it asks for {retry_after_s:g} s of patience"
        super().__init__(f"the summariser is unavailable: {why}{when}")
        self.retry_after_s = retry_after_s


class SummariserRefused(SummaryProblem):
    """The summariser will not take the request: a key, a name of a model, a parameter. Asking again is of no use."""

    reason = "refused"

    def __init__(self, why: str) -> None:
        super().__init__(f"the summariser refused: {why}; check its options in the definitions")


class SummaryRejected(SummaryProblem):
    """What the summariser returned is no summary.

    `reason` is `empty`, `truncated`, `refusal` (it says that it cannot), `error` (an error page or object in place of
    a text) or `over-budget`.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"the summary was rejected: {reason}; nothing is removed for it")
        self.reason = reason
