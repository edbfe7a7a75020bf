"""Settings: defaults, environment, command line, and everything that is wrong with them at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sidecar.config.settings import Settings, load_settings
from sidecar.errors import ConfigurationError

DEFAULTS: dict[str, Any] = {
    "listen": "127.0.0.1:6380",
    "http_listen": "127.0.0.1:9464",
    "redis_url": "redis://127.0.0.1:6379/0",
    "definitions": None,
    "project": "default",
    "key_prefix": "mem",
    "engine": "local",
    "temporal_address": "127.0.0.1:7233",
    "temporal_namespace": "default",
    "temporal_tls": False,
    "temporal_api_key": None,
    "temporal_task_queue": "memsidecar-flush",
    "token_engine": "auto",
    "command_timeout_s": 5.0,
    "sweep_interval_s": 10.0,
    "shutdown_timeout_s": 10.0,
    "max_clients": 10_000,
    "log_level": "info",
}

OTHER: dict[str, str] = {
    "listen": "0.0.0.0:7000",
    "http_listen": "[::1]:0",
    "redis_url": "redis://user:pass@redis:6390/2",
    "project": "shop",
    "key_prefix": "m.1",
    "engine": "temporal",
    "temporal_address": "temporal:7233",
    "temporal_namespace": "agents",
    "temporal_tls": "True",
    "temporal_task_queue": "queue",
    "token_engine": "tiktoken",
    "command_timeout_s": "1.5",
    "sweep_interval_s": "0.1",
    "shutdown_timeout_s": "0",
    "max_clients": "5",
    "log_level": "debug",
}


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


ADDRESS = "must be host:port, such as 127.0.0.1:6380"
WRONG: list[tuple[str, str, str]] = [
    *((name, wrong, f"'{wrong}' {ADDRESS}")
      for name in ("listen", "http_listen", "temporal_address")
      for wrong in ("6380", ":6380", "host", "host:", "host:port", "host:65536", "host:-1")),
    ("redis_url", "localhost:6379", "a Redis URL starts with redis://"),
    ("redis_url", "rediss://host", "a Redis URL starts with redis://, not 'rediss://'"),
    ("redis_url", "redis://host/x", "the Redis URL ends with a database number, not 'x'"),
    ("project", "", "String should have at least 1 character"),
    ("project", "x" * 65, "String should have at most 64 characters"),
    ("key_prefix", "", "String should match pattern"),
    ("key_prefix", "a:b", "String should match pattern"),
    ("key_prefix", "{x}", "String should match pattern"),
    ("engine", "cron", "Input should be 'local' or 'temporal'"),
    ("temporal_namespace", "", "String should have at least 1 character"),
    ("temporal_task_queue", "", "String should have at least 1 character"),
    ("token_engine", "guess", "Input should be 'auto', 'tiktoken' or 'gigatoken'"),
    ("command_timeout_s", "0", "Input should be greater than 0"),
    ("command_timeout_s", "601", "Input should be less than or equal to 600"),
    ("command_timeout_s", "nan", "Input should be"),
    ("sweep_interval_s", "0.05", "Input should be greater than or equal to 0.1"),
    ("sweep_interval_s", "3601", "Input should be less than or equal to 3600"),
    ("shutdown_timeout_s", "-1", "Input should be greater than or equal to 0"),
    ("shutdown_timeout_s", "soon", "Input should be a valid number"),
    ("max_clients", "0", "Input should be greater than or equal to 1"),
    ("max_clients", "1000001", "Input should be less than or equal to 1000000"),
    ("log_level", "loud", "Input should be 'debug', 'info', 'warning' or 'error'"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "text"), WRONG)
def test_each_mistake(monkeypatch: pytest.MonkeyPatch, name: str, value: str, text: str) -> None:
    """Each mistake is said with the variable or the option that it came from."""
    (line,) = problems(**{name: value})
    assert line.startswith(f"--{name.replace('_', '-')}: {text}")
    monkeypatch.setenv(f"MEMSIDECAR_{name.upper()}", value)
    (line,) = problems()
    assert line.startswith(f"MEMSIDECAR_{name.upper()}: {text}")


def test_a_password_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong with a URL is said without the URL."""
    monkeypatch.setenv("MEMSIDECAR_REDIS_URL", "redis://user:s3cret@host/x")
    (line,) = problems()
    assert "s3cret" not in line


def test_the_definitions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The definitions come from the file that the setting names, by variable or option."""
    file = tmp_path / "memories.yaml"
    file.write_text("strict: true\ndefinitions: [{id: chat}]")
    settings, definitions = load_settings(definitions=file)
    assert settings.definitions == file
    assert (list(definitions.by_id), definitions.strict) == (["chat"], True)
    monkeypatch.setenv("MEMSIDECAR_DEFINITIONS", str(file))
    assert list(load_settings()[1].by_id) == ["chat"]


@pytest.mark.parametrize("by_option", [True, False])
def test_all_mistakes_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, by_option: bool) -> None:
    """Mistakes of the settings and of the definitions are one report."""
    file = tmp_path / "memories.yaml"
    file.write_text("definitions: [{id: chat, max_tokens: 0}]")
    monkeypatch.setenv("MEMSIDECAR_LISTEN", "nowhere")
    if not by_option:
        monkeypatch.setenv("MEMSIDECAR_DEFINITIONS", str(file))
    found = problems(engine="cron", definitions=file if by_option else None)
    assert sorted(line.partition(": ")[0] for line in found) == sorted(["MEMSIDECAR_LISTEN", "--engine", str(file)])


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
