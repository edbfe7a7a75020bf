"""Where Temporal is: our settings, Temporal's own configuration, the defaults, in this order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sidecar.dev.servers import TemporalServer
from sidecar.errors import ConfigurationError
from sidecar.temporal.connection import Security
from sidecar.temporal.environment import Place, find
from sidecar.temporal.starter import TemporalEngine

PROFILES = """
[profile.default]
address = "default.test:1"

[profile.cloud]
address = "cloud.test:7233"
namespace = "agents.x1"
api_key = "k1"
[profile.cloud.tls]
server_name = "sni.test"
[profile.cloud.grpc_meta]
team = "memory"

[profile.plain]
address = "plain.test:7233"
[profile.plain.tls]
disabled = true
"""


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    """Variables that name the file with the profiles."""
    file = tmp_path / "temporal.toml"
    file.write_text(PROFILES)
    return {"TEMPORAL_CONFIG_FILE": str(file)}


def test_nothing_is_given(tmp_path: Path) -> None:
    """Without anything it is a Temporal on this machine, in plain text."""
    assert find(environment={"HOME": str(tmp_path)}) == Place("127.0.0.1:7233", "default", Security())


def test_a_profile(variables: dict[str, str]) -> None:
    """Address, namespace, key, TLS and headers are those of the profile that is named, else of `default`."""
    assert find(environment=variables).address == "default.test:1"
    place = find(environment={**variables, "TEMPORAL_PROFILE": "cloud"})
    assert (place.address, place.namespace) == ("cloud.test:7233", "agents.x1")
    security = place.security
    assert (security.api_key, security.tls, security.server_name) == ("k1", True, "sni.test")
    assert security.metadata == {"team": "memory"}
    assert find(environment={**variables, "TEMPORAL_PROFILE": "plain"}).security.config() is False


def test_temporals_variables_win_over_its_file(variables: dict[str, str]) -> None:
    """As with Temporal's CLI, a variable wins over the profile."""
    changed = {"TEMPORAL_ADDRESS": "v.test:1", "TEMPORAL_NAMESPACE": "v", "TEMPORAL_API_KEY": "k2"}
    place = find(environment={**variables, "TEMPORAL_PROFILE": "cloud", **changed})
    assert (place.address, place.namespace, place.security.api_key) == ("v.test:1", "v", "k2")


@pytest.mark.parametrize(
    ("ours", "place"),
    [
        ({"address": "ours.test:1"}, ("ours.test:1", "agents.x1", "k1", True)),
        ({"namespace": "ours"}, ("cloud.test:7233", "ours", "k1", True)),
        ({"api_key": "ours"}, ("cloud.test:7233", "agents.x1", "ours", True)),
        ({"tls": False}, ("cloud.test:7233", "agents.x1", "k1", False)),
    ],
)
def test_our_settings_win(variables: dict[str, str], ours: dict[str, Any], place: tuple[Any, ...]) -> None:
    """What our settings give wins over all of Temporal's configuration; the rest stays Temporal's."""
    found = find(environment={**variables, "TEMPORAL_PROFILE": "cloud"}, **ours)
    security = found.security
    assert (found.address, found.namespace, security.api_key, bool(security.config())) == place


def test_files_of_tls(variables: dict[str, str], tmp_path: Path) -> None:
    """Files are read, ours before the profile's, and our certificate never goes with the profile's key."""
    for name in ("theirs", "ours"):
        for kind in ("ca", "cert", "key"):
            (tmp_path / f"{name}-{kind}").write_text(f"{name} {kind}")
    theirs = {
        "TEMPORAL_TLS_SERVER_CA_CERT_PATH": str(tmp_path / "theirs-ca"),
        "TEMPORAL_TLS_CLIENT_CERT_PATH": str(tmp_path / "theirs-cert"),
        "TEMPORAL_TLS_CLIENT_KEY_PATH": str(tmp_path / "theirs-key"),
    }
    security = find(environment={**variables, **theirs}).security
    assert (security.ca, security.certificate, security.key) == (b"theirs ca", b"theirs cert", b"theirs key")
    ours, our_key = tmp_path / "ours-cert", tmp_path / "ours-key"
    security = find(environment={**variables, **theirs}, certificate=ours, key=our_key).security
    assert (security.ca, security.certificate, security.key) == (b"theirs ca", b"ours cert", b"ours key")
    with pytest.raises(ConfigurationError, match="certificate and its key go together"):
        find(environment={**variables, **theirs}, certificate=tmp_path / "ours-cert")


def test_what_cannot_be_read(variables: dict[str, str], tmp_path: Path) -> None:
    """A profile, file or certificate that cannot be read is told of, and no line of the file is quoted."""
    odd = tmp_path / "odd.toml"
    odd.write_text("api_key : s3cret")
    for wrong, text in (
        ({"TEMPORAL_PROFILE": "nope"}, "'nope' not found"),
        ({"TEMPORAL_CONFIG_FILE": "/missing.toml"}, "TEMPORAL_CONFIG_FILE: '/missing.toml' is no file"),
        ({"TEMPORAL_CONFIG_FILE": str(odd)}, "line 1"),
        ({"TEMPORAL_TLS_CLIENT_CERT_PATH": "/missing.pem"}, "'/missing.pem' cannot be read: No such file"),
    ):
        with pytest.raises(ConfigurationError) as problem:
            find(environment={**variables, **wrong})
        (line,) = problem.value.problems
        assert text in line
        assert "s3cret" not in line


async def test_a_real_server(temporal_server: TemporalServer, tmp_path: Path) -> None:
    """An engine that is told nothing else reaches the Temporal of the profile."""
    file = tmp_path / "temporal.toml"
    file.write_text(f'[profile.here]\naddress = "{temporal_server.address}"\n')
    place = find(environment={"TEMPORAL_CONFIG_FILE": str(file), "TEMPORAL_PROFILE": "here"})
    engine = TemporalEngine(address=place.address, namespace=place.namespace, security=place.security)
    assert await engine.healthy()
    await engine.close()
