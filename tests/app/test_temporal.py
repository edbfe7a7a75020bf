"""What settings make of the Temporal engine."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from sidecar.app.temporal import make_temporal_engine, temporal_place, worker_options
from sidecar.config.settings import Settings
from sidecar.errors import ConfigurationError
from sidecar.temporal.worker import WorkerOptions


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("ADDRESS", "NAMESPACE", "API_KEY", "TLS", "PROFILE", "CONFIG_FILE"):
        monkeypatch.delenv(f"TEMPORAL_{name}", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_where_temporal_is(tmp_path: Path) -> None:
    """Every setting of the connection arrives there."""
    pem = tmp_path / "x.pem"
    pem.write_text("a certificate")
    settings = Settings(
        temporal_address="t:1",
        temporal_namespace="n",
        temporal_tls=True,
        temporal_tls_ca=pem,
        temporal_tls_cert=pem,
        temporal_tls_key=pem,
        temporal_tls_server_name="temporal.test",
        temporal_api_key=SecretStr("secret"),
    )
    place = temporal_place(settings)
    security = place.security
    assert (place.address, place.namespace) == ("t:1", "n")
    assert (security.api_key, security.tls, security.server_name) == ("secret", True, "temporal.test")
    assert security.ca == security.certificate == security.key == b"a certificate"


def test_the_defaults_of_a_worker() -> None:
    """Without settings a worker is what it is without options, and each setting has its option."""
    assert worker_options(Settings()) == WorkerOptions()
    settings = Settings(
        temporal_max_steps=1,
        temporal_workflow_tasks=3,
        temporal_cached_runs=4,
        temporal_polls=5,
        temporal_grace_s=6,
        temporal_deployment="flushes",
        temporal_build_id="7",
    )
    assert worker_options(settings) == WorkerOptions(1, 3, 4, 5, 6.0, "flushes", "7")


def test_a_codec_that_is_not_there() -> None:
    """A codec that cannot be loaded stops the start, with the setting's name."""
    settings = Settings(temporal_payload_codec="no_such_module:codec")
    with pytest.raises(ConfigurationError, match="temporal_payload_codec: 'no_such_module:codec' cannot be loaded"):
        make_temporal_engine(settings, temporal_place(settings))
