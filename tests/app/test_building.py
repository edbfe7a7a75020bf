"""Objects that are made of settings alone."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from sidecar.app.building import bind, cannot_listen, charge_of, greeting, make_client_tls, own_credentials
from sidecar.config.settings import Settings
from sidecar.deputy.charge import Charge
from sidecar.errors import ConfigurationError
from sidecar.net.endpoint import RedisEndpoint
from sidecar.resp.watched import Credentials
from tests.support.certificates import Authority


@pytest.mark.parametrize(
    ("url", "credentials", "words"),
    [
        ("redis://h", None, []),
        ("redis://:pw@h", Credentials(b"default", b"pw"), [("AUTH", "pw")]),
        ("redis://ann:p%40w@h", Credentials(b"ann", b"p@w"), [("AUTH", "ann", "p@w")]),
    ],
)
def test_how_our_own_connections_log_in(
    url: str, credentials: Credentials | None, words: list[tuple[str, ...]]
) -> None:
    """With the user and password of the URL; a password alone is that of `default`."""
    endpoint = RedisEndpoint.parse(url)
    assert own_credentials(endpoint) == credentials
    assert greeting(endpoint) == words


async def test_a_port_is_bound() -> None:
    """Host and port of the setting are given to the listener, brackets of IPv6 taken off; its answer comes back."""
    asked = []

    async def listen(host: str, port: int) -> int:
        asked.append((host, port))
        return 77

    assert await bind("http_listen", "[::1]:0", listen) == 77
    assert await bind("http_listen", "localhost:80", listen) == 77
    assert asked == [("::1", 0), ("localhost", 80)]


async def test_a_port_that_is_taken() -> None:
    """It is a problem of the setting that named it, not a traceback."""
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    async def listen(host: str, port: int) -> int:
        second = await asyncio.start_server(lambda *_: None, host, port)
        second.close()
        return port

    with pytest.raises(ConfigurationError) as problem:
        await bind("http_listen", f"127.0.0.1:{port}", listen)
    server.close()
    (line,) = problem.value.problems
    assert line.startswith(f"http_listen: cannot listen on 127.0.0.1:{port}: ")
    assert cannot_listen("listen", "h:1", OSError("odd")).problems == ["listen: cannot listen on h:1: odd"]


def test_tls_for_clients(tmp_path: Path) -> None:
    """There is none without a certificate; one that does not fit its key is a problem of the setting."""
    assert make_client_tls(Settings()) is None
    authority = Authority(tmp_path)
    certificate, other = authority.issue("one"), authority.issue("two")
    assert make_client_tls(Settings(tls_cert=certificate.cert, tls_key=certificate.key)) is not None
    with pytest.raises(ConfigurationError) as problem:
        make_client_tls(Settings(tls_cert=certificate.cert, tls_key=other.key))
    assert problem.value.problems[0].startswith("tls_cert: ")


def test_what_a_deputy_is_told(tmp_path: Path) -> None:
    """Everything that says where the memories are and how they are counted, as the sidecar has it; and the level."""
    own = Authority(tmp_path).issue("sidecar")
    settings = Settings(
        redis_url="rediss+sentinel://ann:pw@h:1/main",
        key_prefix="our",
        project="shop",
        token_engine="tiktoken",
        log_format="console",
        sentinel_username="sue",
        sentinel_password=SecretStr("spw"),
        redis_tls_ca=own.cert,
        redis_tls_cert=own.cert,
        redis_tls_key=own.key,
        redis_tls_server_name="redis.test",
    )
    told = charge_of(settings, "error")
    assert told == Charge(
        redis_url="rediss+sentinel://ann:pw@h:1/main",
        key_prefix="our",
        project="shop",
        token_engine="tiktoken",
        log_level="error",
        log_format="console",
        sentinel_username="sue",
        sentinel_password="spw",
        redis_tls_ca=str(own.cert),
        redis_tls_cert=str(own.cert),
        redis_tls_key=str(own.key),
        redis_tls_server_name="redis.test",
    )
    assert charge_of(Settings(), "info").sentinel_password is None


PROGRAM = """
from sidecar.app.building import ready_counter
from sidecar.config.settings import Settings
from sidecar.deputy.charge import Charge
from sidecar.memory.definition import Definition
from sidecar.tokens import counter

definitions = [Definition(), Definition("other", encoding="cl100k_base")]
ready_counter(Settings(token_engine="tiktoken"), definitions)
print(sorted(counter._counters))
"""


def test_counters_are_loaded_before_they_are_needed() -> None:
    """The vocabularies of all definitions are there once the counters are made; in a process that had none before."""
    finished = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True)
    assert finished.stdout == "[('cl100k_base', 'tiktoken'), ('o200k_base', 'tiktoken')]\n"
