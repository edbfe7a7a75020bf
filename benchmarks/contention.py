"""Many writers on one memory: how fast, how long the slowest wait, and whether Redis has every message afterwards.

A request that is refused ends the run, so a case that has figures had no failure. What other libraries make of it is
not measured here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from benchmarks.append import SCRIPT, by_script, by_sidecar, instance
from benchmarks.load import Sample
from benchmarks.rows import FEW_LOST, FEW_RATE, FEW_WRITERS, MANY_LOST, MANY_P99, MANY_WRITERS
from benchmarks.scenario import MEMSIDECAR, Case, Comparison, Contender, Figure
from benchmarks.stage import OwnMeter, Stage


def contention_cases(stage: Stage) -> Iterator[Case]:
    """Return a case of few writers, for the rate, and one of many, for the wait."""
    rate = Comparison(MEMSIDECAR, None, "rate", None, "value", FEW_RATE)
    yield _case(stage, FEW_WRITERS, rate, lambda lost: Figure("lost or doubled messages", lost, row=FEW_LOST))
    p99 = Comparison(MEMSIDECAR, None, "p99_ms", None, "value", MANY_P99)
    yield _case(stage, MANY_WRITERS, p99, lambda lost: Figure("lost or doubled messages", lost, row=MANY_LOST))


def _case(stage: Stage, writers: int, comparison: Comparison, figure: Callable[[list[float]], Figure]) -> Case:
    lost: list[float] = []
    return Case(
        scenario="contention",
        name=f"{writers} writers on one memory",
        parameters={"connections": writers, "pipeline": 1, "memories": 1},
        contenders=[
            Contender(SCRIPT, lambda: by_script(stage, 1, writers, 1)),
            Contender(MEMSIDECAR, lambda: AuditedMeter(stage, by_sidecar(stage, 1, writers, 1), lost)),
        ],
        comparisons=[Comparison(MEMSIDECAR, SCRIPT), comparison],
        prepare=stage.empty,
        figures=lambda: [figure(lost)],
    )


class AuditedMeter:
    """A meter of appends to one memory that looks afterwards how many messages its log has.

    Args:
        meter: of appends of one message each, to a memory that is empty before.
        lost: gets a number for each measurement: by how many the log differs from what was acknowledged.
    """

    def __init__(self, stage: Stage, meter: OwnMeter, lost: list[float]) -> None:
        self._stage = stage
        self._meter = meter
        self._lost = lost

    def measure(self, *, seconds: float, warm_up_s: float) -> Sample:
        """Return one measurement. Raises `client.LoadFailed`."""
        sample = self._meter.measure(seconds=seconds, warm_up_s=warm_up_s)
        assert sample.answered is not None, "our own generator tells"
        self._lost.append(abs(sample.answered - self._stage.log_length(instance(0))))
        return sample
