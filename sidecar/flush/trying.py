"""How often the local engine asks for a summary before the flush goes on without one.

The counterpart is the retry policy of `sidecar.temporal.workflow`. Not here: a single try and the fallback, which are
steps. The memory is full of messages meanwhile, as it was before, and nothing is lost; only its flush comes later.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

from sidecar.errors import SummariserRefused, SummariserUnavailable, SummaryProblem, SummaryRejected
from sidecar.flush.steps import FlushSteps
from sidecar.flush.ticket import Ticket


@dataclass(frozen=True, slots=True)
class Patience:
    """With a summariser that does not answer, or answers with no summary.

    Args:
        tries: of a summariser that is unavailable; five with doubled pauses outlast a restart.
        rejected_tries: where the answer was no summary: a model may do better once, and is paid for each time.
        first_pause_s, longest_pause_s: between two tries, unless the summariser asks for more.
        total_s: of all pauses; one who asks for more than is left is not waited for. A flush in a pause keeps a slot.
    """

    tries: int = 5
    rejected_tries: int = 2
    first_pause_s: float = 1.0
    longest_pause_s: float = 15.0
    total_s: float = 60.0


async def summarise(steps: FlushSteps, ticket: Ticket, patience: Patience) -> None:
    """Stage a summary, or what the definition's fallback puts in its place.

    Raises:
        FlushRefused: the memory has moved on, or the fallback is to keep the messages.
    """
    waited_s, pause_s = 0.0, patience.first_pause_s
    unavailable, rejected = 0, 0
    while True:
        try:
            await steps.summarise(ticket, _no_sign)
            return
        except SummariserUnavailable as away:
            unavailable += 1
            wait_s = max(pause_s * random.uniform(0.8, 1.2), away.retry_after_s or 0.0)
            last: SummaryProblem = away
            if unavailable >= patience.tries or waited_s + wait_s > patience.total_s:
                break
            await asyncio.sleep(wait_s)
            waited_s, pause_s = waited_s + wait_s, min(pause_s * 2, patience.longest_pause_s)
        except SummaryRejected as bad:
            rejected += 1
            last = bad
            if rejected >= patience.rejected_tries:
                break
        except SummariserRefused as refused:
            last = refused
            break
    await steps.fall_back(ticket, str(last), _no_sign)


def _no_sign() -> None:
    """Give no sign of life: a task of the engine renews the lease beside the step."""
