"""Fixtures of the flush tests: the store and the steps over the shared, emptied Redis."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from sidecar.flush.steps import FlushSteps
from sidecar.metrics import Metrics
from sidecar.store.flush_store import FlushStore
from tests.flush.memories import DEFINITIONS, SPACE, NotingSummariser, WordCounter


@pytest.fixture
def store(redis_client: Redis) -> FlushStore:
    """The store under test, or below it."""
    return FlushStore(redis_client, SPACE)


@pytest.fixture
def summariser() -> NotingSummariser:
    """A summariser that notes what it was asked."""
    return NotingSummariser()


@pytest.fixture
def metrics() -> Metrics:
    """Counters of the test's own."""
    return Metrics()


@pytest.fixture
def steps(store: FlushStore, summariser: NotingSummariser, metrics: Metrics) -> FlushSteps:
    """The steps over the definitions of `memories`."""
    return FlushSteps(
        store=store,
        definitions=DEFINITIONS,
        counter=lambda encoding: WordCounter(),
        summariser=summariser,
        metrics=metrics,
    )
