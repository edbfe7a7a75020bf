"""Several cores: the same work for a sidecar of one process and for one with workers, on one Redis.

What workers can bring depends on the cores that are left for them: Redis, the load generator and the workers share the
machine. So the CPU time per request is to be looked at first, which must not grow with workers (it is that of all of
them and their supervisor); a rate says something only where there are more cores than busy processes.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache

from benchmarks.conversation import messages
from benchmarks.load import Load, Sample, deal, pack
from benchmarks.scenario import MEMSIDECAR, Case, Comparison, Contender
from benchmarks.stage import DEFINITION, REDIS, OwnMeter, Stage
from sidecar.dev.servers import SidecarProcess

CONNECTIONS = 50
REQUESTS = 8_000
"""Different requests before the circle begins anew, as in `append`."""

MEMORIES = 1_000
KEYS = 800

WORKERS = 2
_MORE = f"{MEMSIDECAR}, {WORKERS} workers"

_WORK = (("MEMAPPEND", 1), ("MEMAPPEND", 16), ("SET", 1), ("SET", 16))


def workers_cases(stage: Stage) -> Iterator[Case]:
    """Return the cases. The sidecar with workers starts when the first one's turn comes, and stays."""

    @cache
    def many() -> SidecarProcess:
        return stage.start_sidecar(workers=WORKERS)

    for command, pipeline in _WORK:
        yield _case(stage, command, pipeline, many)


def _case(stage: Stage, command: str, pipeline: int, many: Callable[[], SidecarProcess]) -> Case:
    requests = deal(_requests(command), connections=CONNECTIONS)

    def meter(sidecar: SidecarProcess) -> SummedMeter:
        return SummedMeter(stage, sidecar, pipeline, requests)

    return Case(
        scenario="workers",
        name=f"{command}, {CONNECTIONS} connections, pipeline {pipeline}",
        parameters={"command": command, "connections": CONNECTIONS, "pipeline": pipeline, "workers": WORKERS},
        contenders=[
            Contender(MEMSIDECAR, lambda: meter(stage.sidecar)),
            Contender(_MORE, lambda: meter(many())),
        ],
        comparisons=[Comparison(_MORE, MEMSIDECAR)],
        prepare=stage.empty,
    )


def _requests(command: str) -> list[bytes]:
    if command == "SET":
        return [pack(command, f"benchmark:{number:04}", text) for number, text in enumerate(messages(KEYS))]
    return [
        pack(command, f"{DEFINITION}:{number % MEMORIES:06}", "user", text)
        for number, text in enumerate(messages(REQUESTS))
    ]


class SummedMeter:
    """Measures a sidecar with all of its processes as one.

    Args:
        stage: has the generator, and Redis.
        sidecar: what is measured.
        pipeline: see `Load`.
        requests: see `Load`.
    """

    def __init__(
        self, stage: Stage, sidecar: SidecarProcess, pipeline: int, requests: Sequence[Sequence[bytes]]
    ) -> None:
        self._processes = {str(pid): pid for pid in (sidecar.pid, *_workers(sidecar))}
        watched = {REDIS: stage.redis_server.pid, **self._processes}
        self._meter = OwnMeter(stage.generator, Load(sidecar.port, pipeline, requests, watched))

    def measure(self, *, seconds: float, warm_up_s: float) -> Sample:
        """Return one measurement. Raises `client.LoadFailed`."""
        sample = self._meter.measure(seconds=seconds, warm_up_s=warm_up_s)
        others = {name: spent for name, spent in sample.cpu_s.items() if name not in self._processes}
        ours = [sample.cpu_s[name] for name in self._processes if name in sample.cpu_s]
        return replace(sample, cpu_s={**others, MEMSIDECAR: sum(ours)} if ours else others)


def _workers(sidecar: SidecarProcess) -> list[int]:
    """Return the processes of its workers; none, where it is one process."""
    try:
        with urllib.request.urlopen(sidecar.metrics_url.replace("/metrics", "/workers"), timeout=10) as page:
            return [worker["pid"] for worker in json.load(page)["workers"]]
    except urllib.error.HTTPError:
        return []
