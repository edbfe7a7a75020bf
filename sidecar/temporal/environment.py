"""Where Temporal is and how to get in: our settings, and behind them Temporal's own environment configuration.

The counterpart is `temporalio.envconfig`, which the CLI and all SDKs of Temporal share: a profile (TEMPORAL_PROFILE) of
a TOML file (TEMPORAL_CONFIG_FILE), over which variables such as TEMPORAL_ADDRESS win. Connects to nothing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from temporalio.envconfig import ClientConfigProfile, ClientConfigTLS, DataSource

from sidecar.errors import ConfigurationError
from sidecar.temporal.connection import DEFAULT_ADDRESS, DEFAULT_NAMESPACE, Security

CONFIG_FILE = "TEMPORAL_CONFIG_FILE"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Place:
    """Where Temporal is, in which namespace we are, and how we get in."""

    address: str
    namespace: str
    security: Security


def find(
    *,
    address: str | None = None,
    namespace: str | None = None,
    api_key: str | None = None,
    tls: bool | None = None,
    ca: Path | None = None,
    certificate: Path | None = None,
    key: Path | None = None,
    server_name: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Place:
    """Return what the arguments say, where they are None what Temporal's environment says, and else the defaults.

    Args:
        address: `host:port` of the frontend.
        namespace: where the runs live.
        api_key: see `Security`.
        tls: on or off, whatever else is given; None: on with an API key or anything else of TLS.
        ca, certificate, key: PEM files, see `Security`.
        server_name: see `Security`.
        environment: variables; None: those of this process.

    Raises:
        ConfigurationError: Temporal's configuration cannot be read; nothing of it is quoted, as it may hold keys.
    """
    variables = dict(os.environ if environment is None else environment)
    profile = _profile(variables)
    shown = profile.tls or ClientConfigTLS()
    # Off and on are about all of TLS, so a profile that switches it off has no say once we want it.
    theirs = (not shown.disabled) if profile.tls is not None else None
    named = any((ca, certificate, server_name))
    try:
        security = Security(
            api_key=_first(api_key, profile.api_key),
            tls=_first(tls, None if named else theirs),
            server_name=_first(server_name, shown.server_name),
            ca=_read(ca if ca is not None else shown.server_root_ca_cert),
            certificate=_read(certificate if certificate is not None else shown.client_cert),
            # Never our certificate with the profile's key.
            key=_read(key if certificate is not None else shown.client_private_key),
            metadata=dict(profile.grpc_meta),
        )
    except OSError as problem:
        raise ConfigurationError(
            [f"Temporal's configuration: '{problem.filename}' cannot be read: {problem.strerror}"]
        ) from None
    if (security.certificate is None) != (security.key is None):
        raise ConfigurationError(["Temporal's configuration: a client's certificate and its key go together"])
    return Place(
        _first(address, profile.address) or DEFAULT_ADDRESS,
        _first(namespace, profile.namespace) or DEFAULT_NAMESPACE,
        security,
    )


def _profile(variables: dict[str, str]) -> ClientConfigProfile:
    file = variables.get(CONFIG_FILE)
    if file and not Path(file).is_file():
        # The SDK takes a file that is not there for an empty one.
        raise ConfigurationError([f"{CONFIG_FILE}: '{file}' is no file; name Temporal's TOML file, or unset it"])
    try:
        return ClientConfigProfile.load(override_env_vars=variables)
    except Exception as problem:  # the SDK's own class of it is private
        first, *_ = str(problem).splitlines() or [type(problem).__name__]
        where = f" of '{file}'" if file else ""
        raise ConfigurationError([f"Temporal's configuration{where}: {first}"]) from None


def _read(source: DataSource | None) -> bytes | None:
    if isinstance(source, Path):
        return source.read_bytes()
    return source.encode() if isinstance(source, str) else source


def _first(*values: T | None) -> T | None:
    return next((value for value in values if value is not None), None)
