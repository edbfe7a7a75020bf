"""Settings of one process, from environment variables `MEMSIDECAR_…` and from the command line, which wins."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from sidecar.config.definitions import Definitions, builtin_definitions, load_definitions
from sidecar.errors import ConfigurationError
from sidecar.net.endpoint import RedisEndpoint

PREFIX = "MEMSIDECAR_"


def _address(value: str) -> str:
    host, _, port = value.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise ValueError(f"'{value}' must be host:port, such as 127.0.0.1:6380")
    return value


def _redis_url(value: str) -> str:
    RedisEndpoint.parse(value)
    return value


Address = Annotated[str, AfterValidator(_address)]


class Settings(BaseSettings):
    """Every setting has a default that suits a laptop."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", hide_input_in_errors=True)

    listen: Address = Field(default="127.0.0.1:6380", description="Where Redis clients connect.")
    http_listen: Address = Field(
        default="127.0.0.1:9464", description="Where /metrics, /healthz and /readyz are served."
    )
    redis_url: Annotated[str, AfterValidator(_redis_url)] = Field(
        default="redis://127.0.0.1:6379/0", description="The Redis behind the sidecar."
    )
    definitions: Path | None = Field(default=None, description="YAML file with memory definitions.")
    project: str = Field(default="default", min_length=1, max_length=64, description="Separates memories on one Redis.")
    key_prefix: str = Field(default="mem", pattern=r"^[A-Za-z0-9_.-]{1,32}$", description="First part of all our keys.")
    engine: Literal["local", "temporal"] = Field(default="local", description="What runs flushes.")
    temporal_address: Address = Field(default="127.0.0.1:7233", description="Temporal's frontend.")
    temporal_namespace: str = Field(default="default", min_length=1, description="Temporal's namespace.")
    temporal_tls: bool = Field(default=False, description="Speak TLS to Temporal; an API key switches it on too.")
    temporal_api_key: SecretStr | None = Field(default=None, description="API key, for Temporal Cloud.")
    temporal_task_queue: str = Field(default="memsidecar-flush", min_length=1, description="Task queue of the flushes.")
    token_engine: Literal["auto", "tiktoken", "gigatoken"] = Field(default="auto", description="What counts tokens.")
    command_timeout_s: float = Field(
        default=5.0, gt=0, le=600, description="Longest time a MEM command may wait for Redis."
    )
    sweep_interval_s: float = Field(default=10.0, ge=0.1, le=3600, description="How often due marks are looked for.")
    shutdown_timeout_s: float = Field(
        default=10.0, ge=0, le=600, description="How long running commands may take to end."
    )
    max_clients: int = Field(default=10_000, ge=1, le=1_000_000, description="Most client connections at a time.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe level logged."
    )


def load_settings(**overrides: Any) -> tuple[Settings, Definitions]:
    """Read settings and the definitions they name.

    Args:
        overrides: settings from the command line; None means not given.

    Raises:
        ConfigurationError: with every problem of both.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    problems: list[str] = []
    settings: Settings | None = None
    try:
        settings = Settings(**given)
    except ValidationError as problem:
        for finding in problem.errors():
            name = str(finding["loc"][0])
            source = f"--{name.replace('_', '-')}" if name in given else f"{PREFIX}{name.upper()}"
            problems.append(f"{source}: {finding['msg'].removeprefix('Value error, ')}")
    definitions = builtin_definitions()
    path = settings.definitions if settings else _definitions_path(given)
    if path is not None:
        try:
            definitions = load_definitions(Path(path))
        except ConfigurationError as problem:
            problems += problem.problems
    if problems or settings is None:
        raise ConfigurationError(problems)
    return settings, definitions


def _definitions_path(given: dict[str, Any]) -> Path | None:
    """Find the definitions file even when other settings are wrong, so that all problems are shown at once."""
    path = given.get("definitions") or os.environ.get(f"{PREFIX}DEFINITIONS")
    return Path(path) if path else None
