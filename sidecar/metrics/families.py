"""Every metric: its name, what it means, its labels, and where its values are. The documentation is made of it.

Names are as Prometheus's own rules have it: base units, and no `_total`, which the text format puts behind the name of
a counter. A gauge says, too, what the gauges of several processes of one sidecar are together; counters and histograms
are added up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from operator import add
from typing import Literal

from sidecar import __version__
from sidecar.metrics import counters
from sidecar.metrics.counters import Metrics
from sidecar.metrics.histogram import Histogram

Values = tuple[str, ...]
"""Of the labels, in their order."""

Join = Callable[[float, float], float]

PREFIX = "memsidecar_"

COMPILED = not counters.__file__.endswith(".py")
"""Whether mypyc's modules run, which a wheel has and a working tree has not."""


@dataclass(frozen=True, slots=True)
class Family:
    """One metric.

    Args:
        name: without `PREFIX`.
        kind: of Prometheus's.
        text: what it counts, a sentence.
        read: returns its samples: label values, and a number or, of a histogram, the counts. None: `supervising` has
            it, and no single process.
        labels: by name, which values it takes; Markdown.
        join: of a gauge: makes one of two processes' values.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    text: str
    read: Callable[[Metrics], Iterable[tuple[Values, float | Histogram]]] | None
    labels: Mapping[str, str] = field(default_factory=dict)
    join: Join | None = None

    @property
    def full_name(self) -> str:
        """The name with the prefix."""
        return PREFIX + self.name


def _counter(name: str, text: str, read: Callable[[Metrics], float]) -> Family:
    return Family(name, "counter", text, lambda now: [((), read(now))])


def _gauge(name: str, text: str, read: Callable[[Metrics], float | None], join: Join) -> Family:
    """A gauge; None is no sample: it is not known, or there is no such thing in this process."""

    def samples(now: Metrics) -> Iterator[tuple[Values, float]]:
        value = read(now)
        if value is not None:
            yield (), value

    return Family(name, "gauge", text, samples, join=join)


def _watched(name: str, text: str, join: Join) -> Family:
    return _gauge(name, text, lambda now: now.seen.get(name), join)


def _histogram(name: str, text: str, read: Callable[[Metrics], Histogram]) -> Family:
    return Family(name, "histogram", text, lambda now: [((), read(now))])


def _by_one(name: str, text: str, label: str, takes: str, read: Callable[[Metrics], Mapping[str, float]]) -> Family:
    # Copied whole, which no other thread can disturb.
    return Family(
        name,
        "counter",
        text,
        lambda now: [((value,), count) for value, count in dict(read(now)).items()],
        {label: takes},
    )


def _by_two(
    name: str, text: str, labels: Mapping[str, str], read: Callable[[Metrics], Mapping[tuple[str, str], float]]
) -> Family:
    return Family(name, "counter", text, lambda now: list(dict(read(now)).items()), labels)


def _histogram_by(
    name: str, text: str, label: str, takes: str, read: Callable[[Metrics], Mapping[str, Histogram]]
) -> Family:
    return Family(
        name,
        "histogram",
        text,
        lambda now: [((value,), histogram) for value, histogram in dict(read(now)).items()],
        {label: takes},
    )


_READ_KIND = {
    "kind": "`whole`, `budget` (TOKENS), `count` (COUNT), `since` (SINCE), `filtered` (BEFORE or ROLE), "
    "`blocking` (BLOCK); the first of BLOCK, TOKENS, COUNT, SINCE that a read has"
}
_COMMAND = "name of a MEM command"
_STRATEGY = "name of a strategy; `unknown` where the flush ended before it was chosen"
_SUMMARISER = "name of a summariser of the configuration"

CLIENTS: tuple[Family, ...] = (
    _gauge("clients", "Client connections open now.", lambda now: now.clients, add),
    _counter("clients_accepted", "Client connections accepted.", lambda now: now.clients_accepted),
    _counter(
        "clients_refused", "Client connections refused because there were too many.", lambda now: now.clients_refused
    ),
    _counter(
        "clients_over_output_limit",
        "Clients disconnected because they left too many replies unread.",
        lambda now: now.clients_over_output_limit,
    ),
    _counter(
        "clients_over_held_limit",
        "Clients disconnected because all together held too much of unfinished and waiting requests.",
        lambda now: now.clients_over_held_limit,
    ),
    Family(
        "client_bytes",
        "counter",
        "Bytes from and to clients.",
        lambda now: [(("in",), now.client_bytes_in), (("out",), now.client_bytes_out)],
        {"direction": "`in`, `out`"},
    ),
    _watched("held_bytes", "Bytes of unfinished and waiting requests that are held for all clients.", add),
    _counter(
        "protocol_errors",
        "Clients that sent what is no request; Redis answers them with an error and closes.",
        lambda now: now.protocol_errors,
    ),
    Family(
        "pauses",
        "counter",
        "Times a side was not read for a while, because the other one did not keep up or too much waited.",
        lambda now: [(("client",), now.client_pauses), (("redis",), now.redis_pauses)],
        {"side": "`client`, `redis`: the side that was not read"},
    ),
)

COMMANDS: tuple[Family, ...] = (
    _by_two(
        "commands",
        "MEM commands answered.",
        {"command": _COMMAND, "outcome": "`ok`, or the first word of the error"},
        lambda now: now.commands,
    ),
    _histogram_by(
        "command_duration_seconds",
        "From a MEM command's turn to its reply.",
        "command",
        _COMMAND,
        lambda now: now.command_seconds,
    ),
    _histogram(
        "forward_duration_seconds",
        "From commands that were passed on to the first byte that came back, once for all that came in one read; of "
        "256 reads in a second at most. A blocking command counts with its wait.",
        lambda now: now.forward_seconds,
    ),
)

REDIS: tuple[Family, ...] = (
    _gauge(
        "redis_up",
        "Whether Redis took, gave and deleted a probe when it was last asked; every 10 s it is.",
        lambda now: None if now.redis_up is None else float(now.redis_up),
        min,  # one that cannot reach it is to be seen
    ),
    _watched("redis_connections", "Connections that the MEM commands of a Redis user share, up now.", add),
    _histogram(
        "redis_round_trip_seconds",
        "From a write of commands on these connections to the first reply to it.",
        lambda now: now.redis_seconds,
    ),
    _by_one(
        "redis_errors",
        "Errors that Redis answered to our commands.",
        "error",
        "first word of Redis's error, such as `NOPERM`, `OOM`, `READONLY`; `other`",
        lambda now: now.redis_errors,
    ),
    _counter("redis_reconnects", "Connections of our own that broke.", lambda now: now.redis_reconnects),
)

MEMORIES: tuple[Family, ...] = (
    _counter("messages_appended", "Messages stored.", lambda now: now.messages_appended),
    _counter("tokens_appended", "Tokens of the messages stored.", lambda now: now.tokens_appended),
    _counter(
        "appends_repeated", "Appends that were repeated, and answered by the first reply.", lambda now: now.duplicates
    ),
    _by_one(
        "redactions",
        "What was taken out of messages.",
        "kind",
        "name of a built-in set or of a pattern of the definitions",
        lambda now: now.redactions,
    ),
    Family(
        "reads",
        "counter",
        "Reads answered.",
        lambda now: [((kind,), reads.reads) for kind, reads in now.reads.items()],
        _READ_KIND,
    ),
    Family(
        "messages_read",
        "counter",
        "Messages returned by reads.",
        lambda now: [((kind,), reads.messages) for kind, reads in now.reads.items()],
        _READ_KIND,
    ),
    Family(
        "tokens_read",
        "counter",
        "Tokens returned by reads.",
        lambda now: [((kind,), reads.tokens) for kind, reads in now.reads.items()],
        _READ_KIND,
    ),
    Family(
        "messages_left_out",
        "counter",
        "Messages that reads left out.",
        lambda now: [(("orphan",), now.orphans_left_out), (("budget",), now.passed_over)],
        {
            "reason": "`orphan` (half of a tool call and its results), `budget` (too large for it, or over the share "
            "of its class)"
        },
    ),
)

LEASES: tuple[Family, ...] = (
    _counter("locks_acquired", "Leases granted.", lambda now: now.locks_acquired),
    _counter("locks_refused", "Locks and changes that somebody else's lease kept out.", lambda now: now.locks_refused),
    _counter("locks_lost", "Leases that had ended when their holder still needed them.", lambda now: now.locks_lost),
    _histogram("lock_wait_seconds", "Waits for somebody else's lease that ended well.", lambda now: now.lock_waits),
    _watched("lock_waiters", "Locks and changes that wait for somebody else's lease now.", add),
)

FLUSHES: tuple[Family, ...] = (
    _by_one(
        "flush_triggers",
        "Due marks seen, by what became of them.",
        "outcome",
        "`started`, `coalesced` (one was under way), `dropped` (too many waited; a sweep brings it again), `failed`",
        lambda now: now.triggers,
    ),
    _by_two(
        "flush_runs",
        "Flushes ended in this process: with Temporal that is the worker.",
        {"strategy": _STRATEGY, "outcome": "`done`, `failed`"},
        lambda now: now.runs,
    ),
    _histogram_by(
        "flush_duration_seconds", "From begin to commit.", "strategy", _STRATEGY, lambda now: now.run_seconds
    ),
    _counter("flush_messages_freed", "Messages removed by flushes.", lambda now: now.messages_freed),
    _counter("flush_tokens_freed", "Tokens removed by flushes.", lambda now: now.tokens_freed),
    _counter("flush_summaries_tokens", "Tokens of summaries written.", lambda now: now.summary_tokens),
    _by_one(
        "flush_fallbacks",
        "Flushes that went on without their summariser.",
        "fallback",
        "`extractive`, `drop`, `keep`",
        lambda now: now.fallbacks,
    ),
    _by_one(
        "summaries_failed",
        "Tries without a summary.",
        "reason",
        "`unavailable`, `refused`, `empty`, `truncated`, `refusal`, `error`, `over-budget`",
        lambda now: now.summary_failures,
    ),
    _by_one(
        "model_calls",
        "Calls of language models for summaries that reported what they took.",
        "summariser",
        _SUMMARISER,
        lambda now: now.model_calls,
    ),
    _by_two(
        "model_tokens",
        "Tokens that language models report for summaries: what they cost.",
        {"summariser": _SUMMARISER, "direction": "`in`, `out`"},
        lambda now: now.model_tokens,
    ),
    # All processes look at one outbox.
    _gauge("outbox_depth", "Memories waiting for a flush, at the last sweep.", lambda now: now.outbox_depth, max),
    _gauge(
        "outbox_oldest_age_seconds",
        "Age of the oldest due mark, at the last sweep.",
        lambda now: now.outbox_age_seconds,
        max,
    ),
    _gauge(
        "outbox_swept_timestamp_seconds",
        "When the last sweep could read the outbox, as Unix time; 0: none has yet.",
        lambda now: now.outbox_swept,
        min,  # one that cannot is to be seen
    ),
    Family(
        "flush_engine_up",
        "gauge",
        "Whether the flush engine answered when it was last asked; every 10 s it is.",
        lambda now: [] if now.engine_up is None else [((now.engine,), float(now.engine_up))],
        {"engine": "`temporal`, `local`"},
        min,  # one that cannot reach it is to be seen
    ),
    _gauge(
        "worker_polling",
        "Whether the Temporal worker polls for flushes now; only in `memsidecar worker`.",
        lambda now: None if now.worker_polling is None else float(now.worker_polling),
        min,
    ),
)

PROCESS: tuple[Family, ...] = (
    _watched("definitions", "Memory definitions in force.", min),
    _by_one(
        "reloads",
        "Reloads of the memory definitions.",
        "outcome",
        "`done`, `refused` (what was there stayed)",
        lambda now: now.reloads,
    ),
    _histogram(
        "event_loop_lag_seconds",
        "How late the event loop's timers are, looked at four times a second.",
        lambda now: now.loop_lag,
    ),
    Family(
        "build_info",
        "gauge",
        "1, for what runs here.",
        lambda now: [((__version__, "yes" if COMPILED else "no"), 1)],
        {"version": "of memsidecar", "compiled": "`yes` or `no`: whether the compiled modules run"},
        max,
    ),
)

WORKERS: tuple[Family, ...] = (
    Family("workers", "gauge", "Workers that can serve clients; only with `serve --workers`.", None),
    Family(
        "worker_restarts",
        "counter",
        "Workers started in the place of one that died; only with `serve --workers`.",
        None,
    ),
)
"""The supervisor's own."""

GROUPS: Mapping[str, tuple[Family, ...]] = {
    "Clients": CLIENTS,
    "Commands": COMMANDS,
    "Redis": REDIS,
    "Memories": MEMORIES,
    "Leases": LEASES,
    "Flushes": FLUSHES,
    "The process": PROCESS,
    "Several workers": WORKERS,
}

FAMILIES: tuple[Family, ...] = tuple(family for group in GROUPS.values() for family in group if family.read)
"""Those of one process."""

MERGED_GAUGES: Mapping[str, Join] = {
    **{family.full_name: family.join for family in FAMILIES if family.join is not None},
    "process_virtual_memory_bytes": add,
    "process_resident_memory_bytes": add,
    "process_start_time_seconds": min,
    "process_open_fds": add,
    "process_max_fds": min,  # the limit is of each
    "python_info": max,
}
"""What the gauges of several processes of one sidecar are together. Counters and histograms are added up."""
