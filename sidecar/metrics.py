"""What the process counts, and how Prometheus reads it.

The hot path adds to plain lists and dicts; only a scrape turns them into metric families, through one collector.
A prometheus-client child costs microseconds per use, which would be a tenth of what an append costs in all.
Labels are bounded: command names, outcomes and strategies, never a key, a user or a text.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from operator import add

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from sidecar import __version__

LATENCY_BUCKETS_SECONDS = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
"""From 0.1 ms, about a round trip on loopback, to the longest wait a MEM command has."""

LOCK_BUCKETS_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""A holder appends and lets go within milliseconds, or thinks for a whole turn of an agent."""

FLUSH_BUCKETS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""A flush takes milliseconds with the extractive summariser and up to minutes with a model."""


MERGED_GAUGES: dict[str, Callable[[float, float], float]] = {
    "memsidecar_clients": add,
    "memsidecar_build_info": max,
    "memsidecar_outbox_depth": max,  # all of them look at one outbox
    "memsidecar_outbox_oldest_age_seconds": max,
    "memsidecar_flush_engine_up": min,  # one that cannot reach it is to be seen
    "process_virtual_memory_bytes": add,
    "process_resident_memory_bytes": add,
    "process_start_time_seconds": min,
    "process_open_fds": add,
    "process_max_fds": min,  # the limit is of each
    "python_info": max,
}
"""What the gauges of several processes of one sidecar are together. Counters and histograms are added up."""


class Histogram:
    """Counts of observations per bucket, in seconds."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Add one observation."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds

    def cumulative(self) -> list[tuple[str, float]]:
        """Return Prometheus's cumulative buckets, the last one `+Inf`."""
        buckets, running = [], 0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            running += count
            buckets.append((bound, float(running)))
        return buckets


class Metrics:
    """The counters of one process. Methods are called from one event loop and never block."""

    def __init__(self) -> None:
        self.clients = 0
        self.clients_accepted = 0
        self.clients_over_output_limit = 0
        self.clients_over_held_limit = 0
        self.client_bytes_in = 0
        self.client_bytes_out = 0
        self.redis_reconnects = 0
        self.messages_appended = 0
        self.tokens_appended = 0
        self.tokens_read = 0
        self.left_out = 0
        self.duplicates = 0
        self.locks_acquired = 0
        self.locks_refused = 0
        self.locks_lost = 0
        self.engine_up: bool | None = None
        self._commands: Counter[tuple[str, str]] = Counter()
        self._latency: dict[str, Histogram] = {}
        self._redactions: Counter[str] = Counter()
        self._lock_waits = Histogram(LOCK_BUCKETS_SECONDS)
        self._triggers: Counter[str] = Counter()
        self._runs: Counter[tuple[str, str]] = Counter()
        self._run_seconds = Histogram(FLUSH_BUCKETS_SECONDS)
        self._messages_freed = 0
        self._tokens_freed = 0
        self._summary_tokens = 0
        self._summary_failures: Counter[str] = Counter()
        self._fallbacks: Counter[str] = Counter()
        self._model_tokens: Counter[str] = Counter()
        self._outbox_depth = 0
        self._outbox_age_seconds = 0.0

    def command(self, name: str, outcome: str, seconds: float) -> None:
        """Count one answered MEM command. `outcome` is `ok` or the first word of the error."""
        self._commands[name, outcome] += 1
        histogram = self._latency.get(name)
        if histogram is None:
            histogram = self._latency[name] = Histogram(LATENCY_BUCKETS_SECONDS)
        histogram.observe(seconds)

    def redacted(self, kind: str, times: int) -> None:
        """Count what was taken out of messages. `kind` is a name of the definitions or of a built-in set."""
        self._redactions[kind] += times

    def lock_acquired(self) -> None:
        """Count a lease that was granted."""
        self.locks_acquired += 1

    def lock_waited(self, seconds: float) -> None:
        """Count a wait for somebody else's lease that ended well: of MEMLOCK, or of a change."""
        self._lock_waits.observe(seconds)

    def lock_refused(self) -> None:
        """Count a lock or change that somebody else's lease kept out for too long."""
        self.locks_refused += 1

    def lock_lost(self) -> None:
        """Count a lease that had ended when its holder still needed it: a change or a renewal came too late."""
        self.locks_lost += 1

    def trigger(self, outcome: str) -> None:
        """Count a due mark that was seen: `started`, `coalesced`, `dropped` or `failed`."""
        self._triggers[outcome] += 1

    def run(
        self, strategy: str, status: str, removed: int, freed_tokens: int, summary_tokens: int, seconds: float
    ) -> None:
        """Count one flush that ended."""
        self._runs[strategy, status] += 1
        self._messages_freed += removed
        self._tokens_freed += freed_tokens
        self._summary_tokens += summary_tokens
        self._run_seconds.observe(seconds)

    def summary_failed(self, reason: str) -> None:
        """Count a try that brought no summary. `reason` is that of an `errors.SummaryProblem`."""
        self._summary_failures[reason] += 1

    def fell_back(self, fallback: str) -> None:
        """Count a flush without the summary of its summariser: `extractive`, `drop` or `keep`."""
        self._fallbacks[fallback] += 1

    def model_tokens(self, tokens_in: int, tokens_out: int) -> None:
        """Count what one call of a language model took and gave, by its own account."""
        self._model_tokens["in"] += tokens_in
        self._model_tokens["out"] += tokens_out

    def outbox(self, depth: int, oldest_age_seconds: float) -> None:
        """Report what the sweeper saw: memories waiting for a flush, and for how long the oldest one has."""
        self._outbox_depth = depth
        self._outbox_age_seconds = oldest_age_seconds

    @property
    def outbox_depth(self) -> int:
        """Memories waiting for a flush at the last sweep."""
        return self._outbox_depth

    @property
    def outbox_age_seconds(self) -> float:
        """Age of the oldest mark at the last sweep."""
        return self._outbox_age_seconds


