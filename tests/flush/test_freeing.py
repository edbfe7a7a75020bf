"""Large lists are emptied, small ones are left to whoever holds them."""

from __future__ import annotations

import asyncio

import pytest

from sidecar.flush.freeing import FREED_AT_ONCE, free, free_beside


@pytest.mark.parametrize("size", [0, 1, FREED_AT_ONCE, FREED_AT_ONCE + 1, 3 * FREED_AT_ONCE])
async def test_what_is_freed(size: int) -> None:
    """A list is empty afterwards; one that is freed at once anyway costs no thread and stays."""
    objects = [object() for _ in range(size)]
    await free_beside(objects)
    assert len(objects) == (size if size <= FREED_AT_ONCE else 0)
    free(objects)
    assert objects == []


async def test_the_loop_goes_on_meanwhile() -> None:
    """While a list is freed, others have their turn."""
    objects, turns = [[number] for number in range(500_000)], 0
    freeing = asyncio.create_task(free_beside(objects))
    while not freeing.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 1
