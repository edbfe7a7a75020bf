"""The job queue Celery works through the sidecar: broker, results and worker process."""

from __future__ import annotations

import sys

import pytest
import redis
from celery import Celery, group

from sidecar.dev.servers import SidecarProcess
from tests.e2e.clients.jobs import ADDRESS
from tests.e2e.clients.workers import QueueWorker, waiting
from tests.support.children import Children
from tests.support.waiting import eventually

JOBS = 200


@pytest.fixture
def worker(children: Children, front: SidecarProcess, behind: redis.Redis) -> QueueWorker:
    """Celery's own worker process with two children that run jobs."""
    celery = [sys.executable, "-m", "celery", "-A", "tests.e2e.clients.celery_jobs"]
    command = [*celery, "worker", "--concurrency", "2", "--loglevel", "WARNING", "--without-gossip", "--without-mingle"]
    return children.add(QueueWorker("celery", command, behind=behind, env={ADDRESS: front.url}))


async def test_every_job_runs_exactly_once(front: SidecarProcess, worker: QueueWorker, behind: redis.Redis) -> None:
    """A waiting worker is woken by a group of jobs, runs each once, and their results are published to the caller."""
    app = Celery("caller", broker=front.url, backend=front.url)
    sent = group(app.signature("trace", args=[number]) for number in range(JOBS)).apply_async()
    assert sent.get(timeout=60) == [number * number for number in range(JOBS)]
    assert behind.hgetall("executed") == {str(number): "1" for number in range(JOBS)}
    assert sum(behind.xlen(key) for key in behind.scan_iter("mem:log:*")) == JOBS
    assert behind.llen("celery") == 0
    await eventually(lambda: behind.hlen("unacked") == 0, why="the worker kept jobs that it has finished")
    await eventually(lambda: waiting(behind) > 0, why="the worker does not wait for further jobs")
    app.close()
