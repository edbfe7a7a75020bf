"""Makes the table of events in docs/operations.md: names, levels and fields are read from the sources.

`tests.docs` puts it into its place; what each event means stands here.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[1] / "sidecar"

LOGGERS = {"log", "_log", "_logger", "logger"}

METHODS = {
    "debug": ("debug",),
    "info": ("info",),
    "warning": ("warning",),
    "error": ("error",),
    "exception": ("error",),
}

WRAPPERS = {"say": (0, ("warning", "error")), "_complain": (1, ("warning",))}
"""What logs for others: the place of the event among its arguments, and the levels."""

SPOKEN = {
    "sidecar ready": ("info", ("port", "redis", "engine", "workers")),
    "sidecar stopping": ("info", ("workers",)),
    "worker ready": ("info", ("redis", "engine", "address", "task_queue")),
    "worker stopping": ("info", ()),
}
"""The words that who starts a process waits for, and its farewell; older than the names, and kept."""

OF_OTHERS = {
    "library.logged": (("debug", "info", "warning", "error"), ("logger", "at", "text", "exception")),
    "temporal.core": (("warning", "error"), ("target", "text", "error")),
}

_OF_A_COMMAND = ("command", "outcome", "memory", "trace", "request_bytes", "ms", "left_out")
_OF_A_FLUSH = ("memory", "trace")

UNPACKED = {
    "command.failed": _OF_A_COMMAND,
    "command.slow": _OF_A_COMMAND,
    "flush.broke_off": _OF_A_FLUSH,
    "flush.failed": _OF_A_FLUSH,
    "flush.fell_back": ("trace",),
}
"""Fields that stand in a dictionary which the call unpacks."""

MEANINGS = {
    "client.connected": "A client has come; `redis_sees` is our end of its connection to Redis.",
    "client.held_limit": "All clients together held more than `MAX_HELD_BYTES`; this one, which held most, was let go.",
    "client.output_limit": "A client left more than `MAX_OUTPUT_BYTES` of its replies unread, and was let go.",
    "clients.cannot_accept": "The process has no descriptor, or no memory, for one more client.",
    "command.failed": "A MEM command failed, not by its client's fault: `outcome` is the error's first word, `why` "
    "what a log may show of it. With an `exception` it is a bug of ours; please report it.",
    "command.slow": "A MEM command took longer than `SLOW_COMMAND_MS`, though it was not asked to wait.",
    "deputy.errand_failed": "A bug of ours in the process for large flushes; the flush fails and comes again.",
    "deputy.lost": "The process for large flushes ended in the middle; that part is done again.",
    "deputy.missing": "There is no process for large flushes; this one is done here, and appends are slower meanwhile.",
    "exception.ignored": "An object's end failed.",
    "flush.broke_off": "A flush of this process failed; its mark stays, and brings the next one.",
    "flush.engine_away": "Temporal, or Redis, cannot be asked for flushes; marks wait. Said once for each time.",
    "flush.failed": "A flush of Temporal failed; its mark stays, and brings the next one. `error` is step and kind.",
    "flush.failure_not_recorded": "That a flush failed could not be noted on Redis either; its lease runs out.",
    "flush.fell_back": "A flush goes on without its summariser, as `flush.fallback` says.",
    "flush.lease_left": "The lease of a flush that gave up could not be ended yet; if Redis stays away it runs out.",
    "flush.lease_not_renewed": "A running flush could not renew its lease; it has two more tries.",
    "flush.not_begun": "A bug of ours at the beginning of a flush.",
    "flush.not_started": "A flush could not be started; its mark stays.",
    "flush.step_failed": "A bug of ours, or of a package, in a step that Temporal tries again.",
    "flush.step_refused": "Redis answered an error to a step.",
    "flush.totals_corrected": "The totals of a memory were not those of its log, by this much; it put them right.",
    "flush.unknown_definition": "A memory is due whose definition is not configured here. Said once for each.",
    "gate.closed": "Clients are kept out, for `why`.",
    "gate.open": "Clients are let in.",
    "http.failed": "A bug of ours on a page.",
    "library.logged": "A library has something to say: `text` as it stands in its source, `at` where.",
    "loop.failed": "An exception that nobody took: a bug.",
    "outbox.not_purged": "Marks of expired memories could not be taken out.",
    "outbox.odd_name": "An outbox holds a name that is none of this project's.",
    "outbox.spoilt": "A key in an outbox's place is of another type; delete it, nothing in it is ours.",
    "outbox.unreadable": "The outbox cannot be read; due flushes wait. Said once for each time.",
    "process.failed": "A bug that ends the process.",
    "python.warned": "A warning of Python.",
    "redis.unreachable": "There is no connection to Redis for MEM commands, for `why`. Said again when that changes.",
    "reload.done": "What was read anew is in force.",
    "reload.failed": "A bug of ours; everything stays as it was.",
    "reload.refused": "What was read anew is wrong; everything stays as it was. One line for each mistake.",
    "sidecar ready": "Clients can be served.",
    "sidecar stopping": "SIGTERM or SIGINT was heard.",
    "summariser.failed": "An exception in a summariser; the flush takes it like one that does not answer.",
    "summary.failed": "A try for a summary failed.",
    "summary.tried_again": "Temporal tries a summary again, from where the last try came to.",
    "temporal.core": "Temporal's SDK has something to say of its connection.",
    "temporal.sweep_not_scheduled": "The Schedule could not be made; sidecars see to marks that are left over.",
    "temporal.unreachable": "The worker cannot reach Temporal, and tries again.",
    "temporal.worker_failed": "The SDK's worker ended; another one is started.",
    "temporal.worker_left_behind": "The SDK's worker did not stop within `seconds`.",
    "thread.failed": "A bug in a thread.",
    "tokens.engine_missing": "Nothing was compiled here: tokens are counted by tiktoken, which is slower.",
    "tokens.engine_unusable": "What was compiled does not count as it should: tokens are counted by tiktoken.",
    "wakeups.refused": "The Redis user may not subscribe; clients that wait for a lock or a message look every second.",
    "worker ready": "A process of `--workers` is up; of `memsidecar worker`: it polls Temporal.",
    "worker stopping": "A process of `--workers` stops.",
    "worker.died": "A process of `--workers` ended by itself, and is started again.",
    "worker.ended": "A process of `--workers` did not stop as it should.",
    "worker.not_spawned": "A process of `--workers` could not be started.",
}


@dataclass
class Event:
    """What is said of an event in the sources: its levels, and the fields besides those of every line."""

    levels: set[str] = field(default_factory=set)
    fields: dict[str, None] = field(default_factory=dict)  # in the order in which they are written


def events() -> dict[str, Event]:
    """Return every event of the sources by its name."""
    found: dict[str, Event] = {}
    for name, (level, fields) in SPOKEN.items():
        found[name] = Event({level}, dict.fromkeys(fields))
    for name, (levels, fields) in OF_OTHERS.items():
        found[name] = Event(set(levels), dict.fromkeys(fields))
    for name, levels, call in _constant_events():
        event = found.setdefault(name, Event())
        event.levels |= set(levels)
        for keyword in call.keywords:
            if keyword.arg is None:
                event.fields |= dict.fromkeys(() if name in OF_OTHERS else UNPACKED[name])
            elif keyword.arg != "extra":
                event.fields["exception" if keyword.arg == "exc_info" else keyword.arg] = None
        if isinstance(call.func, ast.Attribute) and call.func.attr == "exception":
            event.fields["exception"] = None
    return found


def computed_events() -> list[str]:
    """Return where a line is written whose event is no constant, as `file: function`, in the order of the files."""
    return [f"{path}: {function}" for path, function, call in _calls() if _name(call) is None]


def events_table() -> str:
    """Return the events as a Markdown table."""
    order = ("debug", "info", "warning", "error")
    rows = ["| event | level | fields | meaning |", "|---|---|---|---|"]
    for name, event in sorted(events().items()):
        levels = ", ".join(level for level in order if level in event.levels)
        fields = ", ".join(f"`{each}`" for each in event.fields)
        rows.append(f"| `{name}` | {levels} | {fields} | {MEANINGS[name]} |")
    return "\n".join(rows) + "\n"


def _constant_events() -> Iterator[tuple[str, tuple[str, ...], ast.Call]]:
    for _, _, call in _calls():
        name = _name(call)
        if name is not None:
            yield name, _levels(call) or (), call


def _calls() -> Iterator[tuple[str, str, ast.Call]]:
    """Yield each call that writes a line: the file, the innermost function, and the call."""
    for path in sorted(each for each in SOURCES.rglob("*.py") if "dev" not in each.parts):  # it talks, and logs nothing
        tree = ast.parse(path.read_text(encoding="utf-8"))
        yield from _within(tree, path.relative_to(SOURCES).as_posix(), "")


def _within(node: ast.AST, path: str, function: str) -> Iterator[tuple[str, str, ast.Call]]:
    for child in ast.iter_child_nodes(node):
        inner = child.name if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else function
        if isinstance(child, ast.Call) and _levels(child) is not None:
            yield path, inner, child
        yield from _within(child, path, inner)


def _levels(call: ast.Call) -> tuple[str, ...] | None:
    """Return at which levels a call writes a line; None for another call."""
    function = call.func
    if isinstance(function, ast.Attribute):
        if function.attr in WRAPPERS:
            return WRAPPERS[function.attr][1]
        holder = function.value
        name = holder.attr if isinstance(holder, ast.Attribute) else getattr(holder, "id", None)
        return METHODS.get(function.attr) if name in LOGGERS else None
    return WRAPPERS[function.id][1] if isinstance(function, ast.Name) and function.id in WRAPPERS else None


def _name(call: ast.Call) -> str | None:
    called = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    place = WRAPPERS[called][0] if called in WRAPPERS else 0
    event = call.args[place] if len(call.args) > place else None
    return event.value if isinstance(event, ast.Constant) and isinstance(event.value, str) else None
