"""Decides what `memsidecar dev` starts and where, before anything is started.

The options of the user go in, a `DevPlan` comes out; `launcher` carries it out and `banner` shows it. Ports
are looked at here, so that a taken one is an answer within milliseconds and not the last words of a server.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sidecar.dev.binaries import (
    INSTALL_TEMPORAL,
    Places,
    find_redis_server,
    find_temporal,
    maybe_find_temporal,
)
from sidecar.dev.ports import LOOPBACK, free_port, is_free, port_or_free
from sidecar.dev.problems import BadOption, PortBusy

SIDECAR_PORT = 6380
"""One above Redis's own, which may be in use by a Redis."""

METRICS_PORT = 9464
"""Registered by custom for the Prometheus endpoint of a program."""

TEMPORAL_PORT = 7233
TEMPORAL_UI_PORT = 8233
"""Temporal's own; its tools look there without being told."""

Engine = Literal["temporal", "local"]


@dataclass(frozen=True, slots=True)
class DevOptions:
    """What the user asked for. A port of 0 means any free one.

    Args:
        port: where the sidecar listens for Redis clients.
        metrics_port: where it answers /metrics, /healthz and /readyz.
        redis_url: a Redis that runs already; None starts one.
        redis_port: port of the Redis that is started; None takes a free one.
        temporal_address: `host:port` of a Temporal that runs already; None starts one if its program is there.
        engine: "temporal" or "local"; None takes Temporal where it can be had.
        data: directory in which Redis and Temporal keep their data; None keeps nothing.
        config: YAML file with memory definitions, which the caller has checked; None means the built-in ones.
        workers: processes of the sidecar.
    """

    port: int = SIDECAR_PORT
    metrics_port: int = METRICS_PORT
    redis_url: str | None = None
    redis_port: int | None = None
    temporal_address: str | None = None
    engine: Engine | None = None
    data: Path | None = None
    config: Path | None = None
    workers: int = 1


@dataclass(frozen=True, slots=True)
class RedisPlan:
    """The Redis to start."""

    program: Path
    port: int


@dataclass(frozen=True, slots=True)
class TemporalPlan:
    """The Temporal dev server to start."""

    program: Path
    port: int
    ui_port: int


@dataclass(frozen=True, slots=True)
class DevPlan:
    """What runs where. `redis` and `temporal` are None where nothing is started.

    `redis_url` and `temporal_address` are what the sidecar is told; the address is None for the local engine.
    `notes` are sentences for the banner: what is not as the user may expect it.
    """

    port: int
    metrics_port: int
    redis: RedisPlan | None
    redis_url: str
    temporal: TemporalPlan | None
    temporal_address: str | None
    config: Path | None
    keeps_data: bool
    notes: tuple[str, ...] = ()
    workers: int = 1

    @property
    def engine(self) -> Engine:
        """Who runs the flushes."""
        return "local" if self.temporal_address is None else "temporal"

    def settings(self) -> dict[str, str]:
        """Return the environment variables that tell the sidecar and the worker all of this."""
        settings = {
            "MEMSIDECAR_REDIS_URL": self.redis_url,
            "MEMSIDECAR_ENGINE": self.engine,
            "MEMSIDECAR_WORKERS": str(self.workers),
        }
        if self.temporal_address is not None:
            settings["MEMSIDECAR_TEMPORAL_ADDRESS"] = self.temporal_address
            settings["MEMSIDECAR_TEMPORAL_NAMESPACE"] = "default"
        if self.temporal is not None:
            # Temporal's own variables may be set for a server elsewhere; ours speaks plain.
            settings["MEMSIDECAR_TEMPORAL_TLS"] = "false"
        if self.config is not None:
            settings["MEMSIDECAR_DEFINITIONS"] = str(self.config)
        return settings


def make_plan(options: DevOptions, *, places: Places | None = None) -> DevPlan:
    """Return what to start for `options`; `places` is where programs are, None means this machine.

    Raises `BadOption`, `PortBusy` or `ProgramMissing`.
    """
    _check(options)
    notes: list[str] = []
    port = _wanted(options.port, purpose="the sidecar", option="--port")
    metrics_port = _wanted(options.metrics_port, purpose="its metrics", option="--metrics-port")
    redis = None if options.redis_url else _plan_redis(options, places)
    temporal = _plan_temporal(options, places, notes)
    if options.data is not None and redis is None and temporal is None:
        raise BadOption("--data is for the Redis and the Temporal that are started, and none is; leave it out")
    address = options.temporal_address
    if temporal is not None:
        address = f"{LOOPBACK}:{temporal.port}"
    return DevPlan(
        port=port,
        metrics_port=metrics_port,
        redis=redis,
        redis_url=f"redis://{LOOPBACK}:{redis.port}/0" if redis else str(options.redis_url),
        temporal=temporal,
        temporal_address=address,
        config=options.config.absolute() if options.config else None,
        keeps_data=options.data is not None,
        notes=tuple(notes),
        workers=options.workers,
    )


def _check(options: DevOptions) -> None:
    if options.redis_url is not None and options.redis_port is not None:
        raise BadOption("--redis-port is for a Redis to start, --redis names one that runs; give one of them")
    if options.engine == "local" and options.temporal_address is not None:
        raise BadOption("--engine local uses no Temporal; leave out --temporal, or give --engine temporal")
    if options.port == options.metrics_port != 0:
        raise BadOption(f"--port and --metrics-port are both {options.port}; the sidecar needs two ports")


def _wanted(port: int, *, purpose: str, option: str) -> int:
    if port == 0:
        return free_port()
    if not is_free(port):
        raise PortBusy(port, purpose=purpose, option=option)
    return port


def _plan_redis(options: DevOptions, places: Places | None) -> RedisPlan:
    port = _wanted(options.redis_port or 0, purpose="the embedded Redis", option="--redis-port")
    return RedisPlan(program=find_redis_server(places=places), port=port)


def _plan_temporal(options: DevOptions, places: Places | None, notes: list[str]) -> TemporalPlan | None:
    if options.temporal_address is not None or options.engine == "local":
        return None
    find = find_temporal if options.engine == "temporal" else maybe_find_temporal
    program = find(places=places)
    if program is None:
        notes.append(
            "The sidecar runs the flushes itself (local engine), because no temporal program was found; "
            f"to try them with Temporal, {INSTALL_TEMPORAL}."
        )
        return None
    port, ui_port = port_or_free(TEMPORAL_PORT), port_or_free(TEMPORAL_UI_PORT)
    for what, usual, chosen in (
        ("Temporal", TEMPORAL_PORT, port),
        ("Its web page", TEMPORAL_UI_PORT, ui_port),
    ):
        if chosen != usual:
            notes.append(f"{what} runs on port {chosen}, because its usual port {usual} is taken.")
    return TemporalPlan(program=program, port=port, ui_port=ui_port)
