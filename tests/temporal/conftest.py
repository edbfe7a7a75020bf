"""Fixtures of the Temporal tests. Each test has a task queue and memories of its own on the shared server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any
from uuid import uuid4

import pytest
from redis.asyncio import Redis
from temporalio.client import Client

from sidecar.dev.servers import TemporalServer
from sidecar.flush.steps import FlushSteps
from sidecar.memory.stored_message import StoredMessage
from sidecar.metrics import Metrics
from sidecar.store.flush_store import FlushStore
from sidecar.temporal.activities import FlushActivities
from sidecar.temporal.starter import TemporalEngine
from sidecar.temporal.worker import WorkerOptions, run_worker
from tests.flush.memories import DEFINITIONS, SPACE, NotingSummariser, WordCounter


class TurnedSummariser(NotingSummariser):
    """A summariser whose next answer, once, is that of `next`; it gets the earlier summary and the messages."""

    def __init__(self) -> None:
        super().__init__()
        self.next: Callable[[str, Sequence[StoredMessage]], Awaitable[str]] | None = None

    async def summarise(
        self, earlier: str, messages: Sequence[StoredMessage], budget: int, count: Callable[[str], int]
    ) -> str:
        usual = await super().summarise(earlier, messages, budget, count)
        turn, self.next = self.next, None
        return await turn(earlier, messages) if turn else usual


class StartWorker:
    """Fixture `start_worker`: workers in this process, stopped at the end of the test."""

    def __init__(self, address: str, task_queue: str) -> None:
        self._address = address
        self._task_queue = task_queue
        self._stop = asyncio.Event()
        self._running: list[asyncio.Task[None]] = []
        self.metrics = Metrics()

    def __call__(
        self,
        steps: FlushSteps,
        *,
        address: str | None = None,
        project: str = "default",
        stop: asyncio.Event | None = None,
        grace_seconds: float = 5.0,
        **others: Any,
    ) -> asyncio.Task[None]:
        """Start a worker and return its task; `address` None is the shared server, `stop` None ends with the test.

        `others` go to `run_worker`.
        """
        work = run_worker(
            activities=FlushActivities(steps=steps, metrics=self.metrics, project=project),
            stop=stop or self._stop,
            address=address or self._address,
            task_queue=self._task_queue,
            options=WorkerOptions(grace_seconds=grace_seconds),
            **others,
        )
        task = asyncio.create_task(work)
        self._running.append(task)
        return task

    async def close(self) -> None:
        """Stop all of them."""
        self._stop.set()
        await asyncio.gather(*self._running)


@pytest.fixture
def task_queue() -> str:
    """A task queue that no other test has."""
    return f"flush-{uuid4().hex}"


@pytest.fixture
def instance() -> str:
    """A memory that no other test has: the workflow ids of all tests share one server."""
    return f"i-{uuid4().hex}"


@pytest.fixture
async def start_worker(temporal_server: TemporalServer, task_queue: str) -> AsyncIterator[StartWorker]:
    """Factory of workers."""
    workers = StartWorker(temporal_server.address, task_queue)
    yield workers
    await workers.close()


@pytest.fixture
async def engine(temporal_server: TemporalServer, task_queue: str) -> AsyncIterator[TemporalEngine]:
    """The engine under test."""
    engine = TemporalEngine(address=temporal_server.address, task_queue=task_queue)
    yield engine
    await engine.close()


@pytest.fixture
async def client(temporal_server: TemporalServer) -> Client:
    """Temporal's own client, to look at what the engine did."""
    return await Client.connect(temporal_server.address)


@pytest.fixture
def summariser() -> TurnedSummariser:
    """A summariser that notes what it was asked, and answers as the test likes."""
    return TurnedSummariser()


@pytest.fixture
def steps(redis_client: Redis, summariser: TurnedSummariser) -> FlushSteps:
    """The real steps over the shared Redis."""
    return FlushSteps(
        store=FlushStore(redis_client, SPACE),
        definitions=DEFINITIONS,
        counter=lambda encoding: WordCounter(),
        summariser=summariser,
    )
