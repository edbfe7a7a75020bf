"""What a step raises, as the failure that Temporal gets to see: a type and a short reason, and nothing else.

Temporal keeps an error's text, its causes and their texts, and an error of a model's client may quote the
conversation. The counterparts are `activities`, whose every step runs inside `translated`, and `workflow`, which
decides by the types. The original goes to this worker's log only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from sidecar.errors import (
    FlushLocked,
    FlushRefused,
    RedisRefused,
    SummariserRefused,
    SummariserUnavailable,
    SummaryProblem,
    SummaryRejected,
    Unavailable,
    Uncertain,
    UnknownMemory,
)
from sidecar.temporal.messages import NO_SUMMARY, REFUSED, UNKNOWN_MEMORY

LEAST_LOCK_PAUSE_MS = 200
MOST_LOCK_PAUSE_MS = 5_000
"""Between two tries to commit while somebody holds the memory's lease: it may be released long before it runs out. The
least is doubled with each try, so that the workflow's twelve tries outlast 36 seconds of short leases that are renewed;
of long ones they outlast 55 seconds. Then the run fails, and the mark brings the next one."""

MOST_SUMMARISER_PAUSE_S = 45.0
"""However long a summariser asks to be left alone: the flush's own lease (60 s) is renewed before the pause and must
outlast it. What is not back after five tries is fallen back from."""

MOST_REJECTED_SUMMARIES = 3
"""Tries for a summary that is of use: each is a paid call, and a model that was wrong three times is wrong again."""

LOCKED = "FlushLocked"

NO_SUMMARY_REASON = "no-summary"
"""`FlushRefused.reason` of a fallback that rather keeps the messages."""

_log = structlog.get_logger(__name__)


@contextmanager
def translated() -> Iterator[None]:
    """Turn what a step raises into a failure. `from None`: a cause would travel too, with its text."""
    try:
        yield
    except FlushLocked as locked:
        raise _locked(locked) from None
    except FlushRefused as refused:
        raise _refused(refused) from None
    except SummaryProblem as trouble:
        raise _of_the_summariser(trouble) from None
    except UnknownMemory as unknown:
        text = f"{unknown}; this worker and the sidecar must have the same definitions"
        raise ApplicationError(text, type=UNKNOWN_MEMORY, non_retryable=True) from None
    except (Unavailable, Uncertain) as trouble:
        raise ApplicationError(trouble.logged, type=type(trouble).__name__) from None
    except RedisRefused as refused:
        _log.warning("flush.step_refused", error=refused.logged)
        # Only the first word: Redis quotes arguments of the command in some of its errors.
        word = refused.line.partition(" ")[0]
        raise ApplicationError(f"Redis answered {word}", type="RedisRefused") from None
    except Exception as bug:
        name = activity.info().activity_type
        _log.exception("flush.step_failed", step=name)
        raise ApplicationError("see the log of the worker for the reason", type=type(bug).__name__) from None


def _locked(locked: FlushLocked) -> ApplicationError:
    # Not the step's own back-off: the lease says when it is worth to look again.
    least = LEAST_LOCK_PAUSE_MS * 2 ** (activity.info().attempt - 1)
    pause = min(max(locked.left_ms, least), MOST_LOCK_PAUSE_MS)
    return ApplicationError(
        str(locked),
        type=LOCKED,
        category=ApplicationErrorCategory.BENIGN,
        next_retry_delay=timedelta(milliseconds=pause),
    )


def _refused(refused: FlushRefused) -> ApplicationError:
    if refused.reason == NO_SUMMARY_REASON:
        return ApplicationError(str(refused), type=NO_SUMMARY, non_retryable=True)
    return ApplicationError(str(refused), type=REFUSED, non_retryable=True, category=ApplicationErrorCategory.BENIGN)


def _of_the_summariser(trouble: SummaryProblem) -> ApplicationError:
    kind, attempt = type(trouble).__name__, activity.info().attempt
    delay = None
    if isinstance(trouble, SummariserUnavailable) and trouble.retry_after_s is not None:
        delay = timedelta(seconds=min(max(trouble.retry_after_s, 0.0), MOST_SUMMARISER_PAUSE_S))
    last = isinstance(trouble, SummaryRejected) and attempt >= MOST_REJECTED_SUMMARIES
    # Its text holds no content: the summarisers promise it, see `SummaryProblem`.
    return ApplicationError(
        str(trouble),
        type=kind,
        non_retryable=last or isinstance(trouble, SummariserRefused),
        next_retry_delay=delay,
    )
