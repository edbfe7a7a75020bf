"""One connection to Temporal: where it is, how this process talks to it, and what its errors mean to us.

Used by `starter` and `worker`, which differ in patience: a start must fail fast because the outbox repeats it, a
worker's answers must get through. It does not supervise anything; both of its users do that themselves.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from temporalio.client import Client
from temporalio.converter import DataConverter
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig
from temporalio.service import KeepAliveConfig, RetryConfig, RPCError, TLSConfig

from sidecar.errors import EngineUnavailable
from sidecar.flush.names import without_ids
from sidecar.temporal.sdk_logs import quiet_logging

DEFAULT_ADDRESS = "127.0.0.1:7233"
DEFAULT_NAMESPACE = "default"

DEFAULT_TASK_QUEUE = "memsidecar-flush"
"""Where starters leave runs and workers find them. One project per task queue: a worker knows one project only."""

CONNECT_TIMEOUT = timedelta(seconds=2)
"""For the TCP connection alone; a host that drops packets would otherwise cost the system's two minutes."""

KEEP_ALIVE = KeepAliveConfig(interval_millis=10_000, timeout_millis=5_000)
"""Finds a peer that vanished without a word, in 15 s instead of the SDK's 45: nothing else limits the wait for an
outcome."""

FAIL_FAST = RetryConfig(
    initial_interval_millis=50,
    max_interval_millis=200,
    max_elapsed_time_millis=500,
    max_retries=2,
)
"""One blip may be ridden out, a dead server may not: by default it costs 6 to 10 s per call."""

_RUST_MESSAGE = re.compile(r'message: "([^"]+)"')

_runtimes: dict[int, Runtime] = {}


@dataclass(frozen=True, slots=True)
class Security:
    """How to get into a Temporal that is not on localhost.

    Args:
        api_key: sent as a bearer token, for instance to Temporal Cloud; None sends none.
        tls: whether to use TLS. None: with any of the other fields.
        server_name: name on the server's certificate where it differs from the address; None if it does not.
        ca: PEM of the authority that signed it; None trusts the system's authorities.
        certificate, key: PEM of our own certificate and its key, both or neither.
        metadata: headers of every call.
    """

    api_key: str | None = None
    tls: bool | None = None
    server_name: str | None = None
    ca: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    def config(self) -> TLSConfig | bool:
        """Return what the SDK takes as `tls`."""
        if self.tls is False:
            return False
        if self.ca or self.certificate or self.key or self.server_name:
            return TLSConfig(
                server_root_ca_cert=self.ca,
                domain=self.server_name,
                client_cert=self.certificate,
                client_private_key=self.key,
            )
        return bool(self.tls) or self.api_key is not None


async def connect(
    *,
    address: str,
    namespace: str,
    security: Security,
    converter: DataConverter = DataConverter.default,
    retry: RetryConfig | None = None,
    lazy: bool,
) -> Client:
    """Return a client on the runtime of this process.

    Args:
        address: `host:port`.
        namespace: must exist; only the first call finds out.
        security: TLS and identity.
        converter: through which everything goes that Temporal keeps; see `codec`.
        retry: how long a call is repeated while the server is away; None is the SDK's default, about 10 s.
        lazy: connect at the first call. Otherwise the server must answer now.

    Raises:
        RuntimeError: not lazy, and the server cannot be reached. There is no limit in time; the caller sets one.
    """
    return await Client.connect(
        address,
        namespace=namespace,
        api_key=security.api_key,
        tls=security.config(),
        rpc_metadata=security.metadata,
        data_converter=converter,
        retry_config=retry,
        keep_alive_config=KEEP_ALIVE,
        connect_timeout=CONNECT_TIMEOUT,
        lazy=lazy,
        runtime=process_runtime(),
    )


@asynccontextmanager
async def bounded(seconds: float, what: str) -> AsyncIterator[None]:
    """Limit calls of Temporal in time and translate what they raise.

    The limit of an RPC does not cover the connection that a lazy client opens for it, so this one is around both.

    Args:
        seconds: the limit.
        what: the subject of the error text, such as "the start of a flush".

    Raises:
        EngineUnavailable: Temporal did not answer in time, cannot be reached, or refuses.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as late:
        raise EngineUnavailable(f"{what}: Temporal did not answer within {seconds:g} s") from late
    except (RPCError, RuntimeError, OSError) as trouble:
        raise unavailable(what, trouble) from trouble


def unavailable(what: str, trouble: Exception) -> EngineUnavailable:
    """Return our error for one of the SDK's."""
    return EngineUnavailable(f"{what}: {explain(trouble)}")


def explain(trouble: BaseException) -> str:
    """Return one line on what the SDK raised, without names of memories; a refused connection is a builtin RuntimeError
    there."""
    text = without_ids(str(trouble))
    if isinstance(trouble, RPCError):
        return f"Temporal answered {trouble.status.name}: {text}"
    if isinstance(trouble, TimeoutError):
        return "Temporal did not answer in time"
    if not isinstance(trouble, RuntimeError | OSError):
        return type(trouble).__name__  # a bug, whose text may quote anything
    # The system's own words stand inside the debug form of several nested Rust errors.
    inner = _RUST_MESSAGE.search(text)
    return f"Temporal cannot be reached: {inner[1] if inner else text}"


def process_runtime(metrics_address: str | None = None) -> Runtime:
    """Return this process's runtime, made at the first call: its threads do not survive a fork.

    Args:
        metrics_address: IP address and port where the SDK serves its metrics from then on; None: nowhere. Only the
            first call can say so.

    Raises:
        ValueError: the address cannot be had.
    """
    runtime = _runtimes.get(os.getpid())
    if runtime is None:
        metrics = None
        if metrics_address is not None:
            # As Prometheus has it: counters end in _total, times are seconds and say so.
            metrics = PrometheusConfig(
                bind_address=metrics_address, counters_total_suffix=True, unit_suffix=True, durations_as_seconds=True
            )
        telemetry = TelemetryConfig(logging=quiet_logging(), metrics=metrics)
        runtime = _runtimes[os.getpid()] = Runtime(telemetry=telemetry)
    return runtime
