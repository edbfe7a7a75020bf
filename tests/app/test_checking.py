"""What `memsidecar check` finds by trying the parts that the settings ask for."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.app.checking import check
from sidecar.config.definitions import builtin_definitions
from sidecar.config.settings import Settings
from sidecar.errors import ConfigurationError


def problems(settings: Settings) -> list[str]:
    with pytest.raises(ConfigurationError) as found:
        check(settings, builtin_definitions())
    return found.value.problems


def test_nothing_is_wrong() -> None:
    """Not with the defaults, nor with Temporal and tracing where nothing else is set."""
    check(Settings(), builtin_definitions())
    check(Settings(engine="temporal", tracing="otlp"), builtin_definitions())


def test_everything_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part tells its own problem, and none hides another's."""
    no_certificate = tmp_path / "file.pem"
    no_certificate.write_text("hello")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317")
    found = problems(
        Settings(
            tls_cert=no_certificate,
            tls_key=no_certificate,
            temporal_payload_codec="no.such:thing",
            tracing="otlp",
        )
    )
    assert [line.partition(":")[0] for line in found] == ["tls_cert", "temporal_payload_codec", "tracing"]


def test_temporal_s_own_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read where flushes run on Temporal, and nowhere else."""
    broken = tmp_path / "temporal.toml"
    broken.write_text("this is no TOML")
    monkeypatch.setenv("TEMPORAL_CONFIG_FILE", str(broken))
    check(Settings(), builtin_definitions())
    assert len(problems(Settings(engine="temporal"))) == 1
