"""What only building a part would find: that something is not installed, or a file or variable of others is of no use.

For `memsidecar check`; nothing is connected, and what the settings do not ask for is not loaded.
"""

from __future__ import annotations

from collections.abc import Callable

from sidecar.app.building import make_client_tls, ready_counter
from sidecar.config.definitions import Definitions
from sidecar.config.settings import Settings
from sidecar.errors import ConfigurationError


def check(settings: Settings, definitions: Definitions) -> None:
    """Try the parts that the settings ask for.

    Raises:
        ConfigurationError: with every problem of all of them.
    """
    problems: list[str] = []
    parts: tuple[Callable[[], object], ...] = (
        lambda: make_client_tls(settings),
        lambda: _tokens(settings, definitions),
        lambda: _temporal(settings),
        lambda: _tracing(settings),
    )
    for part in parts:
        try:
            part()
        except ConfigurationError as problem:
            problems += problem.problems
    if problems:
        raise ConfigurationError(problems)


def _tokens(settings: Settings, definitions: Definitions) -> None:
    if settings.token_engine == "native":  # the one that may be missing; `auto` takes what there is
        ready_counter(settings, definitions.by_id.values())


def _temporal(settings: Settings) -> None:
    if settings.engine != "temporal" and settings.temporal_payload_codec is None:
        return
    from sidecar.app.temporal import make_temporal_engine, temporal_place

    make_temporal_engine(settings, temporal_place(settings))


def _tracing(settings: Settings) -> None:
    if settings.tracing == "otlp":
        from sidecar.tracing import check_environment

        check_environment()
