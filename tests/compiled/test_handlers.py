"""No coroutine of a compiled module waits while it handles an exception.

CPython keeps the exception that a coroutine handles with the coroutine. mypyc keeps it with the thread, so while such a
coroutine waits, it is what every other one seems to be handling; one that enters a handler then puts it back when it
leaves, for good, and some later `finally` raises it. So reads with BLOCK ended with the CancelledError of a connection
that had been given up long before.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from hatch_build import COMPILED

ROOT = Path(__file__).resolve().parents[2]

ENDS_AT_ONCE = {"timeout", "watch"}
"""`asyncio.timeout` and `Wakeups.watch`: what is called at the end of an `async with` of these waits for nothing."""


@pytest.mark.parametrize("module", COMPILED)
def test_nothing_waits_in_a_handler(module: str) -> None:
    """What must wait there is done after the handler, or in a module that is not compiled."""
    assert list(_waits((ROOT / "sidecar" / module).read_text())) == []


def test_a_wait_in_a_handler_is_found() -> None:
    """In `except`, in `finally`, and at the end of an `async with`, however deep; not in the `try` itself."""
    source = """
async def one():
    try:
        await a()
    except OSError:
        if b:
            await c()
    finally:
        async for _ in d: ...
    async with timeout(1), asyncio.timeout(2):
        await e()
    async with connection():
        await f()
"""
    assert list(_waits(source)) == [7, 9, 12]


def _waits(source: str) -> Iterator[int]:
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Try):
            for statement in [*node.finalbody, *(each for handler in node.handlers for each in handler.body)]:
                waiting = (ast.Await, ast.AsyncFor, ast.AsyncWith, ast.Yield, ast.YieldFrom)
                found |= {inner.lineno for inner in ast.walk(statement) if isinstance(inner, waiting)}
        elif (
            isinstance(node, ast.AsyncWith) and not {_called(item.context_expr) for item in node.items} <= ENDS_AT_ONCE
        ):
            found.add(node.lineno)
    yield from sorted(found)


def _called(expression: ast.expr) -> str:
    called = expression.func if isinstance(expression, ast.Call) else expression
    return called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""
