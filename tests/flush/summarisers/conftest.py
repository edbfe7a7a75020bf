"""Fixtures of the tests of summarisers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.flush.summarisers.endpoint import Endpoint, serving


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    """A loopback server that speaks chat completions."""
    async with serving() as endpoint:
        yield endpoint
