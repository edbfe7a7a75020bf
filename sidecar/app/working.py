"""The Temporal worker's process."""

from __future__ import annotations

import asyncio
import signal

from sidecar.app.building import make_dialer, make_flush_steps, make_redis_client, ready_counter
from sidecar.app.process import favour_the_event_loop, stop_on_signals
from sidecar.app.reloading import DefinitionsReload
from sidecar.app.tracing import Tracing
from sidecar.app.worker_pages import WorkerPages
from sidecar.config.definitions import Definitions
from sidecar.config.settings import Settings
from sidecar.memory.catalogue import Catalogue
from sidecar.memory.keys import KeySpace
from sidecar.metrics import Metrics
from sidecar.store.outbox import Outbox
from sidecar.store.script_client import ScriptClient


async def work(settings: Settings, definitions: Definitions) -> None:
    """Run the Temporal worker until SIGTERM or SIGINT. SIGHUP reads the definitions anew.

    Raises:
        ConfigurationError: Temporal's own configuration, the payload codec or OpenTelemetry cannot be used; or an
            address for the worker's pages cannot be had.
    """
    # Not at the top: a sidecar with the local engine does not pay for loading the SDK.
    from sidecar.app.temporal import make_sweep, make_temporal_engine, show_sdk_metrics, temporal_place, worker_options
    from sidecar.temporal.activities import FlushActivities
    from sidecar.temporal.codec import converter
    from sidecar.temporal.worker import run_worker

    show_sdk_metrics(settings.temporal_metrics_listen)
    place = temporal_place(settings)
    engine = make_temporal_engine(settings, place)
    stop = stop_on_signals()
    favour_the_event_loop()
    counter = ready_counter(settings, definitions.by_id.values())
    metrics = Metrics()
    tracing = Tracing(settings, "memsidecar-worker")
    dialer = make_dialer(settings)
    client = make_redis_client(settings, dialer)
    catalogue = Catalogue(definitions.by_id, strict=definitions.strict, summarisers=definitions.summarisers)
    reload = DefinitionsReload(settings, catalogue, told=metrics.reloaded)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload.start)
    steps = make_flush_steps(settings, catalogue, client, metrics, tracing.tracer)
    space = KeySpace(settings.key_prefix, settings.project)
    pages = WorkerPages(
        settings=settings,
        metrics=metrics,
        scripts=ScriptClient(client),
        engine=engine,
        counter=counter,
        catalogue=catalogue,
        space=space,
    )
    try:
        await pages.open()
        await run_worker(
            activities=FlushActivities(steps=steps, metrics=metrics, project=settings.project),
            stop=stop,
            address=place.address,
            namespace=place.namespace,
            task_queue=settings.temporal_task_queue,
            security=place.security,
            converter=converter(settings.temporal_payload_codec),
            options=worker_options(settings),
            sweep=make_sweep(settings, engine, Outbox(client, space), catalogue),
            on_polling=pages.polling,
        )
    finally:
        await pages.close()
        await reload.close()
        await engine.close()
        await client.aclose()
        await dialer.close()
        await tracing.close()
