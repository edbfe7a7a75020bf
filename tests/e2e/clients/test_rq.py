"""The job queue RQ, its client and its worker process, works through the sidecar."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
import redis
from rq import Queue

from sidecar.dev.servers import SidecarProcess
from tests.e2e.clients import jobs
from tests.e2e.clients.workers import QueueWorker, waiting
from tests.support.children import Children
from tests.support.waiting import eventually

JOBS = 30
"""RQ forks for each one, so they take most of the time of this test."""


@pytest.fixture
def queue(front: SidecarProcess) -> Iterator[Queue]:
    """A queue on the sidecar's address."""
    with redis.Redis.from_url(front.url) as client:
        yield Queue("work", connection=client)


@pytest.fixture
def worker(children: Children, front: SidecarProcess, behind: redis.Redis) -> QueueWorker:
    """RQ's own worker process, which waits for jobs of the queue `work`."""
    command = [sys.executable, "-m", "rq.cli", "worker", "work", "--url", front.url, "--quiet"]
    return children.add(QueueWorker("rq", command, behind=behind, env={jobs.ADDRESS: front.url}))


async def test_every_job_runs_exactly_once(queue: Queue, worker: QueueWorker, behind: redis.Redis) -> None:
    """A waiting worker is woken by the first job, runs all of them once, and goes back to waiting."""
    sent = [queue.enqueue(jobs.trace, number) for number in range(JOBS)]
    await eventually(lambda: all(job.is_finished for job in sent), limit_s=60)
    assert [job.return_value() for job in sent] == [number * number for number in range(JOBS)]
    assert behind.hgetall("executed") == {str(number): "1" for number in range(JOBS)}
    assert sum(behind.xlen(key) for key in behind.scan_iter("mem:log:*")) == JOBS
    await eventually(lambda: waiting(behind) == 1)
    queue.enqueue(jobs.trace, JOBS)
    await eventually(lambda: behind.hget("executed", str(JOBS)) == "1", why="the worker did not wake up again")


async def test_a_failed_job_is_kept_with_its_reason(queue: Queue, worker: QueueWorker) -> None:
    """A job that raises ends among the failed ones, with the exception's text, and the worker lives on."""
    failing, working = queue.enqueue(jobs.fail, 1), queue.enqueue(jobs.trace, 2)
    await eventually(lambda: failing.is_failed and working.is_finished, limit_s=30)
    result = failing.latest_result()
    assert result is not None
    assert "job 1 fails on purpose" in str(result.exc_string)
    assert failing.id in queue.failed_job_registry.get_job_ids()
    assert worker.running
