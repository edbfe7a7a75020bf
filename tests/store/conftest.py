"""Fixtures of the tests of the memory store."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.store.live import LiveStore


@pytest.fixture
async def live(redis_url: str) -> AsyncIterator[LiveStore]:
    """The store over the shared, emptied Redis."""
    async with LiveStore(redis_url) as store:
        yield store
