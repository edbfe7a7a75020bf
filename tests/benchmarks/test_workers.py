"""A sidecar with workers is measured as one."""

from __future__ import annotations

from benchmarks.client import GENERATOR
from benchmarks.scenario import MEMSIDECAR
from benchmarks.stage import REDIS, Stage
from benchmarks.workers import CONNECTIONS, SummedMeter, _workers, workers_cases


def test_all_processes_count() -> None:
    """Its contenders are the sidecar and one with two workers, whose CPU times are added up under one name."""
    with Stage() as stage:
        case = next(iter(workers_cases(stage)))
        one, two = [contender.ready() for contender in case.contenders]
        assert isinstance(one, SummedMeter)
        assert isinstance(two, SummedMeter)
        assert (len(one._processes), len(two._processes)) == (1, 3)
        assert _workers(stage.sidecar) == []
        for meter in (one, two):
            case.prepare()
            sample = meter.measure(seconds=0.05, warm_up_s=0.01)
            assert sample.requests >= CONNECTIONS
            assert sample.cpu_s.keys() <= {GENERATOR, MEMSIDECAR, REDIS}
