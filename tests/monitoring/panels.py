"""What the dashboard shows: rows of panels, each with its queries. `dashboard.py` makes Grafana's JSON of it.

In a query `$on` stands for the choice of job and instance at the top of the page, and `$window` for the span that a
rate is taken over. Gauges that all sidecars see alike (the outbox) are not added up.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Query:
    """A query, and what its series are called; `{{label}}` in the name stands for a label's value."""

    expression: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """A picture.

    Args:
        unit: Grafana's name of it; `short` is a number.
        text: what the picture means and what to do about it, shown on the `i`.
        bad: from here on the value is red; None: there is no such value.
        good: up to this point it is red, above it green: for what should be 1.
    """

    title: str
    unit: str
    queries: tuple[Query, ...]
    text: str
    kind: str = "timeseries"
    width: int = 8
    bad: float | None = None
    good: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


def _rate(metric: str, by: str = "", **labels: str) -> str:
    chosen = "".join(f', {name}="{value}"' for name, value in labels.items())
    return f"sum{f' by ({by})' if by else ''} (rate({metric}{{$on{chosen}}}[$window]))"


def _quantile(share: float, metric: str, by: str = "") -> str:
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, sum by ({labels}) (rate({metric}_bucket{{$on}}[$window])))"


def _quantiles(metric: str, by: str = "") -> tuple[Query, ...]:
    name = f" {{{{{by}}}}}" if by else ""
    return tuple(Query(_quantile(share, metric, by), f"p{share * 100:g}{name}") for share in (0.5, 0.99))


_COST = (
    "3600 / 1e6 * (sum by (summariser) (rate(memsidecar_model_tokens_total"
    '{$on, direction="in"}[$window])) * $price_in + sum by (summariser) '
    '(rate(memsidecar_model_tokens_total{$on, direction="out"}[$window])) * $price_out)'
)

