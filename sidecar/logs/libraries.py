"""What others say goes the same way as our own lines: libraries that use `logging`, the event loop, the interpreter.

A library formats into its texts what it works with: ids, arguments, errors that quote them. So a text is shown only if
it stands in the library's source as it is, with its `%s`; what was filled in, or put together while running, is not.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import warnings
from asyncio import AbstractEventLoop, get_running_loop
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import structlog

PACKAGE = str(Path(__file__).parents[1]) + os.sep

FRAMES_TO_THE_CALLER = 20
"""Between a library's call and our handler lie a few frames of `logging`, and of whoever wraps it."""

_DETAILS = {
    "temporal_activity": ("activity_type", "attempt", "workflow_run_id"),
    "temporal_workflow": ("workflow_type", "attempt", "run_id"),
}
"""What is shown of what Temporal's SDK adds to a record; the workflow's id, which is there too, names the memory."""

_WORDS = re.compile(r"[\w .,:!()-]*?(?= callback|[^\w .,:!()-]|$)")
"""How the event loop begins its messages, before it shows a callback with its arguments, or any other object."""

_log = structlog.get_logger(__name__)


def route_everything() -> None:
    """Have whatever others tell of themselves in this process become lines of our log."""
    root = logging.getLogger()
    root.handlers[:] = [_LibraryHandler()]
    sys.excepthook = _process_failed
    sys.unraisablehook = _ignored
    threading.excepthook = _thread_failed
    warnings.showwarning = _warned


def watch_event_loop() -> None:
    """Have the running event loop tell of exceptions that nobody took, as lines of our log."""
    get_running_loop().set_exception_handler(_loop_failed)


class _LibraryHandler(logging.Handler):
    """Takes the records of `logging`; the level is that of the root logger, see `levels`."""

    def emit(self, record: logging.LogRecord) -> None:
        told: dict[str, Any] = {"logger": record.name}
        for name, shown in _DETAILS.items():
            details = getattr(record, name, None) or {}
            told |= {key: details[key] for key in shown if key in details}
        event, text = "library.logged", _constant(record)
        if text is not None and record.pathname.startswith(PACKAGE):
            event = text  # ours, where only `logging` will do: in a workflow
            told |= getattr(record, "facts", {})
        else:
            told |= {"text": text} if text is not None else {}
            told["at"] = f"{record.module}.{record.funcName}:{record.lineno}"
        getattr(_log, _method(record.levelno))(event, exc_info=record.exc_info, **told)


def _method(level: int) -> str:
    if level >= logging.ERROR:
        return "error"
    if level >= logging.WARNING:
        return "warning"
    return "info" if level >= logging.INFO else "debug"


def _constant(record: logging.LogRecord) -> str | None:
    """Return a record's text if it stands like that in the function that logs it; None if it was put together."""
    frame = sys._getframe()
    for _ in range(FRAMES_TO_THE_CALLER):
        if frame.f_back is None:
            return None
        frame = frame.f_back
        code = frame.f_code
        if code.co_filename == record.pathname and code.co_name == record.funcName:
            return record.msg if isinstance(record.msg, str) and record.msg in code.co_consts else None
    return None


def _loop_failed(_loop: AbstractEventLoop, context: dict[str, Any]) -> None:
    words = _WORDS.match(str(context.get("message", "")))
    _log.error("loop.failed", text=words[0] if words else "", exc_info=context.get("exception"))


def _process_failed(kind: type[BaseException], problem: BaseException, where: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return  # a person's wish, and no failure
    _log.error("process.failed", exc_info=(kind, problem, where))


def _thread_failed(told: threading.ExceptHookArgs) -> None:
    if not issubclass(told.exc_type, SystemExit):
        _log.error("thread.failed", exc_info=told.exc_value)


def _ignored(told: sys.UnraisableHookArgs) -> None:
    _log.error("exception.ignored", exc_info=told.exc_value)


def _warned(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    _log.warning("python.warned", category=category.__name__, at=f"{filename}:{lineno}")
