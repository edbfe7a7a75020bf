"""The counters of one process: plain numbers, lists and dicts, which `families` turns into metrics.

A prometheus-client child costs microseconds per use, which would be a tenth of what an append costs in all. Labels are
bounded: each has a few known values, or takes them from the configuration; never a key, a user or a text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from time import time

from sidecar.metrics.histogram import (
    FLUSH_BUCKETS_SECONDS,
    LAG_BUCKETS_SECONDS,
    LATENCY_BUCKETS_SECONDS,
    LOCK_BUCKETS_SECONDS,
    Histogram,
)

REDIS_ERRORS = frozenset(
    {
        "BUSY", "CLUSTERDOWN", "CROSSSLOT", "ERR", "LOADING", "MASTERDOWN", "MISCONF", "MOVED", "NOAUTH", "NOPERM",
        "NOREPLICAS", "OOM", "READONLY", "TRYAGAIN", "UNKILLABLE", "WRONGPASS", "WRONGTYPE",
    }
)  # fmt: skip
"""First words of Redis's errors that are told apart; a module may have any, and those are `other`."""

MAX_COMMAND_SERIES = 512
"""Pairs of command and outcome: 17 commands with some 15 outcomes each. An error of a Redis module could bring any
first word; beyond this number it counts as `other`."""

MEASURED_FORWARDS = 64
"""Answers to what clients forward that are timed between two ticks, which come four times a second: all of them where
there are few, and where there are tens of thousands their time is worth more than theirs."""

READ_KINDS = ("whole", "budget", "count", "since", "filtered", "blocking")
"""Reads are told apart by what bounds them; see `memory.reading.kind_of`."""


class Reads:
    """What reads of one kind returned."""

    __slots__ = ("messages", "reads", "tokens")

    def __init__(self) -> None:
        self.reads = 0
        self.messages = 0
        self.tokens = 0


