"""What Temporal's SDK logs, without names of memories: the ids of their flushes are everywhere in it.

The part in Python uses `logging`, and goes the way of every library (`sidecar.logs.libraries`). The part in Rust, Core,
hands its records over as finished text; what is shown of these is chosen here.
"""

from __future__ import annotations

import logging
import re
from typing import Any

import structlog
from temporalio import activity, workflow
from temporalio.runtime import LogForwardingConfig, LoggingConfig, TelemetryFilter

from sidecar.flush.names import without_ids

_CODE = re.compile(r"\bcode: '?([A-Za-z ]+)")
"""What of an error of Core's is shown: the gRPC code. Its debug form holds whatever the server answered."""

_SHOWN_OBJECT = re.compile(r"[\[{\"]")
"""How the debug form of an object begins, within a text of Core's; it may be a run's input, or a failure."""

_log = structlog.get_logger(__name__)


def quiet_logging() -> LoggingConfig:
    """Return how Core logs, and have the SDK's Python part leave the ids out of its texts."""
    activity.logger.activity_info_on_message = False
    workflow.logger.workflow_info_on_message = False
    logger = logging.getLogger("sidecar.temporal.core")
    logger.propagate = False
    logger.handlers[:] = [_CoreHandler()]
    # Without forwarding, Core writes its warnings raw to stdout, between the lines of our own log.
    forwarding = LogForwardingConfig(
        logger=logger, append_target_to_name=False, prepend_target_on_message=False, append_log_fields_to_message=False
    )
    return LoggingConfig(filter=TelemetryFilter(core_level="WARN", other_level="ERROR"), forwarding=forwarding)


class _CoreHandler(logging.Handler):
    """Makes lines of our log of Core's records."""

    def emit(self, record: logging.LogRecord) -> None:
        core = getattr(record, "temporal_log", None)
        facts: dict[str, Any] = {}
        if core is not None:
            facts["target"] = core.target
            error = core.fields.get("error") or core.fields.get("err")
            if error is not None and (code := _CODE.search(str(error))):
                facts["error"] = code[1].strip()
        say = _log.error if record.levelno >= logging.ERROR else _log.warning
        text = _SHOWN_OBJECT.split(without_ids(record.getMessage()), maxsplit=1)[0]
        say("temporal.core", text=text.strip(), **facts)
