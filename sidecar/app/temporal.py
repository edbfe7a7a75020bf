"""Objects of the Temporal engine that are made of settings alone; importing this loads Temporal's SDK.

Used by `serving`, where the engine is Temporal, and by `working`.
"""

from __future__ import annotations

from collections.abc import Mapping

from sidecar.config.settings import Settings
from sidecar.errors import ConfigurationError
from sidecar.memory.definition import Definition
from sidecar.memory.keys import KeySpace
from sidecar.store.outbox import Outbox
from sidecar.temporal.codec import converter
from sidecar.temporal.connection import process_runtime
from sidecar.temporal.environment import Place, find
from sidecar.temporal.schedule import Sweep, SweepSchedule
from sidecar.temporal.starter import TemporalEngine
from sidecar.temporal.sweep import SweepActivity
from sidecar.temporal.worker import WorkerOptions


def temporal_place(settings: Settings) -> Place:
    """Return where Temporal is: our settings, then Temporal's own configuration, then the defaults.

    Raises:
        ConfigurationError: Temporal's own configuration cannot be read.
    """
    key = settings.temporal_api_key
    return find(
        address=settings.temporal_address,
        namespace=settings.temporal_namespace,
        api_key=key.get_secret_value() if key else None,
        tls=settings.temporal_tls,
        ca=settings.temporal_tls_ca,
        certificate=settings.temporal_tls_cert,
        key=settings.temporal_tls_key,
        server_name=settings.temporal_tls_server_name,
    )


def make_temporal_engine(settings: Settings, place: Place) -> TemporalEngine:
    """Return what starts flushes on Temporal.

    Raises:
        ConfigurationError: the payload codec cannot be loaded.
    """
    return TemporalEngine(
        address=place.address,
        namespace=place.namespace,
        task_queue=settings.temporal_task_queue,
        project=settings.project,
        security=place.security,
        converter=converter(settings.temporal_payload_codec),
        search_attributes=settings.temporal_search_attributes,
    )


def make_sweep(
    settings: Settings, engine: TemporalEngine, outbox: Outbox, definitions: Mapping[str, Definition]
) -> Sweep:
    """Return how a worker looks for marks that nobody serves."""
    space = KeySpace(settings.key_prefix, settings.project)
    return Sweep(
        SweepSchedule(settings.project, settings.temporal_sweep_interval_s),
        SweepActivity(outbox=outbox, engine=engine, space=space, definitions=definitions),
    )


def show_sdk_metrics(address: str | None) -> None:
    """Have Temporal's SDK serve its own metrics, where an address is set; before anything else makes use of it.

    Raises:
        ConfigurationError: the address cannot be had.
    """
    if address is None:
        return
    try:
        process_runtime(address)
    except ValueError as problem:
        raise ConfigurationError([f"temporal_metrics_listen: cannot listen on {address}: {problem}"]) from problem


def worker_options(settings: Settings) -> WorkerOptions:
    """Return how much a worker takes on."""
    return WorkerOptions(
        max_steps=settings.temporal_max_steps,
        workflow_tasks=settings.temporal_workflow_tasks,
        cached_runs=settings.temporal_cached_runs,
        polls=settings.temporal_polls,
        grace_seconds=settings.temporal_grace_s,
        deployment=settings.temporal_deployment,
        build_id=settings.temporal_build_id,
    )
