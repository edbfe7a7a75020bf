"""The Temporal worker's process."""

from __future__ import annotations

import asyncio
import signal

from sidecar.app.building import make_dialer, make_flush_steps, make_redis_client, temporal_key
from sidecar.app.process import stop_on_signals
from sidecar.app.reloading import DefinitionsReload
from sidecar.config.definitions import Definitions
from sidecar.config.settings import Settings
from sidecar.memory.catalogue import Catalogue
from sidecar.metrics import Metrics


async def work(settings: Settings, definitions: Definitions) -> None:
    """Run the Temporal worker until SIGTERM or SIGINT. SIGHUP reads the definitions anew."""
    # Not at the top: a sidecar with the local engine does not pay for loading the SDK.
    from sidecar.temporal.activities import FlushActivities
    from sidecar.temporal.connection import Security
    from sidecar.temporal.worker import run_worker

    stop = stop_on_signals()
    metrics = Metrics()
    dialer = make_dialer(settings)
    client = make_redis_client(settings, dialer)
    catalogue = Catalogue(definitions.by_id, strict=definitions.strict, summarisers=definitions.summarisers)
    reload = DefinitionsReload(settings, catalogue)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload.start)
    steps = make_flush_steps(settings, catalogue, client, metrics)
    try:
        await run_worker(
            activities=FlushActivities(steps=steps, metrics=metrics, project=settings.project),
            stop=stop,
            address=settings.temporal_address,
            namespace=settings.temporal_namespace,
            task_queue=settings.temporal_task_queue,
            security=Security(api_key=temporal_key(settings), tls=settings.temporal_tls),
        )
    finally:
        await reload.close()
        await client.aclose()
        await dialer.close()
