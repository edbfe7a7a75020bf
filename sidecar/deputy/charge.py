"""What a deputy must know of its sidecar, and how one is started."""

from __future__ import annotations

import os
import sys

import msgspec

from sidecar.logs import Format, Level
from sidecar.store.lease import LEASE_MS
from sidecar.tokens.counter import Engine

COMMAND = (sys.executable, "-P", "-m", "sidecar.deputy")
"""`-P`, because what lies in the working directory is none of ours."""


class Charge(msgspec.Struct, frozen=True):
    """Settings of the sidecar, under their names there; the files and the name of `redis_tls_…` only with TLS."""

    redis_url: str
    key_prefix: str
    project: str
    token_engine: Engine = "auto"
    log_level: Level = "info"
    log_format: Format = "auto"
    sentinel_username: str | None = None
    sentinel_password: str | None = None
    redis_tls_ca: str | None = None
    redis_tls_cert: str | None = None
    redis_tls_key: str | None = None
    redis_tls_server_name: str | None = None
    lease_ms: int = LEASE_MS


def environment() -> dict[str, str]:
    """Return the environment of a deputy: ours, with the places where we find our modules."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