class Metrics:
    """The counters of one process. Methods are called from one event loop and never block."""

    def __init__(self) -> None:
        self.clients = 0
        self.clients_accepted = 0
        self.clients_refused = 0
        self.clients_over_output_limit = 0
        self.clients_over_held_limit = 0
        self.client_bytes_in = 0
        self.client_bytes_out = 0
        self.protocol_errors = 0
        self.client_pauses = 0
        self.redis_pauses = 0
        self.redis_up: bool | None = None
        self.redis_reconnects = 0
        self.messages_appended = 0
        self.tokens_appended = 0
        self.duplicates = 0
        self.orphans_left_out = 0
        self.passed_over = 0
        self.locks_acquired = 0
        self.locks_refused = 0
        self.locks_lost = 0
        self.engine = "local"  # which `engine_up` is about
        self.engine_up: bool | None = None
        self.worker_polling: bool | None = None
        self.commands: dict[tuple[str, str], int] = {}
        self.command_seconds: dict[str, Histogram] = {}
        self.forward_seconds = Histogram(LATENCY_BUCKETS_SECONDS)
        self.measurable = MEASURED_FORWARDS  # forwards that may still be timed until the next tick
        self.redis_seconds = Histogram(LATENCY_BUCKETS_SECONDS)
        self.redis_errors: Counter[str] = Counter()
        self.reads = {kind: Reads() for kind in READ_KINDS}
        self.redactions: Counter[str] = Counter()
        self.lock_waits = Histogram(LOCK_BUCKETS_SECONDS)
        # At zero from the start: a rate over a series that begins at its first event misses that event.
        self.triggers = Counter({"started": 0, "coalesced": 0, "dropped": 0, "failed": 0})
        self.runs: Counter[tuple[str, str]] = Counter()
        self.run_seconds: dict[str, Histogram] = {}
        self.messages_freed = 0
        self.tokens_freed = 0
        self.summary_tokens = 0
        self.summary_failures: Counter[str] = Counter()
        self.fallbacks = Counter({"extractive": 0, "drop": 0, "keep": 0})
        self.model_calls: Counter[str] = Counter()
        self.model_tokens: Counter[tuple[str, str]] = Counter()
        self.outbox_depth = 0
        self.outbox_age_seconds = 0.0
        self.outbox_swept = 0.0
        self.reloads = Counter({"done": 0, "refused": 0})
        self.loop_lag = Histogram(LAG_BUCKETS_SECONDS)
        self.watched: dict[str, Callable[[], float]] = {}
        self.seen: dict[str, float] = {}

    def watch(self, name: str, look: Callable[[], float]) -> None:
        """Have a gauge's value looked up whenever somebody wants to read the metrics; `name` is in `families`."""
        self.watched[name] = look

    def look(self) -> None:
        """Note the values of what is watched. Called on the event loop, since reading happens on another thread."""
        self.seen = {name: look() for name, look in self.watched.items()}

    # ---- clients and Redis ----

    def command(self, name: str, outcome: str, seconds: float) -> None:
        """Count one answered MEM command. `outcome` is `ok` or the first word of the error."""
        series = name, outcome
        try:
            self.commands[series] += 1
        except KeyError:
            if len(self.commands) >= MAX_COMMAND_SERIES:
                series = name, "other"
            self.commands[series] = self.commands.get(series, 0) + 1
        histogram = self.command_seconds.get(name)
        if histogram is None:
            histogram = self.command_seconds[name] = Histogram(LATENCY_BUCKETS_SECONDS)
        histogram.observe(seconds)

    def redis_refused(self, line: str) -> None:
        """Count an error that Redis answered to a command of ours; `line` begins with its kind."""
        kind = line.partition(" ")[0]
        self.redis_errors[kind if kind in REDIS_ERRORS else "other"] += 1

    # ---- memories ----

    def read(self, kind: str, messages: int, tokens: int) -> None:
        """Count a read that was answered; `kind` is one of `READ_KINDS`."""
        reads = self.reads[kind]
        reads.reads += 1
        reads.messages += messages
        reads.tokens += tokens

    def left_out(self, orphans: int, passed_over: int) -> None:
        """Count messages that a read left out: halves of a tool call and its results, and what did not fit."""
        self.orphans_left_out += orphans
        self.passed_over += passed_over

    def redacted(self, kind: str, times: int) -> None:
        """Count what was taken out of messages. `kind` is a name of the definitions or of a built-in set."""
        self.redactions[kind] += times

    # ---- leases ----

    def lock_acquired(self) -> None:
        """Count a lease that was granted."""
        self.locks_acquired += 1

    def lock_waited(self, seconds: float) -> None:
        """Count a wait for somebody else's lease that ended well: of MEMLOCK, or of a change."""
        self.lock_waits.observe(seconds)

    def lock_refused(self) -> None:
        """Count a lock or change that somebody else's lease kept out for too long."""
        self.locks_refused += 1

    def lock_lost(self) -> None:
        """Count a lease that had ended when its holder still needed it: a change or a renewal came too late."""
        self.locks_lost += 1

    # ---- flushes ----

    def trigger(self, outcome: str) -> None:
        """Count a due mark that was seen: `started`, `coalesced`, `dropped` or `failed`."""
        self.triggers[outcome] += 1

    def run(
        self, strategy: str, outcome: str, removed: int, freed_tokens: int, summary_tokens: int, seconds: float
    ) -> None:
        """Count one flush that ended; `strategy` is "" where it ended before that was known."""
        strategy = strategy or "unknown"
        self.runs[strategy, outcome] += 1
        self.messages_freed += removed
        self.tokens_freed += freed_tokens
        self.summary_tokens += summary_tokens
        histogram = self.run_seconds.get(strategy)
        if histogram is None:
            histogram = self.run_seconds[strategy] = Histogram(FLUSH_BUCKETS_SECONDS)
        histogram.observe(seconds)

    def summary_failed(self, reason: str) -> None:
        """Count a try that brought no summary. `reason` is that of an `errors.SummaryProblem`."""
        self.summary_failures[reason] += 1

    def fell_back(self, fallback: str) -> None:
        """Count a flush without the summary of its summariser: `extractive`, `drop` or `keep`."""
        self.fallbacks[fallback] += 1

    def model_called(self, summariser: str, tokens_in: int, tokens_out: int) -> None:
        """Count one call of a language model, and what it took and gave by its own account."""
        self.model_calls[summariser] += 1
        self.model_tokens[summariser, "in"] += tokens_in
        self.model_tokens[summariser, "out"] += tokens_out

    def outbox(self, depth: int, oldest_age_seconds: float) -> None:
        """Report what the sweeper saw: memories waiting for a flush, and for how long the oldest one has."""
        self.outbox_depth = depth
        self.outbox_age_seconds = oldest_age_seconds
        self.outbox_swept = time()

    # ---- the process ----

    def tick(self, lag_seconds: float) -> None:
        """Note how late the event loop is; called regularly."""
        self.loop_lag.observe(lag_seconds)
        self.measurable = MEASURED_FORWARDS

    def reloaded(self, outcome: str) -> None:
        """Count a reload of the definitions: `done` or `refused`."""
        self.reloads[outcome] += 1
