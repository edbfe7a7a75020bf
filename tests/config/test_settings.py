"""Settings: defaults, environment, command line, and everything that is wrong with them at once."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from sidecar.config.loading import load_settings
from sidecar.config.settings import Settings
from sidecar.errors import ConfigurationError
from tests.config.setting_values import DEFAULTS, OTHER
from tests.support.certificates import Authority, Certificate


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"MEMSIDECAR_{name.upper()}", raising=False)


def problems(**overrides: Any) -> list[str]:
    with pytest.raises(ConfigurationError) as problem:
        load_settings(**overrides)
    return problem.value.problems


def test_defaults() -> None:
    """Without anything, the settings suit a laptop."""
    settings, definitions = load_settings()
    assert settings.model_dump() == DEFAULTS
    assert list(definitions.by_id) == ["default"]


@pytest.mark.parametrize("name", OTHER)
def test_from_the_environment(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Each setting is read from its variable; the others keep their defaults."""
    monkeypatch.setenv(f"MEMSIDECAR_{name.upper()}", OTHER[name])
    dumped = load_settings()[0].model_dump()
    assert str(dumped[name]) in (OTHER[name], f"{OTHER[name]}.0")
    assert {**dumped, name: None} == {**DEFAULTS, name: None}


@pytest.mark.parametrize("name", OTHER)
def test_the_command_line_wins(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """An option wins over the variable; None means that it was not given."""
    monkeypatch.setenv(f"MEMSIDECAR_{name.upper()}", "not valid!")
    settings = load_settings(**{name: OTHER[name]})[0]
    assert str(getattr(settings, name)) in (OTHER[name], f"{OTHER[name]}.0")
    monkeypatch.setenv(f"MEMSIDECAR_{name.upper()}", OTHER[name])
    settings = load_settings(**{name: None})[0]
    assert str(getattr(settings, name)) in (OTHER[name], f"{OTHER[name]}.0")


FILES = (
    "tls_cert",
    "tls_key",
    "tls_client_ca",
    "redis_tls_ca",
    "redis_tls_cert",
    "redis_tls_key",
    "temporal_tls_ca",
    "temporal_tls_cert",
    "temporal_tls_key",
)
ADDRESS = "must be host:port, such as 127.0.0.1:6380"
WRONG: list[tuple[str, str, str]] = [
    *((name, wrong, f"'{wrong}' {ADDRESS}")
      for name in ("listen", "http_listen", "temporal_address")
      for wrong in ("6380", ":6380", "host", "host:", "host:port", "host:65536", "host:-1")),
    ("redis_url", "localhost:6379", "a Redis URL starts with redis://"),
    ("redis_url", "http://host", "a Redis URL starts with redis://, rediss://, unix://"),
    ("redis_url", "redis+sentinel://host", "the Redis URL must name the Sentinels' master"),
    ("unix_socket", "/missing/s.sock", "'/missing' is no directory; make it before the socket"),
    ("unix_socket", "/", "'/' exists and is no socket"),
    ("unix_socket", "/" + "x" * 103, f"'/{'x' * 103}' is longer than the 103 bytes that a socket's path may have"),
    *(("unix_socket_mode", wrong, f"'{wrong}' must be octal permissions of owner, group and others, such as 0700")
      for wrong in ("", "7", "0o700", "0780", "1777", "-700", "07_0", "rwx")),
    ("unix_socket_mode", "0770", "there is no socket to set permissions on; set MEMSIDECAR_UNIX_SOCKET"),
    ("protected_mode", "perhaps", "Input should be a valid boolean"),
    *((name, "/missing.pem", "'/missing.pem' cannot be read: No such file or directory") for name in FILES),
    *((name, "/", "'/' cannot be read: Is a directory") for name in FILES),
    *((name, "/dev/null", "the connection to Redis is not encrypted; MEMSIDECAR_REDIS_URL must begin with rediss://")
      for name in ("redis_tls_ca", "redis_tls_server_name")),
    ("redis_tls_server_name", "", "String should have at least 1 character"),
    ("tls_key", "/dev/null", "a certificate and its key go together; set MEMSIDECAR_TLS_CERT and this, or neither"),
    ("tls_client_ca", "/dev/null", "without TLS nobody shows a certificate; set MEMSIDECAR_TLS_CERT"),
    ("sentinel_username", "", "String should have at least 1 character"),
    ("sentinel_password", "", "Value should have at least 1 item"),
    ("sentinel_password", "s3cret", "there are no Sentinels; MEMSIDECAR_REDIS_URL must begin with redis+sentinel://"),
    ("redis_url", "redis://host/x", "the Redis URL ends with a database number, not 'x'"),
    ("project", "", "String should have at least 1 character"),
    ("project", "x" * 65, "String should have at most 64 characters"),
    ("key_prefix", "", "String should match pattern"),
    ("key_prefix", "a:b", "String should match pattern"),
    ("key_prefix", "{x}", "String should match pattern"),
    ("engine", "cron", "Input should be 'local' or 'temporal'"),
    ("temporal_namespace", "", "String should have at least 1 character"),
    ("temporal_task_queue", "", "String should have at least 1 character"),
    ("temporal_payload_codec", "codecs", "String should match pattern"),
    ("temporal_payload_codec", ":x", "String should match pattern"),
    ("temporal_sweep_interval_s", "0.9", "Input should be greater than or equal to 1"),
    ("temporal_sweep_interval_s", "86401", "Input should be less than or equal to 86400"),
    ("temporal_max_steps", "0", "Input should be greater than or equal to 1"),
    ("temporal_max_steps", "10001", "Input should be less than or equal to 10000"),
    ("temporal_workflow_tasks", "1", "Input should be greater than or equal to 2"),
    ("temporal_workflow_tasks", "1001", "Input should be less than or equal to 1000"),
    ("temporal_cached_runs", "-1", "Input should be greater than or equal to 0"),
    ("temporal_cached_runs", "100001", "Input should be less than or equal to 100000"),
    ("temporal_metrics_listen", "localhost:9466", "'localhost:9466' must be an IP address and a port"),
    ("temporal_polls", "1", "Input should be greater than or equal to 2"),
    ("temporal_polls", "101", "Input should be less than or equal to 100"),
    ("temporal_grace_s", "-1", "Input should be greater than or equal to 0"),
    ("temporal_grace_s", "3601", "Input should be less than or equal to 3600"),
    ("temporal_deployment", "", "String should have at least 1 character"),
    ("temporal_build_id", "7", "a deployment and a build id go together; set MEMSIDECAR_TEMPORAL_DEPLOYMENT and this"),
    ("temporal_tls_server_name", "", "String should have at least 1 character"),
    ("token_engine", "guess", "Input should be 'auto', 'native' or 'tiktoken'"),
    ("command_timeout_s", "0", "Input should be greater than 0"),
    ("command_timeout_s", "601", "Input should be less than or equal to 600"),
    ("command_timeout_s", "nan", "Input should be"),
    ("sweep_interval_s", "0.05", "Input should be greater than or equal to 0.1"),
    ("sweep_interval_s", "3601", "Input should be less than or equal to 3600"),
    ("flush_starts_per_s", "0.05", "Input should be greater than or equal to 0.1"),
    ("flush_starts_per_s", "100001", "Input should be less than or equal to 100000"),
    ("flush_start_burst", "0", "Input should be greater than or equal to 1"),
    ("flush_start_burst", "100001", "Input should be less than or equal to 100000"),
    ("shutdown_timeout_s", "-1", "Input should be greater than or equal to 0"),
    ("shutdown_timeout_s", "soon", "Input should be a valid number"),
    ("workers", "0", "Input should be greater than or equal to 1"),
    ("workers", "257", "Input should be less than or equal to 256"),
    ("max_clients", "0", "Input should be greater than or equal to 1"),
    ("max_clients", "1000001", "Input should be less than or equal to 1000000"),
    ("max_request_bytes", "1023", "Input should be greater than or equal to 1024"),
    ("max_request_bytes", "536870913", "Input should be less than or equal to 536870912"),
    ("max_request_messages", "0", "Input should be greater than or equal to 1"),
    ("max_request_messages", "1000001", "Input should be less than or equal to 1000000"),
    ("max_pending_commands", "0", "Input should be greater than or equal to 1"),
    ("max_pending_commands", "1000001", "Input should be less than or equal to 1000000"),
    ("max_output_bytes", "65535", "Input should be greater than or equal to 65536"),
    ("max_output_bytes", "17179869185", "Input should be less than or equal to 17179869184"),
    ("max_held_bytes", "33554431",
     "there must be room for one request of MEMSIDECAR_MAX_REQUEST_BYTES; set at least 33554432"),
    ("max_held_bytes", "1099511627777", "Input should be less than or equal to 1099511627776"),
    ("max_kept_bytes", "-1", "Input should be greater than or equal to 0"),
    ("max_kept_bytes", "17179869185", "Input should be less than or equal to 17179869184"),
    ("slow_command_ms", "-1", "Input should be greater than or equal to 0"),
    ("slow_command_ms", "3600001", "Input should be less than or equal to 3600000"),
    ("tracing", "jaeger", "Input should be 'off' or 'otlp'"),
    ("log_level", "loud", "Input should be 'debug', 'info', 'warning' or 'error'"),
    ("log_format", "logfmt", "Input should be 'auto', 'json' or 'console'"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "text"), WRONG)
def test_each_mistake(monkeypatch: pytest.MonkeyPatch, name: str, value: str, text: str) -> None:
    """Each mistake is said with the variable or the option that it came from."""
    (line,) = problems(**{name: value})
    assert line.startswith(f"--{name.replace('_', '-')}: {text}")
    monkeypatch.setenv(f"MEMSIDECAR_{name.upper()}", value)
    (line,) = problems()
    assert line.startswith(f"MEMSIDECAR_{name.upper()}: {text}")


def test_a_request_has_to_fit_into_what_may_be_held() -> None:
    """A request may not be allowed to be larger than what all clients together may hold, even by default."""
    (line,) = problems(max_request_bytes="268435457")
    assert line == (
        "MEMSIDECAR_MAX_HELD_BYTES: there must be room for one request of MEMSIDECAR_MAX_REQUEST_BYTES; "
        "set at least 268435457"
    )
    settings, _ = load_settings(max_request_bytes="2000", max_held_bytes="2000")
    assert settings.max_held_bytes == 2000


def test_a_password_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong with a URL is said without the URL, and settings are printed without it."""
    monkeypatch.setenv("MEMSIDECAR_REDIS_URL", "redis://user:s3cret@host/x")
    (line,) = problems()
    assert "s3cret" not in line
    assert "s3cret" not in repr(load_settings(redis_url="redis://user:s3cret@host")[0])


@pytest.mark.parametrize("by_option", [True, False])
def test_all_mistakes_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, by_option: bool) -> None:
    """Mistakes of the settings and of the definitions are one report."""
    file = tmp_path / "memories.yaml"
    file.write_text("definitions: [{id: chat, max_tokens: 0}]")
    monkeypatch.setenv("MEMSIDECAR_LISTEN", "nowhere")
    if not by_option:
        monkeypatch.setenv("MEMSIDECAR_DEFINITIONS", str(file))
    found = problems(engine="cron", definitions=file if by_option else None)
    assert sorted(line.partition(": ")[0] for line in found) == sorted(["MEMSIDECAR_LISTEN", "--engine", f"{file}:1"])


@pytest.mark.parametrize("name", ["temporal_tls_ca", "temporal_tls_server_name"])
def test_tls_to_temporal_is_off(name: str) -> None:
    """Where TLS to Temporal is switched off, no other setting of it is taken, instead of being ignored."""
    (line,) = problems(temporal_tls="false", **{name: "/dev/null"})
    assert (
        line == f"--{name.replace('_', '-')}: TLS to Temporal is switched off; unset MEMSIDECAR_TEMPORAL_TLS, or this"
    )


def test_a_deployment_alone() -> None:
    """A deployment without a version is told of, and taken with one."""
    (line,) = problems(temporal_deployment="flushes")
    assert "a deployment and a build id go together" in line
    settings, _ = load_settings(temporal_deployment="flushes", temporal_build_id="7")
    assert (settings.temporal_deployment, settings.temporal_build_id) == ("flushes", "7")


def test_unknown_variables_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kubernetes makes variables such as MEMSIDECAR_PORT from a service's name; they are not ours to judge."""
    monkeypatch.setenv("MEMSIDECAR_PORT", "tcp://10.0.0.1:6380")
    assert load_settings()[0].model_dump() == DEFAULTS


def test_an_api_key_is_kept_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Temporal's API key is read, and printing the settings does not reveal it."""
    monkeypatch.setenv("MEMSIDECAR_TEMPORAL_API_KEY", "s3cret")
    settings, _ = load_settings()
    assert settings.temporal_api_key is not None
    assert settings.temporal_api_key.get_secret_value() == "s3cret"
    assert "s3cret" not in repr(settings)


def _tls_of_clients(made: Certificate) -> dict[str, Any]:
    return {"tls_cert": made.cert, "tls_key": made.key, "tls_client_ca": made.cert}


def _tls_to_redis(made: Certificate) -> dict[str, Any]:
    files = {"redis_tls_ca": made.cert, "redis_tls_cert": made.cert, "redis_tls_key": made.key}
    return {"redis_url": "rediss://host", **files, "redis_tls_server_name": "redis.test"}


def _at_the_sentinels(made: Certificate) -> dict[str, Any]:
    return {"redis_url": "redis+sentinel://host/name", "sentinel_username": "app", "sentinel_password": "s3cret"}


def _unix_socket(made: Certificate) -> dict[str, Any]:
    return {"unix_socket": made.key.parent / "s.sock", "unix_socket_mode": "0770"}


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return Authority(tmp_path).own


TOGETHER: list[Callable[[Certificate], dict[str, Any]]] = [
    _tls_of_clients,
    _tls_to_redis,
    _at_the_sentinels,
    _unix_socket,
]


@pytest.mark.parametrize("group", TOGETHER)
def test_settings_that_go_together(
    monkeypatch: pytest.MonkeyPatch, certificate: Certificate, group: Callable[[Certificate], dict[str, Any]]
) -> None:
    """Settings that need others are accepted with them, by variable and by option."""
    wanted = group(certificate)
    by_option = load_settings(**wanted)[0]
    for name, value in wanted.items():
        monkeypatch.setenv(f"MEMSIDECAR_{name.upper()}", str(value))
    by_variable = load_settings()[0]
    for name, value in wanted.items():
        for settings in (by_option, by_variable):
            found = getattr(settings, name)
            assert (found.get_secret_value() if isinstance(found, SecretStr) else found) == value
    assert "s3cret" not in repr(by_variable)


ONE_WITHOUT_THE_OTHER: list[tuple[dict[str, str], str, str]] = [
    ({"tls_cert": "/dev/null"}, "tls_key", "a certificate and its key go together; set MEMSIDECAR_TLS_CERT and this"),
    (
        {"redis_url": "rediss://host", "redis_tls_cert": "/dev/null"},
        "redis_tls_key",
        "a certificate and its key go together; set MEMSIDECAR_REDIS_TLS_CERT and this, or neither",
    ),
    (
        {"redis_url": "redis+sentinel://host/name", "sentinel_username": "app"},
        "sentinel_password",
        "the user at the Sentinels has no password; set one",
    ),
]


@pytest.mark.parametrize(("given", "name", "text"), ONE_WITHOUT_THE_OTHER)
def test_one_without_the_other(given: dict[str, str], name: str, text: str) -> None:
    """What is missing is named, not what is there."""
    (line,) = problems(**given)
    assert line.startswith(f"MEMSIDECAR_{name.upper()}: {text}")


def test_a_dead_option_does_not_hide_behind_a_mistake() -> None:
    """Settings that do not fit each other are reported with what is wrong in others; what hangs on those is not."""
    found = problems(listen="nowhere", tls_client_ca="/dev/null", redis_url="http://host", redis_tls_ca="/missing")
    assert [line.partition(": ")[0] for line in found] == [
        "--listen",
        "--tls-client-ca",
        "--redis-url",
        "--redis-tls-ca",
    ]
    assert len(problems(redis_url="http://host", sentinel_password="s3cret", redis_tls_server_name="name")) == 1


def test_files_without_certificates(certificate: Certificate, tmp_path: Path) -> None:
    """A file that can be read and holds nothing of use is reported at once too, with its setting."""
    empty, definitions = tmp_path / "empty.pem", tmp_path / "memories.yaml"
    empty.touch()
    definitions.write_text("definitions: [{id: chat, max_tokens: 0}]")
    wrong = {"redis_tls_ca": empty, "redis_tls_cert": empty, "redis_tls_key": certificate.key}
    found = problems(redis_url="rediss://host", definitions=definitions, **wrong)
    assert [line.partition(": ")[0] for line in found] == ["--redis-tls-ca", "--redis-tls-cert", f"{definitions}:1"]


def test_tls_to_redis(certificate: Certificate) -> None:
    """TLS to Redis is made exactly for the URLs that want it."""
    for url in ("redis://host", "unix:///s.sock", "redis+sentinel://host/name"):
        assert load_settings(redis_url=url)[0].redis_tls() is None
    for url in ("rediss://host", "rediss+sentinel://host/name"):
        assert load_settings(redis_url=url)[0].redis_tls() is not None
    tls = load_settings(**_tls_to_redis(certificate))[0].redis_tls()
    assert tls is not None
    assert tls.server_name == "redis.test"
    assert len(tls.context.get_ca_certs()) == 1


def test_a_socket_that_is_left(tmp_path: Path) -> None:
    """A socket that an earlier sidecar left behind is no reason to refuse; a file that is no socket is."""
    path = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    assert load_settings(unix_socket=path)[0].unix_socket == path
    path.unlink()
    path.write_text("precious")
    (line,) = problems(unix_socket=path)
    assert line == f"--unix-socket: '{path}' exists and is no socket"
