"""The deputy's side: does the errands that come over a pipe, side by side, until the pipe ends.

The counterpart is `deputy`, in the process that sends them. What it works with is made in `sidecar.deputy`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import structlog

from sidecar.errors import MemsidecarError
from sidecar.flush.errands import READY, Answer, Errand, Recall, Trouble, framed, next_frame, to_order
from sidecar.flush.labour import Labour

_log = structlog.get_logger(__name__)


async def serve_errands(reader: asyncio.StreamReader, write: Callable[[bytes], object], labour: Labour) -> None:
    """Do errands until `reader` ends; what is under way then is left as it is.

    Args:
        reader: where they come from.
        write: takes the frame of an answer.
        labour: does them.
    """
    tasks: dict[int, asyncio.Task[None]] = {}
    write(framed(Answer(READY)))
    while (frame := await next_frame(reader)) is not None:
        order = to_order(frame)
        if isinstance(order, Recall):
            if order.number in tasks:
                tasks[order.number].cancel()
            continue
        task = asyncio.create_task(_answered(order, write, labour), name=f"errand {order.number}")
        tasks[order.number] = task
        task.add_done_callback(lambda _, number=order.number: tasks.pop(number))  # type: ignore[misc]


async def _answered(errand: Errand, write: Callable[[bytes], object], labour: Labour) -> None:
    try:
        value = msgspec.Raw(msgspec.json.encode(await _done(errand, labour)))
        answer = Answer(errand.number, value)
    except MemsidecarError as problem:
        answer = Answer(errand.number, trouble=Trouble.of(problem))
    except Exception as bug:
        _log.exception("deputy.errand_failed", errand=errand.kind)
        answer = Answer(errand.number, trouble=Trouble.of(bug))
    write(framed(answer))


async def _done(errand: Errand, labour: Labour) -> Any:
    definition = errand.definition
    if errand.order is not None:
        return await labour.preview(errand.order, definition)
    assert errand.ticket is not None, "an errand without an order has a ticket"
    match errand.kind:
        case "plan":
            return await labour.plan(errand.ticket, definition)
        case "summarise":
            return await labour.summarise(errand.ticket, definition, _no_sign, fallback=True)
        case _:
            return await labour.prepare(errand.ticket, definition)


def _no_sign() -> None:
    """Give no sign of life: whoever sent the errand renews the lease."""