ROWS = (
    Row(
        "At a glance",
        (
            Panel(
                "Redis",
                "bool_yes_no",
                (Query("min(memsidecar_redis_up{$on})"),),
                "Whether every sidecar and worker reaches Redis. Without it nobody is served.",
                kind="stat",
                width=4,
                good=0.5,
            ),
            Panel(
                "Flush engine",
                "bool_yes_no",
                (Query("min(memsidecar_flush_engine_up{$on})"),),
                "Whether Temporal (or the local engine) answers. Without it flushes wait; nothing is lost.",
                kind="stat",
                width=4,
                good=0.5,
            ),
            Panel(
                "MEM commands",
                "reqps",
                (Query(_rate("memsidecar_commands_total")),),
                "MEM commands answered per second.",
                kind="stat",
                width=4,
            ),
            Panel(
                "Errors",
                "percentunit",
                (
                    Query(
                        '(sum(rate(memsidecar_commands_total{$on, outcome!="ok"}[$window])) or vector(0)) / '
                        "clamp_min(sum(rate(memsidecar_commands_total{$on}[$window])), 0.001)"
                    ),
                ),
                "Share of MEM commands answered by an error, those that are the caller's mistake among them.",
                kind="stat",
                width=4,
                bad=0.05,
            ),
            Panel(
                "Oldest mark",
                "s",
                (Query("max(memsidecar_outbox_oldest_age_seconds{$on})"),),
                "How long a memory has waited for its flush. Minutes mean that flushes are not started, or fail.",
                kind="stat",
                width=4,
                bad=300,
            ),
            Panel(
                "Versions",
                "short",
                (
                    Query(
                        "count by (version, compiled) (memsidecar_build_info{$on})", "{{version}} compiled={{compiled}}"
                    ),
                ),
                "Processes by version. One that is not compiled does less per core.",
                kind="stat",
                width=4,
            ),
        ),
    ),
    Row(
        "Requests",
        (
            Panel(
                "MEM commands",
                "reqps",
                (Query(_rate("memsidecar_commands_total", "command"), "{{command}}"),),
                "MEM commands answered per second, by command.",
            ),
            Panel(
                "MEM commands answered by an error",
                "reqps",
                (
                    Query(
                        'sum by (command, outcome) (rate(memsidecar_commands_total{$on, outcome!="ok"}[$window]))',
                        "{{command}} {{outcome}}",
                    ),
                ),
                "By the first word of the error; docs/commands.md says what each one means.",
            ),
            Panel(
                "Duration of MEM commands, p99",
                "s",
                (Query(_quantile(0.99, "memsidecar_command_duration_seconds", "command"), "{{command}}"),),
                "From arrival to reply. Commands that wait (BLOCK, WAIT) count with their wait.",
            ),
            Panel(
                "Duration of forwarded commands",
                "s",
                _quantiles("memsidecar_forward_duration_seconds"),
                "From bytes of a client that were passed on to the first byte of the answer. Blocking commands count "
                "with their wait.",
            ),
            Panel(
                "Round trips to Redis of MEM commands",
                "s",
                _quantiles("memsidecar_redis_round_trip_seconds"),
                "What Redis and the network take of the above.",
            ),
            Panel(
                "Event loop lag",
                "s",
                _quantiles("memsidecar_event_loop_lag_seconds"),
                "How late the process gets round to things. Above some 10 ms it has more to do than one core does.",
            ),
        ),
    ),
    Row(
        "Clients and processes",
        (
            Panel(
                "Clients",
                "short",
                (
                    Query("sum(memsidecar_clients{$on})", "connected"),
                    Query("sum(memsidecar_redis_connections{$on})", "connections to Redis for MEM commands"),
                ),
                "Connections open now.",
            ),
            Panel(
                "Clients that were not served",
                "short",
                (
                    Query("sum(increase(memsidecar_clients_refused_total{$on}[$window]))", "refused: MAX_CLIENTS"),
                    Query(
                        "sum(increase(memsidecar_clients_over_output_limit_total{$on}[$window]))",
                        "disconnected: MAX_OUTPUT_BYTES",
                    ),
                    Query(
                        "sum(increase(memsidecar_clients_over_held_limit_total{$on}[$window]))",
                        "disconnected: MAX_HELD_BYTES",
                    ),
                    Query("sum(increase(memsidecar_protocol_errors_total{$on}[$window]))", "no Redis protocol"),
                ),
                "Who met a limit, or sent what is no request.",
            ),
            Panel(
                "Traffic",
                "Bps",
                (Query(_rate("memsidecar_client_bytes_total", "direction"), "{{direction}}"),),
                "Bytes from and to clients.",
            ),
            Panel(
                "Held back",
                "bytes",
                (Query("sum(memsidecar_held_bytes{$on})", "unfinished and waiting requests"),),
                "What clients have sent and is not served yet; all together may hold MAX_HELD_BYTES.",
            ),
            Panel(
                "Pauses",
                "ops",
                (Query(_rate("memsidecar_pauses_total", "side"), "{{side}} not read"),),
                "How often one side was not read because the other did not keep up.",
            ),
            Panel(
                "Redis: reconnects and refusals",
                "ops",
                (
                    Query(_rate("memsidecar_redis_reconnects_total"), "reconnects"),
                    Query(_rate("memsidecar_redis_errors_total", "error"), "{{error}}"),
                ),
                "Connections of our own that broke, and errors with which Redis answered our commands.",
            ),
            Panel(
                "Processor",
                "percentunit",
                (Query("rate(process_cpu_seconds_total{$on}[$window])", "{{job}} {{instance}}"),),
                "Cores in use. A sidecar of one process cannot use more than one; see docs/workers.md.",
            ),
            Panel(
                "Memory",
                "bytes",
                (Query("process_resident_memory_bytes{$on}", "{{job}} {{instance}}"),),
                "Resident memory.",
            ),
            Panel(
                "File descriptors",
                "percentunit",
                (Query("process_open_fds{$on} / process_max_fds{$on}", "{{job}} {{instance}}"),),
                "Of those that a process may have; each client takes two.",
            ),
        ),
    ),
    Row(
        "Memories",
        (
            Panel(
                "Appended",
                "short",
                (
                    Query(_rate("memsidecar_messages_appended_total"), "messages/s"),
                    Query(_rate("memsidecar_tokens_appended_total"), "tokens/s"),
                ),
                "What was stored.",
            ),
            Panel(
                "Read: tokens",
                "short",
                (Query(_rate("memsidecar_tokens_read_total", "kind"), "{{kind}}"),),
                "Tokens returned per second, by kind of read.",
            ),
            Panel(
                "Reads",
                "reqps",
                (Query(_rate("memsidecar_reads_total", "kind"), "{{kind}}"),),
                "Reads per second, by kind.",
            ),
            Panel(
                "Messages per read",
                "short",
                (
                    Query(
                        f"{_rate('memsidecar_messages_read_total', 'kind')} / "
                        "clamp_min(sum by (kind) (rate(memsidecar_reads_total{$on}[$window])), 0.001)",
                        "{{kind}}",
                    ),
                ),
                "What a read costs grows with it.",
            ),
            Panel(
                "Left out, repeated, redacted",
                "ops",
                (
                    Query(_rate("memsidecar_messages_left_out_total", "reason"), "left out: {{reason}}"),
                    Query(_rate("memsidecar_appends_repeated_total"), "appends repeated"),
                    Query(_rate("memsidecar_redactions_total", "kind"), "redacted: {{kind}}"),
                ),
                "Messages that a read passed over, appends that were there already, and what privacy took out.",
            ),
            Panel(
                "Locks",
                "ops",
                (
                    Query(_rate("memsidecar_locks_acquired_total"), "granted"),
                    Query(_rate("memsidecar_locks_refused_total"), "kept out"),
                    Query(_rate("memsidecar_locks_lost_total"), "lost"),
                    Query("sum(memsidecar_lock_waiters{$on})", "waiting now"),
                    Query(_quantile(0.99, "memsidecar_lock_wait_seconds"), "p99 of waits, s"),
                ),
                "Leases. Lost ones had ended when their holder still needed them: they are too short.",
            ),
        ),
    ),
    Row(
        "Flushes",
        (
            Panel(
                "Flushes",
                "ops",
                (Query(_rate("memsidecar_flush_runs_total", "strategy, outcome"), "{{strategy}} {{outcome}}"),),
                "Flushes that ended. A failed one leaves the memory as it was, and is tried again.",
            ),
            Panel(
                "Duration of flushes",
                "s",
                _quantiles("memsidecar_flush_duration_seconds", "strategy"),
                "From begin to commit, the summary included.",
            ),
            Panel(
                "Due marks",
                "ops",
                (Query(_rate("memsidecar_flush_triggers_total", "outcome"), "{{outcome}}"),),
                "Marks that were seen, by what became of them. Failed: the engine could not be reached.",
            ),
            Panel(
                "Waiting for a flush",
                "short",
                (Query("max(memsidecar_outbox_depth{$on})", "memories"),),
                "The outbox's depth at the last sweep.",
            ),
            Panel(
                "Age of the oldest mark, and of the last sweep",
                "s",
                (
                    Query("max(memsidecar_outbox_oldest_age_seconds{$on})", "oldest mark"),
                    Query("time() - max(memsidecar_outbox_swept_timestamp_seconds{$on} > 0)", "last sweep"),
                ),
                "Old marks mean that flushes do not get through; an old sweep, that nobody looks.",
            ),
            Panel(
                "What flushes took and left",
                "short",
                (
                    Query(_rate("memsidecar_flush_tokens_freed_total"), "tokens freed/s"),
                    Query(_rate("memsidecar_flush_summaries_tokens_total"), "tokens of summaries/s"),
                    Query(_rate("memsidecar_flush_messages_freed_total"), "messages freed/s"),
                ),
                "Freed tokens are no longer paid for in each call of the agent's model.",
            ),
        ),
    ),
    Row(
        "Cost of summaries",
        (
            Panel(
                "Cost per hour",
                "currencyUSD",
                (Query(_COST, "{{summariser}}"),),
                "What models report of tokens, times the prices per million tokens at the top of the page.",
            ),
            Panel(
                "Tokens of models",
                "short",
                (
                    Query(
                        _rate("memsidecar_model_tokens_total", "summariser, direction"),
                        "{{summariser}} {{direction}}",
                    ),
                ),
                "Tokens per second, as the models count them.",
            ),
            Panel(
                "Calls, failures, fallbacks",
                "ops",
                (
                    Query(_rate("memsidecar_model_calls_total", "summariser"), "calls: {{summariser}}"),
                    Query(_rate("memsidecar_summaries_failed_total", "reason"), "no summary: {{reason}}"),
                    Query(_rate("memsidecar_flush_fallbacks_total", "fallback"), "fell back: {{fallback}}"),
                ),
                "Tries without a summary, and flushes that went on without their summariser; docs/summarisers.md.",
            ),
        ),
    ),
)