class MetricsCollector(Collector):
    """Turns `Metrics` into metric families, once per scrape; on another thread, hence the copies."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        """Yield every family; see the texts below for what each one means."""
        yield from self._client_families()
        yield from self._memory_families()
        yield from self._lock_families()
        yield from self._flush_families()
        build = GaugeMetricFamily("memsidecar_build_info", "Version of memsidecar.", labels=["version"])
        build.add_metric([__version__], 1)
        yield build

    def _client_families(self) -> Iterator[Metric]:
        now = self._metrics
        yield GaugeMetricFamily("memsidecar_clients", "Client connections open now.", value=now.clients)
        yield _counter("memsidecar_clients_accepted", "Client connections accepted.", now.clients_accepted)
        yield _counter(
            "memsidecar_clients_over_output_limit",
            "Clients disconnected because they left too many replies unread.",
            now.clients_over_output_limit,
        )
        yield _counter(
            "memsidecar_clients_over_held_limit",
            "Clients disconnected because all together held too much of unfinished and waiting requests.",
            now.clients_over_held_limit,
        )
        traffic = CounterMetricFamily("memsidecar_client_bytes", "Bytes from and to clients.", labels=["direction"])
        traffic.add_metric(["in"], now.client_bytes_in)
        traffic.add_metric(["out"], now.client_bytes_out)
        yield traffic
        yield _counter("memsidecar_redis_reconnects", "Reconnects of our own connections.", now.redis_reconnects)

    def _memory_families(self) -> Iterator[Metric]:
        now = self._metrics
        commands = CounterMetricFamily("memsidecar_commands", "MEM commands answered.", labels=["command", "outcome"])
        for (name, outcome), count in now._commands.copy().items():
            commands.add_metric([name, outcome], count)
        yield commands
        latency = HistogramMetricFamily(
            "memsidecar_command_duration_seconds", "From the command's arrival to its reply.", labels=["command"]
        )
        for name, histogram in now._latency.copy().items():
            latency.add_metric([name], histogram.cumulative(), histogram.total)
        yield latency
        yield _counter("memsidecar_messages_appended", "Messages stored.", now.messages_appended)
        yield _counter("memsidecar_tokens_appended", "Tokens of the messages stored.", now.tokens_appended)
        yield _counter("memsidecar_appends_repeated", "Appends answered by the first reply.", now.duplicates)
        yield _counter("memsidecar_tokens_read", "Tokens returned by reads.", now.tokens_read)
        yield _counter(
            "memsidecar_messages_left_out",
            "Messages that a read passed over: too large for it, or half of a tool call and its results.",
            now.left_out,
        )
        redactions = CounterMetricFamily("memsidecar_redactions", "What was redacted, by kind.", labels=["kind"])
        for kind, count in now._redactions.copy().items():
            redactions.add_metric([kind], count)
        yield redactions

    def _lock_families(self) -> Iterator[Metric]:
        now = self._metrics
        yield _counter("memsidecar_locks_acquired", "Leases granted.", now.locks_acquired)
        yield _counter(
            "memsidecar_locks_refused", "Locks and changes kept out by somebody else's lease.", now.locks_refused
        )
        yield _counter(
            "memsidecar_locks_lost", "Leases that had ended when their holder still needed them.", now.locks_lost
        )
        waits = HistogramMetricFamily(
            "memsidecar_lock_wait_seconds", "Waits for somebody else's lease that ended well."
        )
        waits.add_metric([], now._lock_waits.cumulative(), now._lock_waits.total)
        yield waits

    def _flush_families(self) -> Iterator[Metric]:
        now = self._metrics
        triggers = CounterMetricFamily(
            "memsidecar_flush_triggers", "Due marks seen, by what became of them.", labels=["outcome"]
        )
        for outcome, count in now._triggers.copy().items():
            triggers.add_metric([outcome], count)
        yield triggers
        runs = CounterMetricFamily("memsidecar_flush_runs", "Flushes ended.", labels=["strategy", "status"])
        for (strategy, status), count in now._runs.copy().items():
            runs.add_metric([strategy, status], count)
        yield runs
        seconds = HistogramMetricFamily("memsidecar_flush_duration_seconds", "From begin to commit.")
        seconds.add_metric([], now._run_seconds.cumulative(), now._run_seconds.total)
        yield seconds
        yield _counter("memsidecar_flush_messages_freed", "Messages removed by flushes.", now._messages_freed)
        yield _counter("memsidecar_flush_tokens_freed", "Tokens removed by flushes.", now._tokens_freed)
        yield _counter("memsidecar_flush_summary_tokens", "Tokens of summaries written.", now._summary_tokens)
        yield _counter_by("memsidecar_summary_failures", "Tries without a summary.", "reason", now._summary_failures)
        yield _counter_by(
            "memsidecar_flush_fallbacks", "Flushes that went on without their summariser.", "fallback", now._fallbacks
        )
        yield _counter_by(
            "memsidecar_summary_model_tokens",
            "Tokens that language models report for summaries.",
            "direction",
            now._model_tokens,
        )
        yield GaugeMetricFamily("memsidecar_outbox_depth", "Memories waiting for a flush.", value=now.outbox_depth)
        yield GaugeMetricFamily(
            "memsidecar_outbox_oldest_age_seconds", "Age of the oldest due mark.", value=now.outbox_age_seconds
        )
        if now.engine_up is not None:
            yield GaugeMetricFamily(
                "memsidecar_flush_engine_up", "Whether the flush engine answers.", value=float(now.engine_up)
            )


def _counter(name: str, text: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(name, text, value=value)


def _counter_by(name: str, text: str, label: str, values: Counter[str]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=[label])
    for value, count in values.copy().items():
        family.add_metric([value], count)
    return family
