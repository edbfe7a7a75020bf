"""Settings of one process, from environment variables `MEMSIDECAR_…` and from the command line, which wins.

Plain pydantic: every setting is one value, so pydantic-settings, whose import takes 7 MB and 0.1 s of each start, would
do nothing here but look into the environment.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)

from sidecar.logs import Format, Level
from sidecar.net.endpoint import MAX_SOCKET_PATH_BYTES, RedisEndpoint
from sidecar.net.redis_tls import RedisTls

PREFIX = "MEMSIDECAR_"


MIB = 1024 * 1024


def _address(value: str) -> str:
    host, _, port = value.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise ValueError(f"'{value}' must be host:port, such as 127.0.0.1:6380")
    return value


def _ip_address(value: str) -> str:
    host = value.rpartition(":")[0].strip("[]")
    try:
        ip_address(host)
    except ValueError:
        raise ValueError(f"'{value}' must be an IP address and a port, such as 127.0.0.1:9465") from None
    return value


def _redis_url(value: str) -> str:
    RedisEndpoint.parse(value)
    return value


def _file(value: Path) -> Path:
    try:
        with value.open("rb"):
            return value
    except OSError as problem:
        raise ValueError(f"'{value}' cannot be read: {problem.strerror}") from problem


def _socket(value: Path) -> Path:
    if len(str(value).encode()) > MAX_SOCKET_PATH_BYTES:
        raise ValueError(f"'{value}' is longer than the {MAX_SOCKET_PATH_BYTES} bytes that a socket's path may have")
    if not value.parent.is_dir():
        raise ValueError(f"'{value.parent}' is no directory; make it before the socket")
    if value.exists() and not value.is_socket():
        raise ValueError(f"'{value}' exists and is no socket")
    return value


def _mode(value: str) -> str:
    if not re.fullmatch("0?[0-7]{3}", value, re.ASCII):
        raise ValueError(f"'{value}' must be octal permissions of owner, group and others, such as 0700")
    return value


Address = Annotated[str, AfterValidator(_address)]
ReadableFile = Annotated[Path, AfterValidator(_file)]


class Settings(BaseModel):
    """Every setting has a default that suits a laptop."""

    model_config = ConfigDict(hide_input_in_errors=True)

    listen: Address = Field(default="127.0.0.1:6380", description="Where Redis clients connect.")
    http_listen: Address = Field(
        default="127.0.0.1:9464", description="Where /metrics, /healthz, /readyz and /health are served."
    )
    worker_http_listen: Address | None = Field(
        default=None, description="Where `memsidecar worker` serves the same pages; unset: nowhere."
    )
    unix_socket: Annotated[Path, AfterValidator(_socket)] | None = Field(
        default=None, description="Unix socket where Redis clients connect, besides `LISTEN`."
    )
    unix_socket_mode: Annotated[str, AfterValidator(_mode)] = Field(
        default="0700", description="Permissions of the Unix socket, octal."
    )
    protected_mode: bool = Field(
        default=True, description="Refuse to listen on a non-loopback address while Redis asks no password."
    )
    tls_cert: ReadableFile | None = Field(
        default=None, description="Certificate (PEM) for TLS on `LISTEN`; without one clients speak plain."
    )
    tls_key: ReadableFile | None = Field(default=None, validate_default=True, description="Key (PEM) of `TLS_CERT`.")
    tls_client_ca: ReadableFile | None = Field(
        default=None, description="Authorities (PEM) that must have signed a client's certificate; unset asks for none."
    )
    redis_url: Annotated[str, AfterValidator(_redis_url)] = Field(
        default="redis://127.0.0.1:6379/0",
        repr=False,
        description="The Redis behind the sidecar: `redis://`, `rediss://` (TLS), `unix://`, `redis+sentinel://` or "
        "`rediss+sentinel://`.",
    )
    redis_tls_ca: ReadableFile | None = Field(
        default=None, description="Authorities (PEM) that may have signed Redis's certificate; unset: the system's."
    )
    redis_tls_cert: ReadableFile | None = Field(
        default=None, description="Our certificate (PEM), for a Redis that asks for one."
    )
    redis_tls_key: ReadableFile | None = Field(
        default=None, validate_default=True, description="Key (PEM) of `REDIS_TLS_CERT`."
    )
    redis_tls_server_name: str | None = Field(
        default=None, min_length=1, description="Name that Redis's certificate must hold, where it is not the host's."
    )
    sentinel_username: str | None = Field(default=None, min_length=1, description="User at the Sentinels.")
    sentinel_password: SecretStr | None = Field(
        default=None, validate_default=True, min_length=1, description="Password at the Sentinels."
    )
    definitions: Annotated[str, BeforeValidator(str)] | None = Field(
        default=None,
        min_length=1,
        description="YAML files with memory definitions: a file, a folder, or several, as in `PATH`.",
    )
    project: str = Field(default="default", min_length=1, max_length=64, description="Separates memories on one Redis.")
    key_prefix: str = Field(default="mem", pattern=r"^[A-Za-z0-9_.-]{1,32}$", description="First part of all our keys.")
    engine: Literal["local", "temporal"] = Field(default="local", description="What runs flushes.")
    temporal_address: Address | None = Field(
        default=None, description="Temporal's frontend; unset: of Temporal's own configuration, else 127.0.0.1:7233."
    )
    temporal_namespace: str | None = Field(
        default=None,
        min_length=1,
        description="Temporal's namespace; unset: of Temporal's own configuration, else `default`.",
    )
    temporal_tls: bool | None = Field(
        default=None, description="Speak TLS to Temporal, or do not; unset: with an API key or other settings of TLS."
    )
    temporal_tls_ca: ReadableFile | None = Field(
        default=None, description="Authorities (PEM) that may have signed Temporal's certificate; unset: the system's."
    )
    temporal_tls_cert: ReadableFile | None = Field(
        default=None, description="Our certificate (PEM), for a Temporal that asks for one."
    )
    temporal_tls_key: ReadableFile | None = Field(
        default=None, validate_default=True, description="Key (PEM) of `TEMPORAL_TLS_CERT`."
    )
    temporal_tls_server_name: str | None = Field(
        default=None,
        min_length=1,
        description="Name that Temporal's certificate must hold, where it is not the host's.",
    )
    temporal_api_key: SecretStr | None = Field(default=None, description="API key, for Temporal Cloud.")
    temporal_task_queue: str = Field(default="memsidecar-flush", min_length=1, description="Task queue of the flushes.")
    temporal_payload_codec: str | None = Field(
        default=None,
        pattern=r"^[\w.]+:\w+$",
        description="`module:attribute` of the `PayloadCodec` through which everything goes that Temporal keeps.",
    )
    temporal_search_attributes: bool = Field(
        default=False, description="Set MemsidecarProject and MemsidecarDefinition on flushes; register them first."
    )
    temporal_sweep_interval_s: float = Field(
        default=60.0, ge=1, le=86_400, description="How often Temporal's schedule looks for due marks."
    )
    temporal_max_steps: int = Field(default=32, ge=1, le=10_000, description="Steps that a worker runs at once.")
    temporal_workflow_tasks: int = Field(
        default=8, ge=2, le=1_000, description="Workflow tasks that a worker runs at once."
    )
    temporal_cached_runs: int = Field(
        default=200, ge=0, le=100_000, description="Runs that a worker keeps in memory between their steps."
    )
    temporal_polls: int = Field(
        default=2, ge=2, le=100, description="A worker's open questions for work, of each kind."
    )
    temporal_grace_s: float = Field(
        default=20.0, ge=0, le=3600, description="How long running steps may take to end when a worker is stopped."
    )
    temporal_metrics_listen: Annotated[Address, AfterValidator(_ip_address)] | None = Field(
        default=None,
        description="Where `memsidecar worker` serves the metrics of Temporal's SDK, an IP address and a port; unset: "
        "nowhere.",
    )
    temporal_deployment: str | None = Field(
        default=None, min_length=1, description="Worker deployment, where Temporal's worker versioning is used."
    )
    temporal_build_id: str | None = Field(
        default=None, min_length=1, validate_default=True, description="Version of this worker in its deployment."
    )
    token_engine: Literal["auto", "native", "tiktoken"] = Field(
        default="auto",
        description="What counts tokens: memsidecar's own C (`native`) or `tiktoken`, with the same counts; `auto` "
        "takes the first where it was compiled.",
    )
    command_timeout_s: float = Field(
        default=5.0, gt=0, le=600, description="Longest time a MEM command may wait for Redis."
    )
    sweep_interval_s: float = Field(default=10.0, ge=0.1, le=3600, description="How often due marks are looked for.")
    flush_starts_per_s: float = Field(
        default=200.0, ge=0.1, le=100_000, description="Most flushes that one sidecar starts in a second."
    )
    flush_start_burst: int = Field(
        default=400, ge=1, le=100_000, description="Flushes that it starts at once after a quiet time."
    )
    shutdown_timeout_s: float = Field(
        default=10.0, ge=0, le=600, description="How long running commands may take to end."
    )
    workers: int = Field(
        default=1,
        ge=1,
        le=256,
        description="Processes that serve clients, one for each core they may use; see docs/workers.md.",
    )
    max_clients: int = Field(default=10_000, ge=1, le=1_000_000, description="Most client connections at a time.")
    max_request_bytes: int = Field(
        default=32 * MIB, ge=1024, le=512 * MIB, description="Most bytes of one MEM command; 32 MiB."
    )
    max_request_messages: int = Field(
        default=16_384, ge=1, le=1_000_000, description="Most messages of one MEM command."
    )
    max_pending_commands: int = Field(
        default=1024, ge=1, le=1_000_000, description="Most MEM commands of one client that wait for their replies."
    )
    max_output_bytes: int = Field(
        default=256 * MIB,
        ge=64 * 1024,
        le=16 * 1024 * MIB,
        description="A client that leaves this much of its MEM replies unread is disconnected; 256 MiB.",
    )
    max_held_bytes: int = Field(
        default=256 * MIB,
        ge=1024,
        le=1024 * 1024 * MIB,
        validate_default=True,
        description="When all clients together hold more of unfinished and waiting requests, the one that holds most "
        "is disconnected; 256 MiB.",
    )
    max_kept_bytes: int = Field(
        default=16 * MIB,
        ge=0,
        le=16 * 1024 * MIB,
        description="Most bytes of results kept for reads that are asked again while nothing has changed, or has only "
        "been appended; 0 keeps none; 16 MiB.",
    )
    slow_command_ms: float = Field(
        default=100.0,
        ge=0,
        le=3_600_000,
        description="A MEM command that takes longer, though its client did not ask to wait, is logged; 0: none is.",
    )
    tracing: Literal["off", "otlp"] = Field(
        default="off",
        description="`otlp`: spans of commands with TRACEPARENT go to an OpenTelemetry collector; see docs/tracing.md.",
    )
    log_level: Level = Field(
        default="info",
        description="Least severe level logged: `debug`, `info`, `warning`, `error`; `log_level` of the definitions "
        "wins, and can change while a process runs.",
    )
    log_format: Format = Field(
        default="auto",
        description="How log lines look: `json`, `console` (for people), or `auto`: `console` on a terminal, else "
        "`json`.",
    )

    # Each check below is one of a field, so that all mistakes are found at once; `info.data` holds the fields declared
    # before it, without those that are wrong themselves.

    @field_validator("unix_socket_mode")
    @classmethod
    def _has_a_socket(cls, value: str, info: ValidationInfo) -> str:
        if info.data.get("unix_socket", ...) is None:
            raise ValueError(f"there is no socket to set permissions on; set {PREFIX}UNIX_SOCKET")
        return value

    @field_validator("temporal_build_id")
    @classmethod
    def _goes_with_the_deployment(cls, value: str | None, info: ValidationInfo) -> str | None:
        deployment = info.data.get("temporal_deployment", ...)
        if deployment is not ... and (value is None) != (deployment is None):
            raise ValueError(
                f"a deployment and a build id go together; set {PREFIX}TEMPORAL_DEPLOYMENT and this, or neither"
            )
        return value

    @field_validator("temporal_tls_ca", "temporal_tls_cert", "temporal_tls_key", "temporal_tls_server_name")
    @classmethod
    def _needs_tls_to_temporal(cls, value: Path | str | None, info: ValidationInfo) -> Path | str | None:
        if value is not None and info.data.get("temporal_tls") is False:
            raise ValueError(f"TLS to Temporal is switched off; unset {PREFIX}TEMPORAL_TLS, or this")
        return value

    @field_validator("tls_key", "redis_tls_key", "temporal_tls_key")
    @classmethod
    def _goes_with_the_certificate(cls, key: Path | None, info: ValidationInfo) -> Path | None:
        partner = str(info.field_name).replace("key", "cert")
        cert = info.data.get(partner, ...)
        if cert is not ... and (key is None) != (cert is None):
            raise ValueError(
                f"a certificate and its key go together; set {PREFIX}{partner.upper()} and this, or neither"
            )
        return key

    @field_validator("max_held_bytes")
    @classmethod
    def _has_room_for_a_request(cls, value: int, info: ValidationInfo) -> int:
        one = info.data.get("max_request_bytes", 0)
        if value < one:
            raise ValueError(f"there must be room for one request of {PREFIX}MAX_REQUEST_BYTES; set at least {one}")
        return value

    @field_validator("tls_client_ca")
    @classmethod
    def _needs_tls(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is not None and info.data.get("tls_cert", ...) is None:
            raise ValueError(f"without TLS nobody shows a certificate; set {PREFIX}TLS_CERT and {PREFIX}TLS_KEY")
        return value

    @field_validator("redis_tls_ca", "redis_tls_cert", "redis_tls_key", "redis_tls_server_name")
    @classmethod
    def _needs_tls_to_redis(cls, value: Path | str | None, info: ValidationInfo) -> Path | str | None:
        url = info.data.get("redis_url")
        if value is not None and url is not None and not RedisEndpoint.parse(url).tls:
            raise ValueError(
                f"the connection to Redis is not encrypted; "
                f"{PREFIX}REDIS_URL must begin with rediss:// or rediss+sentinel://"
            )
        return value

    @field_validator("sentinel_username", "sentinel_password")
    @classmethod
    def _needs_sentinels(cls, value: str | SecretStr | None, info: ValidationInfo) -> str | SecretStr | None:
        url = info.data.get("redis_url")
        if value is not None and url is not None and not RedisEndpoint.parse(url).sentinels:
            raise ValueError(
                f"there are no Sentinels; {PREFIX}REDIS_URL must begin with redis+sentinel:// or rediss+sentinel://"
            )
        if info.field_name == "sentinel_password" and value is None and info.data.get("sentinel_username") is not None:
            raise ValueError("the user at the Sentinels has no password; set one")
        return value

    def redis_tls(self) -> RedisTls | None:
        """Return how TLS to Redis is verified; None if the URL wants none.

        Raises:
            ConfigurationError: a file holds no certificate, or no key that fits; lines begin with the setting's name.
        """
        if not RedisEndpoint.parse(self.redis_url).tls:
            return None
        return RedisTls(
            ca=self.redis_tls_ca,
            cert=self.redis_tls_cert,
            key=self.redis_tls_key,
            server_name=self.redis_tls_server_name,
        )
